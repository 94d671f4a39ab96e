"""K4: the clock is set by a day in mid-run: nobody loses the lock, nothing is encoded twice."""

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.fault.concurrency.test_indexers import LOCKED, Working
from tests.fault.faults import compiled
from tests.fault.subject import Album, Subject, finish

pytestmark = [pytest.mark.nightly, pytest.mark.row("K4")]

DAY = 86_400
CLOCK = Path(__file__).with_name("clock.c")


class Shifted(Subject):
    """A library on a machine whose clock can be set."""

    def __init__(self, album: Album, folder: Path) -> None:
        super().__init__(album, folder)
        self._preload = compiled(CLOCK, folder)
        self._file = folder / "clock"
        self.set_clock(0)

    def set_clock(self, seconds: int) -> None:
        """So many seconds from the true time, from now on: for running processes too."""
        new = self._file.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._file)

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        own = {"LD_PRELOAD": str(self._preload), "CLOCK_FILE": str(self._file)}
        return {**super().environment(more), **own}


@pytest.fixture
def shifted(album: Album, tmp_path: Path) -> Shifted:
    return Shifted(album, tmp_path / "shifted")


def test_the_clock_is_really_set(shifted: Shifted) -> None:
    program = "import datetime, os, time; print(time.time(), datetime.datetime.now().timestamp())"
    for shift in (0, DAY, -DAY):
        shifted.set_clock(shift)
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=shifted.environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        for said in done.stdout.split():
            assert abs(float(said) - time.time() - shift) < 60


def test_the_clock_jumps_in_mid_run(shifted: Shifted) -> None:
    working = Working(shifted)
    for shift in (DAY, -DAY, 30 * DAY, 0, -DAY):
        if working.process.poll() is not None:
            break  # It was faster than the signal.
        shifted.set_clock(shift)
        assert shifted.index().code == LOCKED
        working.go_on()
        time.sleep(0.05)
        working.stop()
    working.go_on()
    outcome = finish(working.process)
    assert outcome.code == 0, outcome.errors
    assert shifted.examine().good == shifted.album.names()
    for shift in (-DAY, DAY, 0):
        shifted.set_clock(shift)
        again = shifted.index()
        assert again.code == 0, again.errors
        assert again.summary["encoded"] == 0
        assert again.summary["unchanged"] == len(shifted.album.paths)
        assert shifted.run("search", "red", "-k", "3", "--json").code == 0
    shifted.album.prove_untouched()


def test_decoding_has_a_clock_of_its_own(shifted: Shifted) -> None:
    """A photo that takes long is given up after seconds that passed, not after hours that did not.

    While photos are read the clock goes to and fro: none of them is blamed.
    """
    process = shifted.start(*shifted.index_arguments(workers=2))
    shift = 0
    while process.poll() is None:
        shift = DAY - shift
        shifted.set_clock(shift)
        time.sleep(0.01)
    outcome = finish(process)
    assert outcome.code == 0, outcome.errors
    holding = shifted.examine()
    assert holding.good == shifted.album.names()
    assert not holding.failed
