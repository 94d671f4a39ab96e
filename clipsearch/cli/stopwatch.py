"""`--timings`: where the time of a command went, stage by stage, from the process's start."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from clipsearch.cli.output import note, note_json


class Stopwatch:
    """Adds up what each stage took: a call says that the time since the last one was its.

    So the stages together are the whole time, to the last call.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds; the process began `since_start()` seconds before this call."""
        self._clock = clock
        self._last = clock()
        self._seconds: dict[str, float] = {}

    def start_with(self, stage: str, seconds: float) -> None:
        """A stage that was over before there was a stopwatch."""
        self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    def __call__(self, stage: str) -> None:
        """The end of a stage; one that comes back is added up."""
        now = self._clock()
        self._seconds[stage] = self._seconds.get(stage, 0.0) + now - self._last
        self._last = now

    def milliseconds(self) -> dict[str, float]:
        """What each stage took, in the order they came, and `total`, the sum."""
        taken = {stage: 1000 * seconds for stage, seconds in self._seconds.items()}
        return taken | {"total": sum(taken.values())}


def since_start() -> float:
    """Seconds since this process began, to 10 ms; 0 where the system does not say (not Linux)."""
    try:
        # The name, in brackets, may hold spaces: what follows does not.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began)
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0


def say_timings(watch: Stopwatch, *, json: bool) -> None:
    """The stages on standard error: a table, or one JSON object {"timings_ms": {...}}."""
    taken = watch.milliseconds()
    if json:
        note_json({"timings_ms": {stage: round(ms, 2) for stage, ms in taken.items()}})
        return
    width = max(map(len, taken))
    for stage, ms in taken.items():
        note(f"{stage:{width}} {ms:9.1f} ms")
