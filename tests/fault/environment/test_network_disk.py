"""B6: a library on a network disk is kept in a way that such a disk can, and the user is told."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.fault.concurrency.test_searching_meanwhile import (
    INDEX,
    Meanwhile,
    generations,
)
from tests.fault.faults import CALLS, Fault, Interposer
from tests.fault.interruption.struck import count_calls, points, strike_index
from tests.fault.side_by_side import for_each
from tests.fault.subject import Album, Subject, finish
from tests.fault.table import Trials

FINISHED = 0
EVERY_DISK = "1 1 0:1 / / rw,relatime - {} nas:/photos rw\n"


class NetworkSubject(Subject):
    """A library on a machine all of whose disks are of one type."""

    def __init__(self, album: Album, folder: Path, kind: str = "nfs4") -> None:
        super().__init__(album, folder)
        self._mounts = folder / "mounts"
        self._mounts.write_text(EVERY_DISK.format(kind))

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return {**super().environment(more), "FAKE_MOUNTS": str(self._mounts)}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tests.fault.environment.on_network", *arguments]

    def prove_kept_by_journal(self) -> None:
        """SQLite's own note in the file: version 1 is a rollback journal, 2 a log."""
        assert (self.library / "catalogue.sqlite").read_bytes()[18:20] == b"\1\1"
        assert not list(self.library.glob("*-wal"))
        assert not list(self.library.glob("*-shm"))


@pytest.fixture
def few(tmp_path: Path) -> Album:
    return Album(tmp_path / "few", 12)


@pytest.mark.row("B6")
def test_a_library_lives_on_a_network_disk(few: Album, tmp_path: Path) -> None:
    subject = NetworkSubject(few, tmp_path / "subject")
    warning = (
        f"clipsearch: the library {subject.library} is on a network disk (nfs4): "
        "use it from one machine at a time."
    )
    first = subject.index()
    assert first.code == FINISHED, first.errors
    assert first.errors.splitlines().count(warning) == 1
    subject.prove_kept_by_journal()
    few.paths.remove(gone := few.paths[0])
    gone.unlink()
    few.remember()
    copy = str(tmp_path / "copy")
    for arguments in (
        ["search", "red", "-k", "5", "--json"],
        ["index"],
        ["library", "check", "--read-data"],
        ["library", "rebuild"],
        ["library", "purge", "--missing-for", "0d", "--yes"],
        ["library", "backup", copy],
        ["library", "status", "--library", copy],
        ["library", "check"],
    ):
        outcome = subject.run(*arguments)
        assert outcome.code == FINISHED, (arguments, outcome.errors)
        assert (warning in outcome.errors) == (arguments == ["index"])
        subject.prove_kept_by_journal()
    assert subject.examine().good == few.names()


@pytest.mark.row("B6")
def test_a_disk_of_this_machine_is_not_warned_of(few: Album, tmp_path: Path) -> None:
    subject = NetworkSubject(few, tmp_path / "subject", kind="ext4")
    outcome = subject.index()
    assert outcome.code == FINISHED, outcome.errors
    assert "network" not in outcome.errors
    assert (subject.library / "catalogue.sqlite").read_bytes()[18:20] == b"\2\2"


@pytest.mark.nightly
@pytest.mark.row("B6")
def test_struck_at_any_call_it_is_as_safe(
    album: Album, tmp_path: Path, interposer: Interposer, trials: Trials
) -> None:
    calls = count_calls(NetworkSubject(album, tmp_path / "counted"), interposer)
    actions = dict.fromkeys(CALLS, ("kill", "power", "EIO", "ENOSPC+"))
    actions |= {"pwrite64": ("torn", "power", "EIO", "ENOSPC+"), "fdatasync": ("lose", "kill")}

    def trial(numbered: tuple[int, Fault]) -> None:
        number, fault = numbered
        strike_index(NetworkSubject(album, tmp_path / str(number)), interposer, fault)

    assert for_each(enumerate(points(calls, actions, trials(6, 60))), trial) > 0


@pytest.mark.nightly
@pytest.mark.row("B6")
def test_searches_while_indexing(album: Album, tmp_path: Path, trials: Trials) -> None:
    """Readers and the writer wait for each other here: nobody gives up."""
    for number in range(trials(1, 3)):
        subject = NetworkSubject(album, tmp_path / str(number))
        told = subject.folder / "told"
        searches = Meanwhile(subject, 3)
        program = (
            "import os; from pathlib import Path; from clipsearch.storage import network_disks\n"
            f"network_disks.MOUNTS = Path(os.environ['FAKE_MOUNTS'])\n{INDEX}"
        )
        indexer = finish(
            subprocess.Popen(
                [sys.executable, "-c", program, subject.library, album.folder, told],
                env=subject.environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        assert indexer.code == FINISHED, indexer.errors
        found = searches.found()
        assert set(found) <= generations(told), "a search saw what was never committed"
        assert len(found) > 3
        assert subject.examine().good == album.names()
        subject.prove_kept_by_journal()
