"""What `finetune` and `train` show while they work, and how they end."""

import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clipsearch.cli.arguments import refuse_empty
from clipsearch.cli.escape import visible
from clipsearch.cli.failures import INTERRUPTED
from clipsearch.cli.output import counted, note, note_json, say, say_json
from clipsearch.cli.progress import (
    EVENT_SECONDS,
    PLAIN_SECONDS,
    BarLines,
    duration,
    showing_progress,
)
from clipsearch.errors import UsageError
from clipsearch.percent import percent

if TYPE_CHECKING:
    from clipsearch.finetuning import (
        Began,
        Checked,
        Event,
        Finished,
        Judged,
        Kind,
        Outcome,
        Request,
        Stopped,
        Trained,
        Wishes,
    )
    from clipsearch.pairs.inspecting import FindingKind
    from clipsearch.types import Progress

NO_BETTER = 1
SHOWN_FINDINGS = 3


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a run begins with: a model's name, or an architecture with random weights."""

    model: str | None = None
    architecture: str | None = None

    @property
    def name(self) -> str:
        """What a person called it."""
        return self.model or self.architecture or ""


def new_request(
    kind: "Kind",
    wishes: "Wishes",
    *,
    begins_with: Beginning,
    data: str | None,
    library: str | None,
    photos: str | None,
    out: str | None,
    retain: str | None = None,
) -> "Request":
    """The request for a new run. Raises UsageError unless there is one thing to learn from."""
    from clipsearch.finetuning import Request

    _require_one_source(data, library)
    return Request(
        kind=kind,
        run=_out_directory(out, kind, begins_with.name, data or library or ""),
        data=None if data is None else Path(data),
        library=None if library is None else Path(library),
        model=begins_with.model,
        architecture=begins_with.architecture,
        photo_root=photos,
        wishes=wishes,
        retain=None if retain is None else Path(retain),
    )


def resumed_request(run: str, wishes: "Wishes") -> "Request":
    """The request that a run was begun with. Raises UsageError when none was begun there."""
    from clipsearch.finetuning import resumed

    refuse_empty("the run's name after --resume", run)
    return resumed(_absolute(run), wishes)


def _absolute(path: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path)))


def _out_directory(given: str | None, kind: str, model: str, source: str) -> Path:
    """Where the run goes: what was given, else a name that the same command always gives."""
    refuse_empty("the run's name after --out", given)
    if given:
        return _absolute(given)
    parts = [kind, os.path.basename(model.rstrip("/")), Path(source.rstrip("/")).stem]
    name = re.sub(r"[^\w.-]+", "-", "-".join(parts))
    return _absolute(name)


def follow(request: "Request", *, check_only: bool, json: bool, quiet: bool) -> int:
    """Do what was asked for, showing how it goes; the exit code."""
    from clipsearch.finetuning import check, run
    from clipsearch.storage.layout import models_dir

    show = Shown(json=json, quiet=quiet)
    with showing_progress(json=json, quiet=quiet) as progress:
        show.bars = progress if not json and not quiet and sys.stderr.isatty() else None
        if check_only:
            with tempfile.TemporaryDirectory(prefix="clipsearch-check-") as scratch:
                check(request, models_dir(), Path(scratch), show, progress)
            return 0
        outcome = run(request, models_dir(), show, progress)
    return _ended(request, outcome, json=json)


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
                note(f"clipsearch: {visible(event.text)}")

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
            note(f"  {count:,} {kind}: {some}{more}")
        if event.near_duplicates:
            pairs = counted(event.near_duplicates, "pair")
            note(f"  {pairs} of near-duplicates: kept on one side of the division")

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


def _kinds(event: "Checked") -> "list[FindingKind]":
    return list(dict.fromkeys(finding.kind for finding in event.report.findings))


def _ended(request: "Request", outcome: "Outcome", *, json: bool) -> int:
    from clipsearch.finetuning import Followed, Stopped

    if isinstance(outcome, Followed):
        return 0
    if isinstance(outcome, Stopped):
        return _stopped(request, outcome, json=json)
    return _finished(request, outcome, json=json)


def _stopped(request: "Request", stopped: "Stopped", *, json: bool) -> int:
    go_on = f"clipsearch {request.kind} --resume {_quoted(stopped.run)}"
    if json:
        say_json(
            {
                "event": "stopped",
                "run": str(stopped.run),
                "step": stopped.step,
                "steps": stopped.steps,
            }
        )
    note(
        f"clipsearch: interrupted after step {stopped.step:,} of {stopped.steps:,}, which is "
        f"saved. Go on with: {go_on}"
    )
    return INTERRUPTED


def _finished(request: "Request", finished: "Finished", *, json: bool) -> int:
    run = _quoted(finished.run)
    if json:
        say_json({"event": "finished", "run": str(finished.run), **finished.record})
    else:
        if finished.was_before:
            note("clipsearch: this run had come to its end before; --out gives another one.")
        for line in finished.text.splitlines():
            say(visible(line))
        say()
        if finished.helped:
            say(f"Use it:    clipsearch index --model {run}")
            say("           encodes your photos with it, beside what is there now")
            if request.model is not None:
                say(f"Go back:   clipsearch index --model {visible(request.model)}")
        else:
            say("More photos, other captions or --tune lora may change that.")
    return 0 if finished.helped else NO_BETTER


def _quoted(path: Path) -> str:
    import shlex

    return visible(shlex.quote(str(path)))


def _require_one_source(data: str | None, library: str | None) -> None:
    """Raise UsageError unless exactly one thing to learn from is given."""
    refuse_empty("the name of the data", data)
    if data is None and library is None:
        raise UsageError(
            "say what to learn from",
            "Name a table of photos and captions, a folder or a .tar; or --library DIR",
        )
    if data is not None and library is not None:
        raise UsageError("DATA and --library are given together", "Choose one of them")
