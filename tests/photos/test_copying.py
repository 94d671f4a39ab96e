"""Copies and links never take another file's place, and never change the photo."""

import errno
import os
import stat
from pathlib import Path

import pytest

from clipsearch.errors import PhotoError, StorageError
from clipsearch.photos.copying import copy_photo, link_photo


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "a" / "rex.jpg"
    path.parent.mkdir()
    path.write_bytes(b"rex" * 1000)
    os.utime(path, ns=(1_500_000_000_123_456_789, 1_400_000_000_123_456_789))
    return path


def target(tmp_path: Path) -> Path:
    return tmp_path / "out" / "deep"


def copy(photo: Path, folder: Path) -> tuple[str, str]:
    placed = copy_photo(os.fsencode(photo), os.fsencode(folder))
    return os.fsdecode(os.path.basename(placed.target)), placed.way


def test_a_copy_has_the_content_and_the_modification_time(photo: Path, tmp_path: Path) -> None:
    before = photo.stat()
    assert copy(photo, target(tmp_path)) == ("rex.jpg", "copied")
    copied = target(tmp_path) / "rex.jpg"
    assert copied.read_bytes() == photo.read_bytes()
    assert copied.stat().st_mtime_ns == 1_400_000_000_123_456_789
    after = photo.stat()
    assert (before.st_mtime_ns, before.st_ctime_ns) == (after.st_mtime_ns, after.st_ctime_ns)


def test_another_photo_of_the_same_name_gets_a_number(photo: Path, tmp_path: Path) -> None:
    other = tmp_path / "b" / "rex.jpg"
    other.parent.mkdir()
    other.write_bytes(b"REX" * 1000)
    third = tmp_path / "c" / "rex.jpg"
    third.parent.mkdir()
    third.write_bytes(b"R")
    folder = target(tmp_path)
    assert [copy(p, folder)[0] for p in (photo, other, third)] == [
        "rex.jpg",
        "rex (2).jpg",
        "rex (3).jpg",
    ]
    assert (folder / "rex.jpg").read_bytes() == photo.read_bytes()
    assert (folder / "rex (2).jpg").read_bytes() == other.read_bytes()


def test_the_same_copy_is_not_made_twice(photo: Path, tmp_path: Path) -> None:
    copy(photo, target(tmp_path))
    assert copy(photo, target(tmp_path)) == ("rex.jpg", "present")
    assert os.listdir(target(tmp_path)) == ["rex.jpg"]


def test_a_link_in_the_way_is_not_written_through(photo: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"keep me")
    target(tmp_path).mkdir(parents=True)
    (target(tmp_path) / "rex.jpg").symlink_to(precious)
    assert copy(photo, target(tmp_path))[0] == "rex (2).jpg"
    assert precious.read_bytes() == b"keep me"


def test_long_and_unreadable_names_get_numbers_too(tmp_path: Path) -> None:
    name = b"\xff" * 251 + b".jpg"
    for folder, content in ((b"a", b"1"), (b"b", b"2")):
        os.mkdir(os.path.join(os.fsencode(tmp_path), folder))
        path = os.path.join(os.fsencode(tmp_path), folder, name)
        with open(path, "wb") as file:
            file.write(content)
        copy_photo(path, os.fsencode(tmp_path / "out"))
    names = sorted(os.listdir(os.fsencode(tmp_path / "out")))
    assert names == sorted([name, b"\xff" * 247 + b" (2).jpg"])


def test_links_point_to_the_photo_and_are_made_once(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parent)
    for way in ("linked", "present"):
        assert link_photo(b"rex.jpg", os.fsencode(target(tmp_path))).way == way
    link = target(tmp_path) / "rex.jpg"
    assert link.is_symlink()
    assert os.readlink(link) == str(photo)


def test_where_links_cannot_be_made_a_copy_is(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", refuse)
    assert link_photo(os.fsencode(photo), os.fsencode(target(tmp_path))).way == "copied"
    assert stat.S_ISREG((target(tmp_path) / "rex.jpg").lstat().st_mode)


def test_a_photo_that_went_away_or_became_a_pipe_costs_only_itself(
    photo: Path, tmp_path: Path
) -> None:
    photo.unlink()
    with pytest.raises(PhotoError, match="No such file"):
        copy(photo, target(tmp_path))
    os.mkfifo(photo)
    with pytest.raises(PhotoError, match="no longer a file"):
        copy(photo, target(tmp_path))
    assert not target(tmp_path).exists()


def test_a_folder_that_cannot_be_made_is_named(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"a file is here")
    with pytest.raises(StorageError, match=r"out.* cannot be written"):
        copy(photo, target(tmp_path))


def test_a_copy_that_fails_half_way_leaves_nothing(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", fill_disk)
    with pytest.raises(StorageError, match="No space left"):
        copy(photo, target(tmp_path))
    assert os.listdir(target(tmp_path)) == []
