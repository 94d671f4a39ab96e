"""`clipsearch demo`: the main job on real photographs, from nothing to answers."""

import os
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipsearch.cli.arguments import examples, refuse_empty
from clipsearch.cli.escape import visible, visible_path
from clipsearch.cli.index import describe
from clipsearch.cli.labelled import decided
from clipsearch.cli.opening import model_to_index_with
from clipsearch.cli.options import QuietOption
from clipsearch.cli.output import counted, note, say
from clipsearch.cli.progress import showing_progress
from clipsearch.errors import UsageError
from clipsearch.percent import percent

if TYPE_CHECKING:
    from clipsearch.demonstrating import DemoQuestions
    from clipsearch.encoders import Towers
    from clipsearch.library import Library
    from clipsearch.searching import SearchResult
    from clipsearch.types import ModelInfo

EXAMPLES = examples(
    "clipsearch demo                      real photographs from scikit-image and scikit-learn",
    "clipsearch demo ~/Pictures/2024      a folder of your own",
)

NOTHING_FOUND = 1
SHOWN_RESULTS = 3
# So many photos of the demonstration's own folder are classified on screen.
SHOWN_LABELS = 15


def demo(
    folder: Annotated[
        str | None,
        typer.Argument(metavar="FOLDER", help="Photos of your own.", show_default=False),
    ] = None,
    into: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Where the demo's library goes; else a temporary folder."),
    ] = None,
    model: Annotated[str, typer.Option(metavar="NAME", help="The model: see index.")] = "starter",
    quiet: QuietOption = False,
) -> int:
    """Index, search and classify real photographs, and say what to type next.

    Your own library is not touched. The photographs are those that ship inside scikit-image and
    scikit-learn, or the ones in FOLDER.
    """
    from clipsearch.demonstrating import gather_demo_photos, read_demo
    from clipsearch.library import Library

    refuse_empty("the folder's name", folder)
    refuse_empty("the folder's name after --into", into)
    if folder is not None and not os.path.isdir(folder):
        raise UsageError(f"there is no folder {folder}", "Check the path")
    place = Path(into or tempfile.mkdtemp(prefix="clipsearch-demo-")).absolute()
    described = read_demo()
    if folder is None:
        photos = os.fsencode(place / "photos")
        gathered = gather_demo_photos(described, photos)
        say(f"{len(gathered)} real photographs from scikit-image and scikit-learn")
        for photo, copy in gathered:
            say(f"  {visible_path(os.path.basename(copy))}: {photo.shows} ({photo.credit})")
    else:
        photos = os.path.realpath(os.fsencode(folder))
    questions = described.samples if folder is None else described.own
    with showing_progress(quiet=quiet) as progress:
        info = model_to_index_with(place / "library", model, progress)
    with Library.open(place / "library", create=True) as library:
        found = _index(library, info, photos, quiet=quiet)
        if found:
            _search_and_classify(library, info, questions)
    if not found:
        note("clipsearch: no photos were found there.")
        return NOTHING_FOUND
    _say_next(place / "library", questions)
    return 0


def _index(library: "Library", info: "ModelInfo", photos: bytes, *, quiet: bool) -> int:
    from clipsearch.encoders import load_bulk_encoder
    from clipsearch.indexing import index
    from clipsearch.storage.layout import models_dir

    _say_command(f"clipsearch index {visible_path(photos)} --model {visible(info.name)}")
    with showing_progress(quiet=quiet) as progress:
        summary = index(
            library,
            info,
            lambda expected: load_bulk_encoder(info, models_dir(), expected),
            [photos],
            progress=progress,
        )
    for line in describe(summary):
        say(line)
    if summary.interrupted:
        raise KeyboardInterrupt
    return library.catalogue.counts().embedded


def _search_and_classify(library: "Library", info: "ModelInfo", questions: "DemoQuestions") -> None:
    from clipsearch.encoders import load_towers
    from clipsearch.storage.layout import models_dir

    towers = load_towers(info, models_dir())
    for query in questions.queries:
        _say_command(f'clipsearch search "{query}" -k {SHOWN_RESULTS}')
        _say_results(_search(library, towers, [query]))
    example = _example(library, questions)
    _say_command(f"clipsearch search {visible_path(example)} -k {SHOWN_RESULTS}")
    _say_results(_search(library, towers, [os.fsdecode(example)]))
    _classify(library, towers, questions.labels)


def _search(
    library: "Library", towers: "Towers", words: Sequence[str]
) -> tuple["SearchResult", ...]:
    from clipsearch.query import parse_query
    from clipsearch.searching import search

    answer = search(library, towers, parse_query(words, os.path.isfile), top_k=SHOWN_RESULTS)
    for warning in answer.warnings:
        note(f"clipsearch: {visible(warning)}.")
    return answer.results


def _example(library: "Library", questions: "DemoQuestions") -> bytes:
    """The path of the example photo: the one that is named, else any."""
    ids = library.catalogue.live_contents()
    photos = [row.path for rows in library.catalogue.photos_of(ids).values() for row in rows]
    named = [path for path in photos if os.path.basename(path) == os.fsencode(questions.example)]
    return named[0] if named else random.Random(0).choice(sorted(photos))


def _classify(library: "Library", towers: "Towers", labels: Sequence[str]) -> None:
    from clipsearch.classifying import Rule, classify_library, embed_labels
    from clipsearch.labels import labels_from_text
    from clipsearch.prompts import template_set

    _say_command(f'clipsearch classify --all --labels "{",".join(labels)}" --none-of-these')
    classes = embed_labels(towers, labels_from_text(",".join(labels)), template_set())
    for warning in classes.warnings:
        note(f"clipsearch: {visible(warning)}.")
    hidden = 0
    for number, result in enumerate(classify_library(library, classes, Rule("best-or-none"))):
        if number < SHOWN_LABELS:
            likeliest = result.labels[0].probability if result.assigned else result.none_probability
            name = visible_path(os.path.basename(result.path))
            say(f"  {percent(likeliest or 0):>7}  {visible(decided(result)):14} {name}")
        else:
            hidden += 1
    if hidden:
        say(f"  and {counted(hidden, 'more photo')}")


def _say_results(results: Sequence["SearchResult"]) -> None:
    for result in results:
        score = "" if result.score is None else f"{result.score:.3f}"
        say(f"  {score:>6}  {visible_path(os.path.basename(result.path))}")


def _say_command(command: str) -> None:
    say()
    say(f"$ {command}")


def _say_next(library: Path, questions: "DemoQuestions") -> None:
    where = f'--library "{visible(str(library))}"'
    program = visible(_program())
    say()
    say("What to type next:")
    say(f'  {program} search "{questions.queries[-1]}" {where}')
    say(f"  {program} index ~/Pictures --model starter")
    say(f'  {program} search "a dog on the beach"')
    say(f"  {program} --help")


def _program() -> str:
    """How to call this program from here: by its name where the shell would find it."""
    import shutil
    import sys

    if shutil.which("clipsearch"):
        return "clipsearch"
    beside = Path(sys.executable).with_name("clipsearch")
    if not beside.exists():
        return f"{sys.executable} -m clipsearch"
    return os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside)
