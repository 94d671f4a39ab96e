"""How long work is followed: bars on a terminal, plain lines elsewhere, JSON lines for programs.

Everything here goes to standard error, so that results can be piped away undisturbed.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clipsearch.cli.escape import visible
from clipsearch.cli.output import note, note_json

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from clipsearch.types import Progress

# The stage that counts bytes.
FETCHING = "fetching"
# How often a line may appear, in seconds.
PLAIN_SECONDS = 5.0
EVENT_SECONDS = 0.5

# What the stages of the use cases are called to people; others appear under their own name.
WORDS = {
    "scan": "looking for photos",
    "model": "loading the model",
    "encode": "indexing",
    "snapshot": "writing the search snapshot",
    "fetching": "fetching the model",
    "preparing": "preparing the model",
    "labels": "reading the labels",
    "classify": "classifying",
    "inspect": "reading the photos",
    "compare": "looking for near-duplicates",
    "views": "encoding the photos",
    "train": "training",
    "mix": "mixing old and new weights",
    "test": "testing",
    "captions": "reading the captions",
    "photos": "reading the photos",
    "measure": "measuring",
}


@contextmanager
def showing_progress(*, json: bool = False, quiet: bool = False) -> Iterator["Progress"]:
    """A callable that shows what it is told for as long as the context lasts."""
    if quiet:
        yield _nothing
    elif json:
        yield EventLines(note_json, time.monotonic)
    elif not sys.stderr.isatty():
        yield PlainLines(note, time.monotonic)
    else:
        with _bars() as bars:
            yield BarLines(bars)


def _nothing(stage: str, done: int, total: int | None) -> None:
    """Show nothing."""


class EventLines:
    """One JSON object for each change worth knowing: a new stage, its end, or half a second."""

    def __init__(
        self, write: Callable[[dict[str, object]], None], clock: Callable[[], float]
    ) -> None:
        self._write = write
        self._clock = clock
        self._stage = ""
        self._written_at = 0.0

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Write an event unless the last one is fresh."""
        now = self._clock()
        if stage == self._stage and done != total and now - self._written_at < EVENT_SECONDS:
            return
        self._stage = stage
        self._written_at = now
        self._write({"event": "progress", "stage": stage, "done": done, "total": total})


class PlainLines:
    """A line every few seconds, for log files and for terminals that cannot draw."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._write = write
        self._clock = clock
        self._stage = ""
        self._started_at = self._written_at = 0.0
        self._started_with = 0

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Write a line unless the last one is fresh."""
        now = self._clock()
        if stage != self._stage:
            self._stage = stage
            self._started_at = self._written_at = now
            self._started_with = done
            return
        if now - self._written_at < PLAIN_SECONDS:
            return
        self._written_at = now
        done_here = done - self._started_with
        self._write(describe(stage, done, total, done_here / (now - self._started_at)))


def describe(stage: str, done: int, total: int | None, rate: float) -> str:
    """A stage in words: `rate` is in items (bytes, for what is fetched) a second."""
    name = visible(WORDS.get(stage, stage))
    if done == 0 and not total:
        return f"{name} ..."
    amount = _amount(stage, done) if total is None else f"{_amount(stage, done)} of "
    amount += "" if total is None else _amount(stage, total)
    if rate <= 0:
        return f"{name}: {amount}"
    speed = f"{_amount(stage, round(rate))}/s" if rate >= 10 else f"{rate:.1f}/s"
    left = "" if total is None else f", {duration((total - done) / rate)} left"
    return f"{name}: {amount}, {speed}{left}"


def _amount(stage: str, count: int) -> str:
    return size(count) if stage == FETCHING else f"{count:,}"


def size(count: int) -> str:
    """A number of bytes for people: "151 MB" (decimal units, as disks are sold)."""
    if count < 1000:
        return f"{count} bytes"
    amount = float(count)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 999.5:
            return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:.0f} {unit}"
    return f"{amount / 1000:.1f} TB"


def duration(seconds: float) -> str:
    """A duration for people: "0.8 s", "42 s", "3 min 20 s", "2 h 05 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class BarLines:
    """One bar with count, rate and time left for each stage, drawn by rich."""

    def __init__(self, bars: "Bars") -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Move the bar of `stage`; a stage that has not been seen yet gets a bar of its own."""
        if stage not in self._tasks:
            for finished in self._tasks.values():
                self._bars.remove_task(finished)
            self._tasks.clear()
            name = visible(WORDS.get(stage, stage))
            self._tasks[stage] = self._bars.add_task(
                name, total=total, completed=done, amount="", stage=stage
            )
        task = self._tasks[stage]
        speed = self._bars.tasks[0].speed or 0.0
        shown = describe(stage, done, total, speed).partition(": ")[2]
        self._bars.update(task, completed=done, total=total, amount=shown)

    def rename(self, stage: str, words: str) -> None:
        """Other words for the stage that is shown, with a figure that changes, say."""
        if stage in self._tasks:
            self._bars.update(self._tasks[stage], description=visible(words))


def _bars() -> "Bars":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn

    console = Console(stderr=True, highlight=False)
    columns: list[ProgressColumn] = [
        SpinnerColumn("line"),
        TextColumn("{task.description}", markup=False),
    ]
    if console.width >= 80:
        columns.append(BarColumn(bar_width=24))
    if console.width >= 40:
        columns.append(TextColumn("{task.fields[amount]}", markup=False))
    # What is finished is said by the command itself: the bars leave nothing behind.
    return Progress(*columns, console=console, transient=True)
