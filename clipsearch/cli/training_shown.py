"""What `finetune` and `train` show while they work."""

import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from clipsearch.cli.escape import visible
from clipsearch.cli.output import counted, note, note_json
from clipsearch.cli.progress import EVENT_SECONDS, PLAIN_SECONDS, BarLines, duration
from clipsearch.percent import percent

if TYPE_CHECKING:
    from clipsearch.finetuning import Began, Checked, Event, Judged, Trained
    from clipsearch.pairs.inspecting import FindingKind
    from clipsearch.types import Progress

SHOWN_FINDINGS = 3
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


class Shown:
    """The events of a run, for people as lines, for programs as JSON lines, on standard error."""

    def __init__(self, *, json: bool, quiet: bool) -> None:
        self._json, self._quiet = json, quiet
        self._told_at = 0.0
        self._last = ""
        self.bars: Progress | None = None

    def __call__(self, event: "Event") -> None:
        """Show one event, unless the last one of its kind is fresh."""
        from clipsearch import finetuning

        match event:
            case finetuning.Checked():
                self._checked(event)
            case finetuning.Began():
                self._began(event)
            case finetuning.Trained():
                self._trained(event)
            case finetuning.Judged():
                self._judged(event)
            case finetuning.Remark():
                self._write(
                    lambda: {"event": "remark", "text": event.text},
                    lambda: visible(event.text),
                )

    def _write(self, record: Callable[[], dict[str, object]], line: Callable[[], str]) -> None:
        if self._json:
            note_json(record())
        elif not self._quiet:
            note(line())

    def _checked(self, event: "Checked") -> None:
        report = event.report
        learned, validation, test = event.parts or (None, None, None)
        counts = {kind: report.count(kind) for kind in _kinds(event)}
        self._write(
            lambda: {
                "event": "checked",
                "listed": report.listed,
                "usable": len(report.photos),
                "captions": report.captions,
                "findings": counts,
                "near_duplicates": event.near_duplicates,
                "learned": learned,
                "validation": validation,
                "test": test,
            },
            lambda: (
                f"{counted(report.listed, 'photo')}, {len(report.photos):,} of them usable, "
                f"{counted(report.captions, 'caption')}: {_parts(event)}"
            ),
        )
        if self._json or self._quiet:
            return
        for kind, count in counts.items():
            shown = report.examples(kind, SHOWN_FINDINGS)
            some = "; ".join(f"{visible(f.photo)}: {visible(f.detail)}" for f in shown)
            more = " ..." if count > len(shown) else ""
            found = counted(count, kind) if kind in _NOUNS else f"{count:,} {kind}"
            note(f"  {found}{_CONSEQUENCES.get(kind, '')}: {some}{more}")
        if event.near_duplicates:
            pairs = counted(event.near_duplicates, "pair")
            note(f"  {pairs} of near-duplicates: kept on one side of the division")
        if labels := _labels(event):
            note(f"  {counted(len(labels), 'label')}: {_counts(labels)}")
        if test is not None and test < _FEWEST_TO_BE_SURE:
            note(
                f"  {counted(test, 'test photo')} can prove nothing: add photos, or give --test 0.3"
            )

    def _began(self, event: "Began") -> None:
        import dataclasses

        settings = event.settings
        again = f", going on after step {event.step:,}" if event.step else ""
        self._write(
            lambda: {
                "event": "began",
                "step": event.step,
                "steps": event.steps,
                "settings": dataclasses.asdict(settings),
            },
            lambda: (
                f"{counted(event.steps, 'step')} in {counted(settings.epochs, 'epoch')}{again}: "
                f"batches of {settings.batch_size}, learning rate {settings.learning_rate:g}, "
                f"loss {settings.loss}, training {settings.tune}, {settings.precision}, "
                f"{settings.device}"
            ),
        )

    def _trained(self, event: "Trained") -> None:
        self._last = f"loss {event.loss:.3f}"
        now = time.monotonic()
        if self.bars is not None:
            self.bars("train", event.step, event.steps)
            if isinstance(self.bars, BarLines):
                self.bars.rename("train", f"training, loss {event.loss:.3f}")
            return
        fresh = now - self._told_at < (EVENT_SECONDS if self._json else PLAIN_SECONDS)
        if fresh and event.step != event.steps:
            return
        self._told_at = now
        self._write(
            lambda: {
                "event": "step",
                "step": event.step,
                "steps": event.steps,
                "epoch": round(event.epoch, 4),
                "loss": event.loss,
                "learning_rate": event.learning_rate,
                "pairs_per_second": round(event.pairs_per_second, 3),
                "seconds_left": round(event.seconds_left, 1),
            },
            lambda: (
                f"step {event.step:,} of {event.steps:,}, epoch {event.epoch:.1f}: "
                f"loss {event.loss:.3f}, {event.pairs_per_second:.1f} pairs/s, "
                f"{duration(event.seconds_left)} left"
            ),
        )

    def _judged(self, event: "Judged") -> None:
        name = f"epoch {event.epoch}" if event.epoch else "the original"
        loss = f"{self._last}, " if event.epoch else ""
        best = " (the best so far)" if event.is_best else ""
        self._write(
            lambda: {
                "event": "epoch",
                "epoch": event.epoch,
                "score": event.score,
                "best": event.is_best,
            },
            lambda: f"{name}: {loss}{event.score_name} {percent(event.score)}{best}",
        )


def _parts(event: "Checked") -> str:
    if event.parts is None:
        return "too much of it is bad"
    learned, validation, test = event.parts
    return f"{learned:,} to learn from, {validation:,} to choose by, {test:,} to test on"


def _labels(event: "Checked") -> "Counter[str]":
    """How many usable photos have each label and no caption."""
    photos = event.report.photos
    return Counter(photo.label for photo in photos if photo.label and not photo.captions)


def _counts(labels: "Counter[str]") -> str:
    shown = [f"{visible(label)} ({n:,})" for label, n in labels.most_common(_SHOWN_LABELS)]
    return ", ".join(shown) + (" ..." if len(labels) > len(shown) else "")


def _kinds(event: "Checked") -> "list[FindingKind]":
    return list(dict.fromkeys(finding.kind for finding in event.report.findings))
