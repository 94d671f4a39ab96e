"""One system call of the program under test, made to fail or to be its last: see faults.c."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

CALLS = ("write", "pwrite64", "fsync", "fdatasync", "rename", "unlink", "ftruncate")
DEADLY = ("kill", "torn", "power")
SOURCE = Path(__file__).with_name("faults.c")


@dataclass(frozen=True)
class Fault:
    """The `at`-th `call` on a file of the library meets `action` (see faults.c)."""

    call: str
    at: int
    action: str

    def __str__(self) -> str:
        return f"{self.action} at {self.call} {self.at}"


class Interposer:
    """The compiled faults.c, and the environment that puts it into a program."""

    def __init__(self, library: Path) -> None:
        self._library = library

    def environment(self, folder: Path, fault: Fault) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self._library),
            "FAULT_UNDER": os.path.realpath(folder),
            "FAULT_CALL": fault.call,
            "FAULT_AT": str(fault.at),
            "FAULT_ACTION": fault.action,
        }

    def counting(self, folder: Path, report: Path) -> dict[str, str]:
        """The environment in which nothing fails and the calls are counted."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAULT_UNDER": os.path.realpath(folder),
            "FAULT_REPORT": str(report),
        }


def read_counts(report: Path) -> dict[str, int]:
    """How often each of CALLS was made on files of the library."""
    lines = (line.split() for line in report.read_text().splitlines())
    return {name: int(count) for name, count in lines}


def build(folder: Path) -> Interposer:
    """The interposer, compiled. Skips the test, with the reason, where that cannot be done."""
    return Interposer(compiled(SOURCE, folder))


def compiled(source: Path, folder: Path) -> Path:
    """A library that can be preloaded. Skips the test where there can be none."""
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if sys.platform != "linux":
        pytest.skip("calls are interposed on Linux only")
    if compiler is None:
        pytest.skip(f"there is no C compiler (cc) to build {source.name} with")
    library = folder / f"{source.stem}.so"
    options = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([compiler, *options, "-o", library, source, "-ldl"], check=True)
    return library


def without_faults(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which nothing of this module acts."""
    ours = ("FAULT_", "CLIPSEARCH_", "LD_PRELOAD")
    return {name: value for name, value in environment.items() if not name.startswith(ours)}
