"""The built program with an album and a library of its own, run under faults and then examined.

Every check asserts what all rows of the matrix share: no file below the root was changed, nothing
like a traceback was said, and the exit code is one that is specified.
"""

import itertools
import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from tests.fault.faults import without_faults
from tests.fault.oracle import Holding, examine, palette

REPOSITORY = Path(__file__).parents[2]
KILLED = -signal.SIGKILL


class Outcome:
    """What one run left behind."""

    def __init__(self, code: int, output: str, errors: str) -> None:
        self.code = code
        self.output = output
        self.errors = errors
        assert "Traceback" not in errors, errors
        assert "internal error" not in errors, errors

    @property
    def summary(self) -> dict[str, object]:
        """The last record that `index --json` wrote."""
        record: dict[str, object] = json.loads(self.output.splitlines()[-1])
        assert record["event"] == "summary"
        return record

    @property
    def roots(self) -> list[dict[str, object]]:
        """The roots of the summary, with their states."""
        roots = self.summary["roots"]
        assert isinstance(roots, list)
        return roots

    @property
    def done(self) -> int:
        """The last number of committed photos that the run told of."""
        events = [json.loads(line) for line in self.errors.splitlines() if line.startswith("{")]
        return max((e["done"] for e in events if e["stage"] == "encode"), default=0)

    @property
    def complaint(self) -> str:
        """The one line that a failed run says."""
        lines = [line for line in self.errors.splitlines() if line.startswith("clipsearch: ")]
        assert len(lines) == 1, self.errors
        return lines[0]


class Album:
    """Photos of one colour each, and what every file was when it was written."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.paths: list[Path] = []
        for number, colour in enumerate(palette(count)):
            self.add(f"{number % 4}/{number:03}.png", colour)
        self.remember()

    def add(self, name: str, colour: tuple[int, int, int]) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 24), colour).save(path, "PNG")
        self.paths.append(path)
        return path

    def names(self) -> frozenset[bytes]:
        return frozenset(os.fsencode(path) for path in self.paths)

    def remember(self) -> None:
        """Take what is there now as what must stay."""
        self._before = self._facts()

    def prove_untouched(self) -> None:
        assert self._facts() == self._before, "a file below the root was changed"

    def _facts(self) -> dict[str, tuple[int, ...]]:
        facts: dict[str, tuple[int, ...]] = {}
        waiting = [os.fspath(self.folder)]
        while waiting:
            path = waiting.pop()
            found = os.lstat(path)
            # Every write, every utime and every xattr shows in the ctime.
            facts[path] = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if stat.S_ISDIR(found.st_mode):
                waiting += [os.path.join(path, name) for name in os.listdir(path)]
        return facts


class Subject:
    """One library, to which things are done."""

    def __init__(self, album: Album, folder: Path, *, planted: str = "") -> None:
        """`planted` names one of tests/fault/planted, to be in the program."""
        folder.mkdir(parents=True, exist_ok=True)
        self.album = album
        self.folder = folder
        self.library = folder / "library"
        self.planted = planted

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        own = {
            "CLIPSEARCH_LIBRARY": str(self.library),
            "CLIPSEARCH_MODELS": str(self.folder / "models"),
            "PYTHONPATH": str(REPOSITORY),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
        }
        return {**without_faults(os.environ), **own, **(more or {})}

    def command(self, *arguments: str) -> list[str]:
        module = ["tests.fault.planted", self.planted] if self.planted else ["clipsearch"]
        return [sys.executable, "-m", *module, *arguments]

    def start(
        self, *arguments: str, more: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment(more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, more: Mapping[str, str] | None = None) -> Outcome:
        return finish(self.start(*arguments, more=more))

    def index_arguments(self, workers: int = 1) -> list[str]:
        given = ["--model", "fake", "--json", "--workers", str(workers)]
        return ["index", str(self.album.folder), *given]

    def index(self, more: Mapping[str, str] | None = None) -> Outcome:
        return self.run(*self.index_arguments(), more=more)

    def examine(self) -> Holding:
        return examine(self.library, self.folder)

    def prove_kept(self, outcome: Outcome) -> int:
        """How many photos a broken-off run left: all are right, and none it told of is lost."""
        self.album.prove_untouched()
        holding = self.examine()
        assert not holding.failed, "a photo is blamed for what happened to the library"
        assert not holding.missing
        assert holding.good <= self.album.names()
        assert len(holding.good) >= outcome.done, f"{outcome.done} were told to be safe"
        return len(holding.good)

    def prove_goes_on(self, kept: int) -> None:
        """The next run completes, and encodes each remaining photo exactly once."""
        again = self.index()
        assert again.code == 0, again.errors
        assert again.summary["encoded"] == len(self.album.paths) - kept
        holding = self.examine()
        assert holding.good == self.album.names()
        assert not holding.failed
        assert not holding.missing
        assert not list(self.library.glob("*.tmp*")), "unfinished files were left"
        self.album.prove_untouched()


class Subjects:
    """Makes subjects over one album, each with a library of its own."""

    def __init__(self, album: Album, folder: Path) -> None:
        self.album = album
        self._folder = folder
        self._numbers = itertools.count()

    def new(self, planted: str = "") -> Subject:
        return Subject(self.album, self._folder / str(next(self._numbers)), planted=planted)


def finish(process: "subprocess.Popen[str]") -> Outcome:
    output, errors = process.communicate(timeout=240)
    return Outcome(process.returncode, output, errors)


def kill_after(process: "subprocess.Popen[str]", seconds: float) -> Outcome:
    time.sleep(seconds)
    process.kill()
    return finish(process)


def seeded(*parts: object) -> random.Random:
    """The same moments in every run of the suite."""
    return random.Random(" ".join(map(str, parts)))
