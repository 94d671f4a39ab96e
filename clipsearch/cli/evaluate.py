"""`clipsearch evaluate`: how good a model is on photos with captions or labels."""

from typing import TYPE_CHECKING, Annotated

import typer

from clipsearch.cli.arguments import at_most_one, examples, refuse_empty
from clipsearch.cli.escape import visible
from clipsearch.cli.evaluated import (
    say_comparison,
    say_evaluation,
    say_labels,
    say_records,
)
from clipsearch.cli.opening import model_to_index_with
from clipsearch.cli.options import (
    JsonProgressOption,
    LibraryOption,
    QuietOption,
    TemplateOption,
    TemplatesOption,
)
from clipsearch.cli.output import counted, note
from clipsearch.cli.progress import showing_progress
from clipsearch.errors import UsageError

if TYPE_CHECKING:
    from clipsearch.evaluating import Embedded, EvaluationData
    from clipsearch.prompts import TemplateSet
    from clipsearch.types import ModelInfo, Progress

EXAMPLES = examples(
    "clipsearch evaluate captions.csv --model starter",
    "clipsearch evaluate captions.csv --model my-run --against starter    which is better?",
    "clipsearch evaluate ~/Sorted --labels-from-folders --by-label",
    "clipsearch evaluate wds_cifar10 --model fast              a set in CLIP_benchmark's layout",
)

SOME_FAILED = 3
# More problems than this are only counted.
SHOWN_PROBLEMS = 5


def evaluate(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A table of photos and captions (CSV, TSV, JSON lines), a folder of labelled "
            "folders or of photos with .txt files, WebDataset tars, or a data set in "
            "CLIP_benchmark's layout.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The model; else the library's: see index."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Another model that the model is compared with, on the same photos.",
        ),
    ] = None,
    labels_from_folders: Annotated[
        bool,
        typer.Option(
            "--labels-from-folders", help="Take the names of folders for labels, and no captions."
        ),
    ] = False,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Which split of a standard set: test, else the only one."
        ),
    ] = None,
    photos: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Where the photos are that a table names."),
    ] = None,
    template: TemplateOption = None,
    templates: TemplatesOption = None,
    by_label: Annotated[
        bool, typer.Option("--by-label", help="Also show each label and what it is taken for.")
    ] = False,
    json: JsonProgressOption = False,
    library: LibraryOption = None,
    quiet: QuietOption = False,
) -> int:
    """Measure how well a model finds photos and captions for each other, and names what they show.

    recall@k is the share of captions that have their photo among the first k (and of photos that
    have one of their captions there); intervals are 95 %, drawn by photo. FAISS is compared with
    exact search over the same photos. A standard set's own sentences are used unless you give some.
    """
    at_most_one({"--template": template, "--templates": templates})
    refuse_empty("the data's name", data)

    from clipsearch.evaluating import compare, evaluation, rank, read_evaluation_data
    from clipsearch.storage.layout import library_dir

    wanted = read_evaluation_data(
        data, labels_from_folders=labels_from_folders, split=split, photo_root=photos
    )
    sentences = _sentences(template, templates, wanted)
    if wanted.dropped_captions:
        dropped = counted(wanted.dropped_captions, "empty or repeated caption")
        note(f"clipsearch: {dropped} left out.")
    with showing_progress(json=json, quiet=quiet) as progress:
        # The one that is compared with comes first: differences are what the model is better by.
        names = [model] if against is None else [against, model]
        models = [model_to_index_with(library_dir(library), name, progress) for name in names]
        if len({each.fingerprint for each in models}) < len(models):
            raise UsageError(
                f"{visible(models[1].name)} and {visible(models[0].name)} are one model",
                "Name another one with --against",
            )
        found = [_embedded(wanted, each, sentences, progress) for each in models]
        if against is not None:
            found = _on_the_same_photos(found)
        if found[0].copies and wanted.captions:
            _warn_of_copies(found[0].copies)
        progress("measure", 0, None)
        ranked = [rank(wanted, each) for each in found]
        figures = [
            evaluation(wanted, each, places) for each, places in zip(found, ranked, strict=True)
        ]
        comparison = compare(*ranked) if against is not None else None
    if json:
        say_records(figures, comparison, [len(each.left_out) for each in found])
    elif comparison is None:
        say_evaluation(figures[0])
    else:
        say_comparison(figures[0], figures[1], comparison)
    if by_label and not json:
        for each in figures:
            say_labels(each)
    return _finish(found)


def _embedded(
    data: "EvaluationData", model: "ModelInfo", sentences: "TemplateSet", progress: "Progress"
) -> "Embedded":
    """The data as vectors of a model, with what a person should know of it said."""
    from clipsearch.encoders import load_bulk_encoder, load_towers
    from clipsearch.evaluating import embed, photos_with_a_say
    from clipsearch.storage.layout import models_dir

    found = embed(
        data,
        load_towers(model, models_dir()),
        lambda expected: load_bulk_encoder(model, models_dir(), expected),
        sentences,
        progress,
    )
    name = visible(model.name)
    if found.cut_captions:
        cut = counted(found.cut_captions, "caption")
        note(f"clipsearch: {name} reads only the beginning of {cut}.")
    if found.unknown_captions:
        unknown = counted(found.unknown_captions, "caption")
        use = "uses" if found.unknown_captions == 1 else "use"
        note(
            f"clipsearch: {unknown} of {found.measured_captions:,} {use} words that {name} "
            "never saw."
        )
    learned = photos_with_a_say(found)
    if learned:
        note(
            f"clipsearch: {name} learned from, or was chosen by, {learned:,} of these "
            f"{len(found.numbers):,} photos: its figures are too good. Measure it on others."
        )
    return found


def _sentences(
    template: list[str] | None, templates: str | None, data: "EvaluationData"
) -> "TemplateSet":
    from clipsearch.prompts import DEFAULT_SET, own_templates, template_set

    if template:
        return own_templates(template)
    if templates is None and data.templates:
        return own_templates(list(data.templates), "the data's own")
    return template_set(templates or DEFAULT_SET)


def _on_the_same_photos(found: "list[Embedded]") -> "list[Embedded]":
    import numpy as np

    common = np.intersect1d(found[0].numbers, found[1].numbers)
    if not len(common):
        raise UsageError("no photo can be used by both models", "Are the photos readable?")
    return [each.only(common) for each in found]


def _warn_of_copies(count: int) -> None:
    copies, have = counted(count, "photo"), "has" if count == 1 else "have"
    note(
        f"clipsearch: {copies} {have} the content of another one. A caption belongs to one of "
        "them, and finding the other counts as a mistake: take the copies away."
    )


def _finish(found: "list[Embedded]") -> int:
    failed = {problem.name: problem for each in found for problem in each.left_out}
    for problem in list(failed.values())[:SHOWN_PROBLEMS]:
        note(f"clipsearch: {visible(problem.name)}: {visible(problem.reason)}.")
    hidden = len(failed) - SHOWN_PROBLEMS
    if hidden > 0:
        note(f"clipsearch: {counted(hidden, 'more photo')} could not be used.")
    return SOME_FAILED if failed else 0
