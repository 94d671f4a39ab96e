"""A backup is a whole library of one moment, or there is none."""

import errno
import os
import resource
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from clipsearch.errors import DamageError, StorageError, UsageError
from clipsearch.library import Library
from clipsearch.maintaining import Backup, back_up, backup, check
from clipsearch.storage.lock import writer_lock
from tests.indexing.album import Album

BACK_UP = """
import sys
from pathlib import Path
from clipsearch.errors import ClipsearchError
from clipsearch.library import Library
from clipsearch.maintaining import back_up
with Library.open(Path(sys.argv[1])) as library:
    try:
        back_up(library, Path(sys.argv[2]))
    except ClipsearchError as error:
        print(error.exit_code, error)
"""


def make(album: Album, destination: Path) -> Backup:
    with Library.open(album.library) as library:
        return back_up(library, destination)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_backup_is_a_library_by_itself(album: Album, tmp_path: Path) -> None:
    made = make(album, tmp_path / "copy")
    assert (made.rows["photos"], made.rows["embeddings"]) == (41, 40)
    assert made.size == (tmp_path / "copy/catalogue.sqlite").stat().st_size
    assert stat.S_IMODE(made.directory.stat().st_mode) == 0o700
    assert check(made.directory, tmp_path).findings == ()
    expected = album.stored()
    album.library = made.directory
    assert album.stored().keys() == expected.keys()
    album.encoder.encoded = 0
    assert album.index().unchanged == 41
    assert names(made.directory) == [".clipsearchignore", "catalogue.sqlite", "lock"]


def test_nothing_is_overwritten(album: Album, tmp_path: Path) -> None:
    made = make(album, tmp_path / "copy")
    before = made.directory.stat().st_mtime_ns
    with pytest.raises(UsageError, match="is a library already"):
        make(album, tmp_path / "copy")
    (tmp_path / "file").write_text("something")
    with pytest.raises(UsageError, match="is there already"):
        make(album, tmp_path / "file")
    with pytest.raises(UsageError, match="There is no folder"):
        make(album, tmp_path / "no" / "copy")
    assert made.directory.stat().st_mtime_ns == before


@pytest.mark.parametrize("place", ["inside", ".", "../link/inside"])
def test_not_inside_the_library_itself(album: Album, place: str) -> None:
    (album.library.parent / "link").symlink_to(album.library)
    before = names(album.library)
    with pytest.raises(UsageError, match="inside the library" if "in" in place else "already"):
        make(album, album.library / place)
    assert names(album.library) == before


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (
            errno.EROFS,
            r"copy cannot be written \(Read-only .* only be read: name another place",
        ),
        (errno.EACCES, r"copy cannot be written \(Permission .*\. Check its permissions, or name"),
        (errno.ENOSPC, r"copy cannot be written \(No space left .*MB are free there\. Free some"),
        (errno.EDQUOT, r"copy cannot be written \(Disk quota .*MB are free there\. Free some"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_apart_from_a_full_one(
    album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, told: str
) -> None:
    def refuse(*arguments: str | Path) -> str:
        raise OSError(number, os.strerror(number))

    with Library.open(album.library) as library:
        # Tests may run as root, who may write everywhere.
        monkeypatch.setattr(tempfile, "mkdtemp", refuse)
        with pytest.raises(StorageError, match=told):
            back_up(library, tmp_path / "copy")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_where_the_system_keeps_no_files_nobody_is_told_to_free_space(album: Album) -> None:
    with pytest.raises(StorageError, match=r"/proc/x cannot be written .*or name another place"):
        make(album, Path("/proc/x"))


def test_in_a_folder_that_is_there_a_dated_one_is_made(album: Album, tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    made = make(album, place)
    assert names(place) == [made.directory.name]
    assert made.directory.name.startswith("clipsearch-backup-2")


def test_a_name_that_was_taken_meanwhile_is_left_alone(
    album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(place: str) -> None:
        if place == "before_backup_rename":
            (tmp_path / "copy").mkdir()
            (tmp_path / "copy" / "photo.jpg").write_text("mine")

    monkeypatch.setattr(backup, "reach", taken)
    with pytest.raises(StorageError, match=r"cannot be written \(.*not empty\)\. Name another"):
        make(album, tmp_path / "copy")
    assert names(tmp_path / "copy") == ["photo.jpg"]
    assert not list(tmp_path.glob(".*"))


def test_a_backup_during_writing_is_of_one_moment(album: Album, tmp_path: Path) -> None:
    made: list[Backup] = []

    def back_up_often() -> None:
        made.extend(make(album, tmp_path / f"copy{number}") for number in range(4))

    thread = threading.Thread(target=back_up_often)
    thread.start()
    for number in range(4):
        album.add(f"late{number}.png", (number, number, number))
        album.index()
    thread.join()
    assert len(made) == 4
    for one in made:
        assert check(one.directory, tmp_path).findings == ()


@pytest.mark.row("A3")
@pytest.mark.parametrize("place", ["before_backup", "before_backup_rename", "after_backup_rename"])
def test_killed_there_is_a_whole_backup_or_none_and_the_next_run_sweeps(
    album: Album, tmp_path: Path, place: str
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", BACK_UP, str(album.library), str(tmp_path / "copy")],
        env=os.environ | {"CLIPSEARCH_FAILPOINT": f"{place}=exit"},
        check=False,
    )
    assert killed.returncode == -9
    if place == "after_backup_rename":
        assert check(tmp_path / "copy", tmp_path).findings == ()
    else:
        assert not (tmp_path / "copy").exists()
        assert len(list(tmp_path.glob(".*unfinished*"))) == 1
    make(album, tmp_path / "again")
    assert not list(tmp_path.glob(".*"))


def test_the_unfinished_backup_of_another_process_is_left_alone(
    album: Album, tmp_path: Path
) -> None:
    other = tmp_path / ".copy-x.unfinished-clipsearch-backup"
    other.mkdir()
    with writer_lock(other, "backup"):
        make(album, tmp_path / "copy")
        assert other.is_dir()


@pytest.mark.row("B2")
def test_a_disk_that_is_full_is_one_line_and_leaves_nothing(album: Album, tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    told = subprocess.run(
        [sys.executable, "-c", BACK_UP, str(album.library), str(place / "copy")],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)),
        check=True,
    )
    (line,) = told.stdout.splitlines()
    assert line.startswith(f"6 {place}/copy cannot be written (")
    assert "MB are free there" in line
    assert line.count("cannot be written") == 1
    assert names(place) == []


def test_a_disk_that_is_full_for_sqlite_is_a_full_disk(
    album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(backup, "_copy", refused)
    with pytest.raises(
        StorageError, match=r"copy cannot be written \(database or disk is full\)"
    ) as told:
        make(album, tmp_path / "copy")
    assert "Free some space" in told.value.remedy


def test_a_failing_disk_is_one_line_and_leaves_nothing(
    album: Album, tmp_path: Path, fail_at: Callable[[str], None]
) -> None:
    fail_at("before_backup_rename")
    with pytest.raises(StorageError, match="cannot be written"):
        make(album, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_damaged_library_gives_no_backup(album: Album, tmp_path: Path) -> None:
    database = sqlite3.connect(album.library / "catalogue.sqlite")
    database.execute("PRAGMA foreign_keys = OFF")
    database.execute("DELETE FROM models")
    database.commit()
    database.close()
    with pytest.raises(DamageError, match="no new backup"):
        make(album, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_copy_that_lacks_rows_is_no_backup(
    album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clipsearch.storage.catalogue import Catalogue

    real = Catalogue.back_up

    def lossy(self: Catalogue, target: Path) -> dict[str, int]:
        return real(self, target) | {"photos": 42}

    monkeypatch.setattr(Catalogue, "back_up", lossy)
    with pytest.raises(DamageError, match="rows are missing"):
        make(album, tmp_path / "copy")


def test_a_log_that_could_not_be_brought_in_is_a_full_disk(
    album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "log_of", lambda path: path)
    with pytest.raises(StorageError, match="the disk is full"):
        make(album, tmp_path / "copy")
