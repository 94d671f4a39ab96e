"""What `--check` found in a run's photos and captions."""

from collections import Counter
from typing import TYPE_CHECKING

from clipsearch.cli.escape import visible
from clipsearch.cli.output import counted, say, say_json

if TYPE_CHECKING:
    from clipsearch.finetuning import Checked, Event
    from clipsearch.pairs.inspecting import FindingKind

_SHOWN_LABELS = 8
# Findings that are called by a thing, of which there may be several.
_NOUNS: "frozenset[FindingKind]" = frozenset({"empty caption", "repeated row", "long caption"})
# What follows from a finding where its name does not say it.
_CONSEQUENCES: "dict[FindingKind, str]" = {
    "two labels": ", both kept",
    "same content": ", taken for one photo",
    "long caption": ", of which only the beginning is read",
}
# With fewer test photos than this no difference is ever sure (`PairedDifference.is_sure`).
_FEWEST_TO_BE_SURE = 6
_LARGER_TEST = 0.3


class ShownCheck:
    """The result of a check on standard output: every finding, for people and for programs."""

    def __init__(self, *, json: bool) -> None:
        self._json = json

    def __call__(self, event: "Event") -> None:
        """Say what was found; nothing else happens in a check."""
        from clipsearch.finetuning import Checked

        if not isinstance(event, Checked):
            return
        if self._json:
            say_json(checked_record(event))
            for found in event.report.findings:
                say_json({"event": "finding", "kind": found.kind, "photo": found.photo,
                          "detail": found.detail})  # fmt: skip
            return
        say(checked_line(event))
        for kind in kinds_found(event):
            say(f"  {kind_found(event, kind)}:")
            for found in event.report.examples(kind, len(event.report.findings)):
                say(f"    {visible(found.photo)}: {visible(found.detail)}")
        for line in checked_hints(event):
            say(line)


def checked_record(event: "Checked") -> dict[str, object]:
    """The counts of a check, for programs."""
    report = event.report
    learned, validation, test = event.parts or (None, None, None)
    return {
        "event": "checked",
        "listed": report.listed,
        "usable": len(report.photos),
        "captions": report.captions,
        "findings": {kind: report.count(kind) for kind in kinds_found(event)},
        "near_duplicates": event.near_duplicates,
        "learned": learned,
        "validation": validation,
        "test": test,
    }


def checked_line(event: "Checked") -> str:
    """How much there is to learn from."""
    report = event.report
    return (
        f"{counted(report.listed, 'photo')}, {len(report.photos):,} of them usable, "
        f"{counted(report.captions, 'caption')}: {_parts(event)}"
    )


def checked_hints(event: "Checked") -> list[str]:
    """What else a person should know before the start."""
    lines = []
    if event.near_duplicates:
        pairs = counted(event.near_duplicates, "pair")
        lines.append(f"  {pairs} of near-duplicates: kept on one side of the division")
    if labels := _labels(event):
        lines.append(f"  {counted(len(labels), 'label')}: {_counts(labels)}")
    if event.parts is not None and (test := event.parts[2]) < _FEWEST_TO_BE_SURE:
        photos = counted(test, "test photo")
        more = len(event.report.photos) * _LARGER_TEST >= _FEWEST_TO_BE_SURE
        instead = f", or give --test {_LARGER_TEST}" if more else ""
        lines.append(f"  {photos} can prove nothing: add photos{instead}")
    return lines


def kind_found(event: "Checked", kind: "FindingKind") -> str:
    """How many findings of a kind there are, and what follows from them."""
    count = event.report.count(kind)
    found = counted(count, kind) if kind in _NOUNS else f"{count:,} {kind}"
    return f"{found}{_CONSEQUENCES.get(kind, '')}"


def _parts(event: "Checked") -> str:
    if event.parts is None:
        return "nothing would be learned"
    learned, validation, test = event.parts
    return f"{learned:,} to learn from, {validation:,} to choose by, {test:,} to test on"


def _labels(event: "Checked") -> "Counter[str]":
    """How many usable photos have each label and no caption."""
    photos = event.report.photos
    return Counter(photo.label for photo in photos if photo.label and not photo.captions)


def _counts(labels: "Counter[str]") -> str:
    shown = [f"{visible(label)} ({n:,})" for label, n in labels.most_common(_SHOWN_LABELS)]
    return ", ".join(shown) + (" ..." if len(labels) > len(shown) else "")


def kinds_found(event: "Checked") -> "list[FindingKind]":
    """The kinds of findings, each once, in the order they were met."""
    return list(dict.fromkeys(finding.kind for finding in event.report.findings))
