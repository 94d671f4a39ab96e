"""What `finetune` and `train` show while they work."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from clipsearch.cli.checked_shown import (
    checked_hints,
    checked_line,
    checked_record,
    kind_found,
    kinds_found,
)
from clipsearch.cli.escape import visible
from clipsearch.cli.output import counted, note, note_json
from clipsearch.cli.progress import EVENT_SECONDS, PLAIN_SECONDS, BarLines, duration
from clipsearch.percent import percent

if TYPE_CHECKING:
    from clipsearch.finetuning import Began, Checked, Event, Judged, Trained
    from clipsearch.types import Progress

SHOWN_FINDINGS = 3


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
        self._write(
            lambda: checked_record(event),
            lambda: "\n".join([checked_line(event), *_some_findings(event), *checked_hints(event)]),
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


def _some_findings(event: "Checked") -> list[str]:
    """A line for each kind of finding, with a few of each."""
    report = event.report
    lines = []
    for kind in kinds_found(event):
        shown = report.examples(kind, SHOWN_FINDINGS)
        some = "; ".join(f"{visible(f.photo)}: {visible(f.detail)}" for f in shown)
        more = " ..." if report.count(kind) > len(shown) else ""
        lines.append(f"  {kind_found(event, kind)}: {some}{more}")
    return lines
