"""`clipsearch teach`: learn a name from photos, to search and classify with."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from clipsearch.cli.arguments import as_paths, at_most_one, examples, refuse_empty
from clipsearch.cli.escape import path_fields, visible, visible_path
from clipsearch.cli.moments import shown_moment
from clipsearch.cli.opening import open_library, towers_of
from clipsearch.cli.options import JsonProgressOption, LibraryOption, QuietOption
from clipsearch.cli.output import Column, counted, note, say, say_json, say_table
from clipsearch.cli.progress import showing_progress
from clipsearch.errors import UsageError
from clipsearch.percent import percent

if TYPE_CHECKING:
    from clipsearch.library import Library
    from clipsearch.storage.concepts import Concept
    from clipsearch.teaching import Taught
    from clipsearch.types import Progress

EXAMPLES = examples(
    "clipsearch teach rex rex1.jpg rex2.jpg rex3.jpg     then: clipsearch search @rex",
    'clipsearch teach "our kitchen" ~/Kitchen            every photo in a folder',
    'clipsearch teach rex ~/Rex --is "a dog" --not fox.jpg',
    "clipsearch teach rex --add rex4.jpg                 more photos of what is known",
    "clipsearch teach sorted --folders ~/Sorted          a label for each folder in it",
    "clipsearch teach rex                                again from the same photos",
    "clipsearch teach --list",
)

NOTHING_FOUND = 1
SOME_FAILED = 3
# More problems than this are only counted.
SHOWN_PROBLEMS = 5


def teach(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="What to call it: letters, digits, spaces and - _ ' &. Case makes no difference.",
            show_default=False,
        ),
    ] = None,
    photos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PHOTO",
            help="Photos of it, indexed or not, or folders of them: 3 to 20 photos are a good "
            "start. None: those it was taught with before, again.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--not",
            metavar="PHOTO",
            help="A photo, or folder, of what it is not; may be repeated.",
            show_default=False,
        ),
    ] = None,
    words: Annotated[
        str | None,
        typer.Option(
            "--is", metavar="WORDS", help='What it is, in words the model knows: "a dog".'
        ),
    ] = None,
    add: Annotated[
        bool, typer.Option("--add", help="Add the photos to those it was taught with.")
    ] = False,
    folders: Annotated[
        bool,
        typer.Option(
            "--folders",
            help="Learn a set of labels: one for each folder in the folder given, or for each of "
            "several given.",
        ),
    ] = False,
    everything: Annotated[
        bool, typer.Option("--list", help="Show what was taught; nothing else is done.")
    ] = False,
    forget: Annotated[
        str | None, typer.Option("--forget", metavar="NAME", help="Forget a name. Photos stay.")
    ] = None,
    json: JsonProgressOption = False,
    library: LibraryOption = None,
    quiet: QuietOption = False,
) -> int:
    """Learn what a name means from a few photos, to use it as @NAME in search and classify.

    It is told from the other photos of the library, within seconds. A photo is only read; what is
    kept, in the library, is the name, the photos' fingerprints and what was learned.
    """
    at_most_one({"--list": everything, "--forget": forget, "a name": name})
    at_most_one({"--folders": folders, "--add": add})
    at_most_one({"--folders": folders, "--not": against})
    at_most_one({"--folders": folders, "--is": words})
    refuse_empty("the name", name)
    refuse_empty("the text after --is", words)
    if everything:
        return _list(library, json=json)
    if forget is not None:
        return _forget(library, forget, json=json)
    if name is None:
        raise UsageError(
            "no name is given", "Call it something: clipsearch teach rex rex1.jpg rex2.jpg"
        )
    paths, opposite = as_paths(photos or []), as_paths(against or [])
    if folders and not paths:
        raise UsageError("no folder is given", f"clipsearch teach {name} --folders FOLDER")
    with (
        showing_progress(json=json, quiet=quiet) as progress,
        open_library(library) as opened,
    ):
        taught = _taught(
            opened, name, paths, opposite, words, progress, add=add, folders=folders
        )  # fmt: skip
        if json:
            say_json(record_of(taught))
        else:
            _say(taught)
    for warning in taught.warnings:
        note(f"clipsearch: {visible(warning)}.")
    return _finish(taught)


def _taught(
    library: "Library",
    name: str,
    paths: list[bytes],
    against: list[bytes],
    words: str | None,
    progress: "Progress",
    *,
    add: bool,
    folders: bool,
) -> "Taught":
    from clipsearch.teaching import teach as teach_concept
    from clipsearch.teaching import teach_again, teach_labels

    towers = towers_of(library)
    if folders:
        return teach_labels(library, towers, name, paths, progress=progress)
    if not (paths or against or add or words):
        return teach_again(library, towers, name, progress)
    return teach_concept(
        library, towers, name, paths, counter=against, words=words, add=add, progress=progress
    )


def _say(taught: "Taught") -> None:
    from clipsearch.concepts.names import as_typed

    concept, found, labels = taught.concept, taught.found, taught.labels
    typed = visible(as_typed(concept.name))
    if labels is not None:
        names = sorted({photo.label for photo in concept.photos})
        photos = counted(len(concept.photos), "photo")
        say(f"{typed}: {counted(len(names), 'label')} learned from {photos}")
        say(f"left out one by one, {percent(labels.accuracy, 0)} of them get their own label back")
        rows = (
            (label, f"{sum(p.label == label for p in concept.photos):,}", percent(right, 0))
            for label, right in zip(names, labels.by_label, strict=True)
        )
        say_table([Column("label"), Column("photos", "right"), Column("right", "right")], rows)
        say(f"try: clipsearch classify --all --labels {typed}")
    if found is not None:
        examples = sum(photo.is_example for photo in concept.photos)
        say(f"{typed}: learned from {counted(examples, 'photo')}{_also(concept)}")
        if examples > 1:
            say(
                f"left out one by one, {percent(found.own, 0)} of them are recognised; "
                f"of the library's other photos {percent(found.others)} are taken for it"
            )
        say(f"try: clipsearch search {typed}")


def _also(concept: "Concept") -> str:
    counter = sum(not photo.is_example for photo in concept.photos)
    parts = [f", {counter} of what it is not"] if counter else []
    if concept.words is not None:
        parts.append(f', and the words "{visible(concept.words)}"')
    return "".join(parts)


def _finish(taught: "Taught") -> int:
    for problem in taught.problems[:SHOWN_PROBLEMS]:
        note(f"clipsearch: {visible_path(problem.path)}: {visible(problem.reason)}.")
    hidden = len(taught.problems) - SHOWN_PROBLEMS
    if hidden > 0:
        note(f"clipsearch: {counted(hidden, 'more file')} could not be used.")
    return SOME_FAILED if taught.problems else 0


def _list(given: str | None, *, json: bool) -> int:
    with open_library(given) as library:
        concepts = library.catalogue.concepts.all()
        answering = library.catalogue.active_model_id()
        learned = [answering in library.catalogue.concepts.learned_with(c) for c in concepts]
    if not concepts:
        note("clipsearch: nothing was taught yet.")
        return NOTHING_FOUND
    if json:
        for concept, current in zip(concepts, learned, strict=True):
            say_json({**fields_of(concept), "current": current})
        return 0
    rows = (
        (
            f"@{concept.name}",
            _contents(concept),
            concept.words or "",
            shown_moment(concept.taught_at, "%Y-%m-%d"),
            "" if current else "with another model: learned again when used",
        )
        for concept, current in zip(concepts, learned, strict=True)
    )
    columns = ("name", "taught with", "is", "on", "")
    say_table([Column(title) for title in columns], rows)
    return 0


def _contents(concept: "Concept") -> str:
    examples = sum(photo.is_example for photo in concept.photos)
    if concept.kind == "labels":
        labels = len({photo.label for photo in concept.photos})
        return f"{counted(labels, 'label')}, {counted(examples, 'photo')}"
    counter = len(concept.photos) - examples
    return counted(examples, "photo") + (f", {counter} of what it is not" if counter else "")


def _forget(given: str | None, name: str, *, json: bool) -> int:
    from clipsearch.teaching import forget

    refuse_empty("the name after --forget", name)
    with open_library(given) as library:
        concept = forget(library, name)
    if json:
        say_json({"forgotten": concept.name, "photos": len(concept.photos)})
    else:
        say(f"forgot @{visible(concept.name)}; its photos were not touched")
    return 0


def fields_of(concept: "Concept") -> dict[str, object]:
    """A concept as the fields of a JSON object."""
    return {
        "name": concept.name,
        "kind": concept.kind,
        "is": concept.words,
        "taught_at": concept.taught_at,
        "photos": [
            {
                **path_fields(photo.path),
                "content_hash": photo.content_hash.hex(),
                "example": photo.is_example,
                **({"label": photo.label} if photo.label else {}),
            }
            for photo in concept.photos
        ],
    }


def record_of(taught: "Taught") -> dict[str, object]:
    """What was taught as a JSON object."""
    record = {**fields_of(taught.concept), "encoded": taught.encoded}
    if taught.found is not None:
        record["recognised"] = round(taught.found.own, 6)
        record["mistaken"] = round(taught.found.others, 6)
    if taught.labels is not None:
        record["accuracy"] = round(taught.labels.accuracy, 6)
    record["problems"] = [
        {**path_fields(os.fsencode(problem.path)), "kind": problem.kind, "reason": problem.reason}
        for problem in taught.problems
    ]
    return record
