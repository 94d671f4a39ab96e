"""Where a library is, can be made, or cannot be; and who may write to it."""

import os
import pathlib
from pathlib import Path

import pytest

from clipsearch.errors import DamageError, StorageError
from clipsearch.storage import directory, layout, lock
from clipsearch.storage.directory import catalogue_in
from clipsearch.storage.layout import CATALOGUE_NAME
from clipsearch.storage.lock import writer_lock


def test_a_library_is_made_once_and_found_again(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "library"
    with pytest.raises(StorageError, match="There is no library"):
        catalogue_in(place, create=False)
    assert not place.exists()
    path = catalogue_in(place, create=True)
    assert path == place / CATALOGUE_NAME
    content = path.read_bytes()
    assert catalogue_in(place, create=True) == catalogue_in(place, create=False) == path
    assert path.read_bytes() == content
    assert "/catalogue.sqlite*\n" in (place / ".clipsearchignore").read_text()


def test_somebodys_own_ignore_file_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".clipsearchignore").write_text("drafts\n")
    catalogue_in(tmp_path, create=True)
    assert (tmp_path / ".clipsearchignore").read_text() == "drafts\n"


def test_places_where_there_can_be_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="is a file, not a library"):
        catalogue_in(tmp_path / "file", create=True)
    with pytest.raises(StorageError, match="cannot be read"):
        catalogue_in(tmp_path / ("x" * 300), create=True)
    with pytest.raises(StorageError, match="cannot be created"):
        # Nothing can be made in there, not even by root.
        catalogue_in(Path("/proc/library"), create=True)


def test_a_library_without_a_place_for_its_ignore_file_is_one_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(directory, "keep_index_out", full)
    assert catalogue_in(tmp_path / "library", create=True).exists()


def test_a_link_to_a_catalogue_that_is_not_there_just_now_becomes_no_new_one(
    tmp_path: Path,
) -> None:
    (tmp_path / "library").mkdir()
    link = tmp_path / "library" / CATALOGUE_NAME
    link.symlink_to(tmp_path / "unplugged" / CATALOGUE_NAME)
    with pytest.raises(StorageError, match=r"unplugged.*not there\. Connect its disk"):
        catalogue_in(tmp_path / "library", create=True)
    assert link.is_symlink()


def test_snapshots_without_a_catalogue_are_damage(tmp_path: Path) -> None:
    (tmp_path / "abcd.faiss").write_bytes(b"")
    with pytest.raises(DamageError, match="is gone"):
        catalogue_in(tmp_path, create=True)


def test_a_lock_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"), writer_lock(tmp_path / "nowhere"):
        pass


def test_a_disk_that_knows_no_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int) -> bool:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(lock, "_try_lock", no_locks)
    with (
        pytest.raises(StorageError, match=r"cannot be locked \(No locks available\)"),
        writer_lock(tmp_path),
    ):
        pass


def test_a_disk_too_full_for_the_holders_name_locks_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with writer_lock(tmp_path):
        descriptor = os.open(tmp_path / "lock", os.O_RDWR)
        assert not lock._try_lock(descriptor)
        os.close(descriptor)
        assert (tmp_path / "lock").read_bytes() == b""


def test_a_machine_that_does_not_count_its_starts_is_known_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pathlib.Path.read_text

    def read_text(path: Path, *arguments: str) -> str:
        if path.name == "boot_id":
            raise FileNotFoundError
        return real(path, *arguments)

    monkeypatch.setattr(pathlib.Path, "read_text", read_text)
    assert lock._own_name()["boot"] == ""
    for _ in range(2):
        with writer_lock(tmp_path):
            pass


def test_places_that_nobody_named_are_in_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLIPSEARCH_LIBRARY", raising=False)
    monkeypatch.delenv("CLIPSEARCH_MODELS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert layout.library_dir() == tmp_path / "clipsearch" / "library"
    assert layout.models_dir() == tmp_path / "clipsearch" / "models"
    assert layout.library_dir("~/x") == Path.home() / "x"
    assert (layout.data_dir() / "templates").is_dir()


def test_what_killed_writers_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    ours = [f"{CATALOGUE_NAME}.repaired.tmp", f"{CATALOGUE_NAME}.tmp-wal", "ab.faiss.tmp"]
    theirs = ["photo.tmp", "letter.sqlite.tmp", "ab.faiss", "notes.tmp.txt"]
    for name in ours + theirs:
        (tmp_path / name).write_bytes(b"x")
    layout.sweep_temporary(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(theirs)
