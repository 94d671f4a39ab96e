"""Which folders are on another machine's disk, by tables of mounts as systems write them."""

import ctypes
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from clipsearch.errors import LockedError
from clipsearch.library import Library
from clipsearch.storage import network_disks
from clipsearch.storage.catalogue import Catalogue
from clipsearch.storage.layout import CATALOGUE_NAME
from clipsearch.storage.network_disks import (
    linux_mounts,
    mac_mounts,
    network_type,
    type_in,
)
from clipsearch.storage.replacing import replace_catalogue
from tests.storage.small_library import ROOT

LINUX = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:50 / /net rw - autofs systemd-1 rw,fd=30
41 40 0:51 / /net rw,relatime shared:30 master:2 - nfs4 nas:/photos rw,vers=4.2
42 22 0:52 / /mnt/my\040photos rw - cifs //nas/photos rw
43 42 8:3 / /mnt/my\040photos/usb rw - ext4 /dev/sdc1 rw
44 22 0:53 / /home/me/remote rw - fuse.sshfs me@nas:/ rw
45 22 0:54 / /covered rw - nfs nas:/old rw
46 45 8:2 / /covered rw - xfs /dev/sdb1 rw
a line that says nothing
"""
MAC = """/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
//me@nas._smb._tcp.local/photos on /Volumes/photos (smbfs, nodev, nosuid, mounted by me)
/dev/disk5s1 on /Volumes/photos on a stick (msdos, local)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
a line that says nothing
"""


@pytest.mark.row("B6")
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", None),
        ("/home/me", None),
        ("/home/me/remote-not", None),
        ("/home/me/remote", "fuse.sshfs"),
        ("/net/library", "nfs4"),
        ("/mnt/my photos/library", "cifs"),
        ("/mnt/my photos/usb/library", None),
        ("/covered/library", None),
    ],
)
def test_what_linux_lists(path: str, expected: str | None) -> None:
    assert type_in(linux_mounts(LINUX), path) == expected


@pytest.mark.row("B6")
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/Users/me", None),
        ("/Volumes/photos/library", "smbfs"),
        ("/Volumes/photos on a stick/library", None),
    ],
)
def test_what_macos_lists(path: str, expected: str | None) -> None:
    assert type_in(mac_mounts(MAC), path) == expected


def test_macos_is_asked_by_its_mount_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(command: list[str], **options: object) -> object:
        assert command == ["/sbin/mount"]
        return SimpleNamespace(stdout=MAC)

    monkeypatch.setattr(subprocess, "run", answer)
    assert ("/Volumes/photos", "smbfs") in list(network_disks._listed_by_mount())

    def refuse(command: list[str], **options: object) -> object:
        raise OSError(2, "No such file or directory")

    monkeypatch.setattr(subprocess, "run", refuse)
    assert list(network_disks._listed_by_mount()) == []


@pytest.mark.parametrize(
    ("path", "drive", "remote"),
    [
        (r"\\nas\photos", 0, True),
        (r"\\?\UNC\nas\photos", 0, True),
        (r"Z:\photos", 4, True),
        (r"C:\photos", 3, False),
    ],
)
def test_windows_is_asked_by_name_or_drive(
    monkeypatch: pytest.MonkeyPatch, path: str, drive: int, remote: bool
) -> None:
    kernel = SimpleNamespace(GetDriveTypeW=lambda root: drive)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    assert network_disks._is_remote(path) == remote


def test_a_system_that_lists_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(network_disks, "MOUNTS", tmp_path / "absent")
    assert network_type(tmp_path) is None


def journal(path: Path) -> str:
    with closing(sqlite3.connect(path)) as database:
        mode: str = database.execute("PRAGMA journal_mode").fetchone()[0]
        return mode


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "library" / CATALOGUE_NAME


@pytest.fixture
def moving(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "Moving":
    return Moving(monkeypatch, tmp_path / "mounts")


class Moving:
    """Puts every disk on the network, and back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, table: Path) -> None:
        self._monkeypatch = monkeypatch
        self._table = table

    def onto(self, kind: str) -> None:
        self._table.write_text(f"1 1 0:1 / / rw - {kind} disk rw\n")
        self._monkeypatch.setattr(network_disks, "MOUNTS", self._table)


@pytest.mark.row("B6")
@pytest.mark.parametrize(("kind", "mode"), [("nfs4", "delete"), ("ext4", "wal")])
def test_a_new_library_suits_its_disk(moving: Moving, path: Path, kind: str, mode: str) -> None:
    moving.onto(kind)
    with Library.open(path.parent, create=True) as library, library.writer():
        library.catalogue.add_root(ROOT, 1, 2)
        assert path.with_name(f"{path.name}-wal").exists() == (mode == "wal")
    assert journal(path) == mode


@pytest.mark.row("B6")
def test_a_library_that_moved_suits_its_disk_once_it_is_written(moving: Moving, path: Path) -> None:
    for kind, mode, former in (("ext4", "wal", "wal"), ("smb3", "delete", "wal")):
        moving.onto(kind)
        with Library.open(path.parent, create=True) as library:
            assert journal(path) == former, "only a writer changes it"
            with library.writer():
                library.catalogue.add_root(ROOT, 1, 2)
        assert journal(path) == mode
    moving.onto("ext4")
    with Library.open(path.parent) as library, library.writer():
        assert len(library.catalogue.roots()) == 1
    assert journal(path) == "wal"


@pytest.mark.row("B6")
def test_a_log_that_somebody_uses_is_not_taken_away(
    moving: Moving, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clipsearch.storage.connection.BUSY_SECONDS", 0.1)
    Library.open(path.parent, create=True).close()
    searching = Catalogue(path)
    assert searching.roots() == []
    moving.onto("nfs")
    with (
        Library.open(path.parent) as library,
        pytest.raises(LockedError, match="Another process"),
        library.writer(),
    ):
        pytest.fail("it may not be written")
    searching.close()
    with Library.open(path.parent) as library, library.writer():
        library.catalogue.add_root(ROOT, 1, 2)


@pytest.mark.row("B6")
def test_a_copy_suits_the_disk_it_is_made_on(moving: Moving, path: Path, tmp_path: Path) -> None:
    Library.open(path.parent, create=True).close()
    moving.onto("cifs")
    copy = tmp_path / "copy.sqlite"
    with Library.open(path.parent) as library:
        library.catalogue.add_root(ROOT, 1, 2)
        library.catalogue.back_up(copy)
    assert journal(copy) == "delete"
    assert [name.name for name in tmp_path.glob("copy*")] == ["copy.sqlite"]


# Changes so much in one transaction that it reaches the file, and dies.
DYING = """
import os, sys
from pathlib import Path
from clipsearch.storage.connection import Connection

connection = Connection(Path(sys.argv[1]))
connection.rows("PRAGMA cache_size = 1")
with connection.transaction():
    connection.change("UPDATE meta SET library_id = 'half'")
    for number in range(2000):
        connection.change("INSERT INTO generations VALUES (?, ?)", (number + 9, os.urandom(200)))
    os._exit(9)
"""


@pytest.fixture
def half_changed(moving: Moving, path: Path) -> str:
    """A killed writer's change is half in the file; its journal would undo it. The library's id."""
    moving.onto("nfs")
    with Library.open(path.parent, create=True) as library, library.writer():
        library.catalogue.add_root(ROOT, 1, 2)
        known = library.catalogue.library_id()
    before = path.read_bytes()
    assert subprocess.run([sys.executable, "-c", DYING, path], check=False).returncode == 9
    assert path.read_bytes() != before
    assert path.with_name(f"{path.name}-journal").stat().st_size > 0
    return known


@pytest.mark.row("B6")
@pytest.mark.parametrize("writable", [True, False])
def test_a_killed_writers_change_is_undone(
    half_changed: str, path: Path, monkeypatch: pytest.MonkeyPatch, *, writable: bool
) -> None:
    monkeypatch.setattr("clipsearch.storage.connection._is_writable", lambda path: writable)
    for _ in range(2):
        with Library.open(path.parent) as library:
            assert library.catalogue.library_id() == half_changed
            assert library.catalogue.history.generation()[0] < 9
            assert library.catalogue.structure_faults() == []
    assert path.with_name(f"{path.name}-journal").exists() != writable, "read-only is read-only"


@pytest.mark.row("B6")
def test_a_repair_takes_nothing_from_a_change_that_was_never_finished(
    half_changed: str, path: Path
) -> None:
    replace_catalogue(path.parent, [])
    with Library.open(path.parent) as library:
        assert library.catalogue.library_id() == half_changed
        assert len(library.catalogue.roots()) == 1
    assert journal(path) == "delete"
