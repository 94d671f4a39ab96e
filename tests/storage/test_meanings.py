"""What a failure of SQLite or of the system means, in words and exit codes."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from clipsearch.errors import DamageError, LockedError, StorageError
from clipsearch.storage import catalogue_file, connection
from clipsearch.storage.catalogue import Catalogue
from clipsearch.storage.faults import inspect_header, meaning_of, no_space
from clipsearch.storage.layout import CATALOGUE_NAME
from tests.storage.small_library import new_catalogue


def sqlite_error(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(f"it says {name}")
    error.sqlite_errorname = name
    error.sqlite_errorcode = getattr(sqlite3, name)
    return error


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("SQLITE_FULL", StorageError, "cannot be written"),
        ("SQLITE_IOERR_WRITE", StorageError, "cannot be written"),
        ("SQLITE_IOERR_READ", DamageError, "cannot read all of it"),
        ("SQLITE_READONLY", StorageError, "cannot be opened or written"),
        ("SQLITE_BUSY", LockedError, "has been writing"),
        ("SQLITE_CORRUPT", DamageError, "is damaged"),
    ],
)
def test_result_codes(name: str, kind: type[Exception], words: str, tmp_path: Path) -> None:
    meaning = meaning_of(sqlite_error(name), tmp_path / CATALOGUE_NAME)
    assert type(meaning) is kind
    assert words in str(meaning)


def test_a_mistake_of_ours_has_no_meaning_for_people(tmp_path: Path) -> None:
    assert meaning_of(sqlite3.ProgrammingError("near SELEC"), tmp_path) is None
    assert isinstance(meaning_of(OSError(5, "i/o"), tmp_path), StorageError)


def test_where_the_disk_itself_is_gone_its_space_is_not_told(tmp_path: Path) -> None:
    told = str(no_space(tmp_path / "gone" / CATALOGUE_NAME, "no such device"))
    assert "no such device" in told
    assert "MB" not in told


def header(path: Path, start: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content)


def test_a_header_that_cannot_be_right_is_damage(tmp_path: Path) -> None:
    new_catalogue(tmp_path).close()
    path = tmp_path / CATALOGUE_NAME
    assert inspect_header(path) == 2
    for version in (b"\xff\xff\xff\xff", b"\0\0\0\0"):
        header(path, 60, version)
        with pytest.raises(DamageError, match="header cannot be right"):
            inspect_header(path)
    header(path, 60, b"\0\0\0\2")
    header(path, 68, b"????")
    with pytest.raises(DamageError, match="header cannot be right"):
        inspect_header(path)
    header(path, 68, b"CLIP")
    assert inspect_header(path) == 2


def test_a_version_older_than_the_tables_is_damage(tmp_path: Path) -> None:
    new_catalogue(tmp_path).close()
    path = tmp_path / CATALOGUE_NAME
    header(path, 60, b"\0\0\0\1")
    with pytest.raises(DamageError, match="concepts already exists"):
        Catalogue(path)


def test_a_catalogue_that_cannot_be_made_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue_file, "log_of", lambda path: path)
    with pytest.raises(StorageError, match="disk is full"):
        Catalogue.create(tmp_path / CATALOGUE_NAME)
    assert not (tmp_path / CATALOGUE_NAME).exists()


@pytest.fixture
def left_by_a_kill(tmp_path: Path) -> Path:
    """A catalogue with a committed change that is only in its log."""
    (tmp_path / "live").mkdir()
    catalogue = new_catalogue(tmp_path / "live")
    catalogue.add_root(b"/photos", 1, 2)
    for name in (CATALOGUE_NAME, f"{CATALOGUE_NAME}-wal"):
        shutil.copy(tmp_path / "live" / name, tmp_path / name)
    catalogue.close()
    return tmp_path / CATALOGUE_NAME


@pytest.mark.parametrize("system", ["lets", "does not let"])
def test_a_log_counts_where_nothing_can_be_written(
    left_by_a_kill: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    monkeypatch.setattr(connection, "_is_writable", lambda path: False)
    real = connection._connect

    def connect(path: Path, mode: str, *, any_thread: bool) -> sqlite3.Connection:
        if mode == "mode=ro" and system == "does not let":
            raise sqlite_error("SQLITE_CANTOPEN")
        return real(path, mode, any_thread=any_thread)

    monkeypatch.setattr(connection, "_connect", connect)
    before = left_by_a_kill.read_bytes()
    catalogue = Catalogue(left_by_a_kill)
    assert not catalogue.writable
    assert [root.path for root in catalogue.roots()] == [b"/photos"]
    with pytest.raises(StorageError, match="cannot be written"):
        catalogue.add_root(b"/more", 1, 3)
    catalogue.close()
    assert left_by_a_kill.read_bytes() == before


def test_a_file_that_sqlite_refuses_at_first_sight_is_closed_again(tmp_path: Path) -> None:
    new_catalogue(tmp_path).close()
    path = tmp_path / CATALOGUE_NAME
    header(path, 100, b"\xff")
    with pytest.raises(DamageError):
        Catalogue(path)


def test_an_access_that_is_refused_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new_catalogue(tmp_path).close()

    def refuse(*_: object, **__: object) -> sqlite3.Connection:
        raise sqlite_error("SQLITE_CORRUPT")

    monkeypatch.setattr(connection, "_proven", refuse)
    with pytest.raises(DamageError):
        Catalogue(tmp_path / CATALOGUE_NAME)
    operational = sqlite_error("SQLITE_BUSY")

    def busy(*_: object, **__: object) -> sqlite3.Connection:
        raise operational

    monkeypatch.setattr(connection, "_proven", busy)
    with pytest.raises(LockedError):
        Catalogue(tmp_path / CATALOGUE_NAME)
