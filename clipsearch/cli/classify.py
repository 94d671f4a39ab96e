"""`clipsearch classify`: which of some labels fits each photo."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from clipsearch.cli.accuracy import say_report, say_report_json
from clipsearch.cli.arguments import as_paths, at_most_one, examples
from clipsearch.cli.delivering import Delivery, deliver, delivery_of, inside, warn_of_copies_found
from clipsearch.cli.escape import visible, visible_path
from clipsearch.cli.labelled import (
    NONE_OF_THESE,
    say_labels_csv,
    say_labels_json,
    say_labels_table,
)
from clipsearch.cli.opening import model_to_index_with, open_library, towers_of
from clipsearch.cli.options import (
    CopyToOption,
    JsonProgressOption,
    LibraryOption,
    LinkToOption,
    QuietOption,
    TemplateOption,
    TemplatesOption,
)
from clipsearch.cli.output import counted, note
from clipsearch.cli.progress import showing_progress
from clipsearch.errors import UsageError

if TYPE_CHECKING:
    from clipsearch.classifying import Classes, PhotoLabels, Rule, TruthTally
    from clipsearch.encoders import Towers
    from clipsearch.labels import Label
    from clipsearch.library import Library
    from clipsearch.types import PhotoProblem, Progress

EXAMPLES = examples(
    "clipsearch classify ~/Inbox --labels cat,dog,receipt",
    "clipsearch classify --all --labels-file labels.txt --csv > labels.csv",
    "clipsearch classify ~/Inbox --labels cat,dog --none-of-these --copy-to ~/Sorted",
    "clipsearch classify --all --labels beach,people,night --multi-label",
    "clipsearch classify ~/Inbox --labels @rex,cat --none-of-these",
    "clipsearch classify ~/Sorted --truth-from-folders      how often the folders agree",
)

NOTHING_FOUND = 1
SOME_FAILED = 3
# More problems than this are only counted.
SHOWN_PROBLEMS = 5


def classify(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH", help="Photos and folders, indexed or not.", show_default=False
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every photo of the library, instead of paths.")
    ] = False,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Labels; NAME=WORDS shows NAME and has the model read WORDS; @NAME was taught.",
        ),
    ] = None,
    labels_file: Annotated[
        str | None,
        typer.Option(
            "--labels-file", metavar="FILE", help="Labels from a file: one a line, or CSV or TSV."
        ),
    ] = None,
    template: TemplateOption = None,
    templates: TemplatesOption = None,
    top_n: Annotated[
        int, typer.Option("-n", "--top-n", metavar="N", min=1, help="How many labels are told.")
    ] = 3,
    multi_label: Annotated[
        bool, typer.Option("--multi-label", help="Decide on each label by itself.")
    ] = False,
    none_of_these: Annotated[
        bool, typer.Option("--none-of-these", help="Decide for no label where none fits.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(metavar="P", min=0.0, max=1.0, help="Decide for no label less likely."),
    ] = None,
    truth_from_folders: Annotated[
        bool,
        typer.Option(
            "--truth-from-folders",
            help="Report how often the labels agree with the names of the photos' folders; without "
            "labels, those names are the labels.",
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Another model than the library's: see index."),
    ] = None,
    json: JsonProgressOption = False,
    csv: Annotated[bool, typer.Option("--csv", help="CSV that is safe in spreadsheets.")] = False,
    copy_to: CopyToOption = None,
    link_to: LinkToOption = None,
    library: LibraryOption = None,
    quiet: QuietOption = False,
) -> int:
    """Say which of some labels fits each photo, and how probable each is.

    Indexed photos cost next to nothing, others are read and encoded. With --copy-to or --link-to
    each label gets a folder of its photos.
    """
    at_most_one({"--labels": labels, "--labels-file": labels_file})
    at_most_one({"--template": template, "--templates": templates})
    at_most_one({"--multi-label": multi_label, "--none-of-these": none_of_these})
    at_most_one({"--json": json, "--csv": csv})
    at_most_one({"a path": paths, "--all": everything})
    if not (paths or everything):
        raise UsageError("no photos are named", "Give photos or folders, or --all")
    if not (labels or labels_file or truth_from_folders):
        raise UsageError("no labels are given", "Write them like this: --labels cat,dog")
    delivery = delivery_of(copy_to, link_to)

    from clipsearch.classifying import Rule, TruthTally, classes_of
    from clipsearch.prompts import DEFAULT_SET, own_templates, template_set

    sentences = own_templates(template) if template else template_set(templates or DEFAULT_SET)
    rule = Rule(
        "each" if multi_label else "best-or-none" if none_of_these else "best", top_n, threshold
    )
    targets = as_paths(paths or [])
    # Bars and results that appear one by one would draw over each other on one terminal.
    hushed = quiet or ((json or csv) and sys.stdout.isatty())
    with (
        showing_progress(json=json, quiet=hushed) as progress,
        _library(library, must_exist=everything) as opened,
    ):
        if delivery is not None and opened is not None:
            warn_of_copies_found(delivery, [root.path for root in opened.catalogue.roots()])
        towers = _towers(opened, library, model, progress)
        wanted = _labels(labels, labels_file, targets, opened)
        classes = classes_of(opened, towers, wanted, sentences, progress)
        for warning in classes.warnings:
            note(f"clipsearch: {visible(warning)}.")
        passed = Passed(TruthTally(classes.labels), keep_paths=delivery is not None)
        results = passed.count(_outcomes(opened, targets, classes, rule), progress)
        if json:
            say_labels_json(results, with_truth=truth_from_folders)
        elif csv:
            say_labels_csv(results, min(top_n, len(classes.labels)))
        else:
            kept = list(results)
    if not (json or csv):
        say_labels_table(kept)
    if truth_from_folders:
        # A table of its own would make the CSV unreadable: the report is an object of its own.
        (say_report_json if json or csv else say_report)(passed.tally.report())
    return _finish(passed, delivery)


class Passed:
    """What has to be known at the end, counted while results pass to where they are shown."""

    def __init__(self, tally: "TruthTally", *, keep_paths: bool) -> None:
        self.tally = tally
        self.photos = 0
        self.problems: list[PhotoProblem] = []
        self.by_label: dict[str, list[bytes]] = {}
        self._keep_paths = keep_paths

    def count(
        self, outcomes: Iterator["PhotoLabels | PhotoProblem"], progress: "Progress"
    ) -> Iterator["PhotoLabels"]:
        """The results among `outcomes`, as they come; problems are kept."""
        from clipsearch.classifying import PhotoLabels

        for outcome in outcomes:
            if not isinstance(outcome, PhotoLabels):
                self.problems.append(outcome)
                continue
            self.photos += 1
            self.tally.add(outcome)
            if self._keep_paths:
                for label in outcome.assigned or (NONE_OF_THESE,):
                    self.by_label.setdefault(label, []).append(outcome.path)
            progress("classify", self.photos, None)
            yield outcome


def _library(given: str | None, *, must_exist: bool) -> "AbstractContextManager[Library | None]":
    """The library, when there is one: photos can be classified without."""
    from clipsearch.storage.layout import CATALOGUE_NAME, library_dir

    if must_exist or (library_dir(given) / CATALOGUE_NAME).exists():
        return open_library(given)
    return nullcontext()


def _towers(
    library: "Library | None", given: str | None, model: str | None, progress: "Progress"
) -> "Towers":
    from clipsearch.encoders import load_towers
    from clipsearch.storage.layout import library_dir, models_dir

    if model is None and library is not None and library.model is not None:
        return towers_of(library)
    info = model_to_index_with(library_dir(given), model, progress)
    return load_towers(info, models_dir())


def _labels(
    text: str | None, file: str | None, targets: list[bytes], library: "Library | None"
) -> tuple["Label", ...]:
    from clipsearch.classifying import indexed_folders, photo_folders
    from clipsearch.labels import labels_from_file, labels_from_folders, labels_from_text

    if text is not None:
        return labels_from_text(text)
    if file is not None:
        return labels_from_file(file)
    if targets:
        return labels_from_folders(photo_folders(targets))
    assert library is not None  # --all has opened it
    return labels_from_folders(indexed_folders(library))


def _outcomes(
    library: "Library | None", targets: list[bytes], classes: "Classes", rule: "Rule"
) -> Iterator["PhotoLabels | PhotoProblem"]:
    from clipsearch.classifying import classify_library, classify_paths
    from clipsearch.encoders import load_bulk_encoder
    from clipsearch.storage.layout import models_dir

    if not targets:
        assert library is not None  # --all has opened it
        return iter(classify_library(library, classes, rule))
    return classify_paths(
        targets,
        classes,
        lambda expected: load_bulk_encoder(classes.model, models_dir(), expected),
        rule,
        library=library,
    )


def _finish(passed: Passed, delivery: Delivery | None) -> int:
    for problem in passed.problems[:SHOWN_PROBLEMS]:
        note(f"clipsearch: {visible_path(problem.path)}: {visible(problem.reason)}.")
    hidden = len(passed.problems) - SHOWN_PROBLEMS
    if hidden > 0:
        note(f"clipsearch: {counted(hidden, 'more file')} could not be used.")
    failed = len(passed.problems)
    if delivery is not None:
        for label, paths in sorted(passed.by_label.items()):
            failed += deliver(paths, inside(delivery, label))
    if failed:
        return SOME_FAILED
    if not passed.photos:
        note("clipsearch: no photo was found.")
        return NOTHING_FOUND
    return 0
