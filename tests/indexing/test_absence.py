"""A scan proves presence, never absence: every way a disk can be away must cost nothing."""

import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from clipsearch.photos import walk as walking
from clipsearch.photos.reading import PhotoReader
from clipsearch.types import FileStat, PhotoProblem
from tests.indexing.album import Album, adds_up

EXPECTED = {f"{i % 3}/{i:02}.png": (i * 8, 255 - i * 8, 99) for i in range(30)}


@pytest.fixture
def album(tmp_path: Path) -> Album:
    album = Album(tmp_path)
    for name, colour in EXPECTED.items():
        album.add(name, colour)
    album.index()
    album.encoder.encoded = 0
    return album


def back_again(album: Album) -> None:
    assert album.index().encoded == 0
    assert album.encoder.encoded == 0
    album.check(EXPECTED)


@pytest.mark.row("C1", "C5")
def test_root_path_absent(album: Album) -> None:
    away = album.photos.rename(album.photos.parent / "away")
    summary = album.index()
    assert [root.state for root in summary.roots] == ["offline"]
    assert not summary.complete
    album.check(EXPECTED)
    away.rename(album.photos)
    back_again(album)


@pytest.mark.row("C2", "C5")
def test_root_is_an_empty_folder(album: Album) -> None:
    away = album.photos.rename(album.photos.parent / "away")
    album.photos.mkdir()
    assert [root.state for root in album.index().roots] == ["offline"]
    album.check(EXPECTED)
    album.photos.rmdir()
    away.rename(album.photos)
    back_again(album)


@pytest.mark.row("C3")
def test_another_volume_in_its_place(album: Album) -> None:
    away = album.photos.rename(album.photos.parent / "away")
    album.add("other.png", (1, 2, 3))
    assert [root.state for root in album.index().roots] == ["other-volume"]
    assert EXPECTED.keys() <= album.stored().keys()
    shutil.rmtree(album.photos)
    away.rename(album.photos)
    album.index()
    album.check(EXPECTED)


@pytest.mark.row("C3", "C5")
def test_another_card_with_the_same_names(album: Album) -> None:
    away = album.photos.rename(album.photos.parent / "away")
    for name in list(EXPECTED)[:20]:
        path = album.photos / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Another size in pixels, so another size in bytes.
        Image.new("RGB", (90, 70), (9, 9, 9)).save(path)
    summary = album.index()
    assert [root.state for root in summary.roots] == ["other-volume"]
    assert adds_up(summary)
    album.check(EXPECTED)
    shutil.rmtree(album.photos)
    away.rename(album.photos)
    back_again(album)


@pytest.mark.row("C5")
def test_a_restored_backup_is_the_same_album(album: Album) -> None:
    away = album.photos.rename(album.photos.parent / "away")
    shutil.copytree(away, album.photos, copy_function=shutil.copyfile)
    summary = album.index()
    assert [root.state for root in summary.roots] == ["scanned"]
    assert summary.encoded == 0
    album.check(EXPECTED)


@pytest.mark.row("C6")
def test_most_photos_deleted_waits_for_the_users_word(album: Album) -> None:
    for name in list(EXPECTED)[:20]:
        (album.photos / name).unlink()
    held = album.index()
    assert [(root.state, root.absent) for root in held.roots] == [("held", 20)]
    assert held.missing == 0
    album.check(EXPECTED)
    confirmed = album.index(confirm_missing=True)
    assert confirmed.missing == 20
    assert len(album.stored()) == 10


@pytest.mark.row("C4")
def test_a_folder_that_cannot_be_listed_to_the_end(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    (album.photos / "1" / "01.png").unlink()
    real = os.scandir

    class Failing:
        def __init__(self, path: object) -> None:
            self._entries = real(path)  # type: ignore[call-overload]
            self._left = 2

        def __enter__(self) -> "Failing":
            return self

        def __exit__(self, *error: object) -> None:
            self._entries.close()

        def close(self) -> None:
            self._entries.close()

        def __iter__(self) -> "Failing":
            return self

        def __next__(self) -> object:
            if not self._left:
                raise OSError(5, "Input/output error")
            self._left -= 1
            return next(self._entries)

    monkeypatch.setattr(walking, "scandir", Failing)
    summary = album.index()
    assert summary.missing == 0
    assert summary.folder_problems
    album.check(EXPECTED)


def test_a_vanished_folder_is_missing_only_when_its_parent_says_so(album: Album) -> None:
    shutil.rmtree(album.photos / "2")
    summary = album.index()
    assert summary.missing == 10
    assert {name.split("/")[0] for name in album.stored()} == {"0", "1"}


def test_a_folder_that_is_ignored_now_is_hidden_and_comes_back(album: Album) -> None:
    (album.photos / ".clipsearchignore").write_text("2\n")
    summary = album.index()
    assert (summary.ignored, summary.missing) == (10, 0)
    assert {name.split("/")[0] for name in album.stored()} == {"0", "1"}
    (album.photos / ".clipsearchignore").unlink()
    back_again(album)


def test_a_copy_that_arrives_elsewhere_does_not_prove_an_empty_root(tmp_path: Path) -> None:
    """A disk of few photos is away, its mount point is empty, and one photo comes from a backup."""
    album = Album(tmp_path)
    disk, home = album.photos / "disk", album.photos / "home"
    for i in range(4):
        album.add(f"disk/{i}.png", (i * 50, 0, 0))
    album.add("home/own.png", (0, 0, 200))
    album.index(disk, home)
    away = disk.rename(album.photos / "away")
    disk.mkdir()
    shutil.copy(away / "1.png", home / "from-a-backup.png")
    summary = album.index(disk, home)
    assert [root.state for root in summary.roots] == ["offline", "scanned"]
    assert (summary.missing, summary.moved) == (0, 0)
    assert {f"disk/{i}.png" for i in range(4)} <= album.stored().keys()


@pytest.mark.row("C3")
def test_another_volume_is_not_taken_in_however_often_it_is_scanned(album: Album) -> None:
    """Once its photos were rows of this root, the next scan would find most of the root there."""
    away = album.photos.rename(album.photos.parent / "away")
    others = {f"DSC_{i}.png": (i, 2, 3) for i in range(60)}
    for name, colour in others.items():
        album.add(name, colour)
    for _ in range(3):
        summary = album.index()
        assert [root.state for root in summary.roots] == ["other-volume"]
        assert adds_up(summary)
        album.check(EXPECTED)
    taken = album.index(confirm_missing=True)
    assert (taken.new, taken.missing) == (60, 30)
    album.check(others)
    shutil.rmtree(album.photos)
    away.rename(album.photos)
    assert album.index(confirm_missing=True).encoded == 0
    album.check(EXPECTED)


def test_all_photos_moved_to_other_folders_are_no_other_volume(album: Album) -> None:
    for name in EXPECTED:
        path = album.photos / "sorted" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (album.photos / name).rename(path)
    summary = album.index()
    assert (summary.moved, summary.encoded, summary.missing) == (30, 0, 0)
    album.check({f"sorted/{name}": colour for name, colour in EXPECTED.items()})


def test_a_disk_inside_the_root_is_away(album: Album) -> None:
    """Its empty folder is there, listed to the end; only the photos' device tells."""
    with closing(sqlite3.connect(album.library / "catalogue.sqlite")) as database:
        database.execute(
            "UPDATE photos SET device = device + 7 WHERE folder_id = "
            "(SELECT id FROM folders WHERE path = CAST('2' AS BLOB))"
        )
        database.commit()
    for path in (album.photos / "2").iterdir():
        path.unlink()
    summary = album.index()
    assert ([root.state for root in summary.roots], summary.missing) == (["held"], 0)
    album.check(EXPECTED)
    (album.photos / "2").rmdir()
    # Without even its folder it was deleted: nobody unmounts a folder away.
    assert album.index().missing == 10


def test_a_photo_that_is_missing_already_is_not_missed_again(album: Album) -> None:
    (album.photos / "1" / "01.png").unlink()
    assert album.index().missing == 1
    again = album.index()
    assert (again.missing, [root.absent for root in again.roots]) == (0, [0])


def test_a_photo_that_is_ignored_now_is_hidden_and_comes_back(album: Album) -> None:
    rules = album.photos / "1" / ".clipsearchignore"
    rules.write_text("01.png\n")
    summary = album.index()
    assert (summary.ignored, summary.missing) == (1, 0)
    assert album.stored().keys() == EXPECTED.keys() - {"1/01.png"}
    rules.unlink()
    back_again(album)


def few(tmp_path: Path) -> tuple[Album, dict[str, tuple[int, int, int]]]:
    """An album of five photos, last looked through three days from now."""
    album = Album(tmp_path)
    expected = {f"IMG_{i}.png": (i * 40, 255 - i * 40, 7) for i in range(5)}
    for name, colour in expected.items():
        album.add(name, colour)
    album.index()
    with closing(sqlite3.connect(album.library / "catalogue.sqlite")) as database:
        database.execute("UPDATE roots SET scanned_at = scanned_at + 3 * 86400")
        database.commit()
    return album, expected


def put_others(album: Album, names: Iterable[str]) -> None:
    for name in names:
        # Another size in pixels, so another size in bytes.
        Image.new("RGB", (90, 70), (9, 9, 9)).save(album.photos / name)


@pytest.mark.row("C3", "C5")
def test_a_card_with_few_photos_of_the_same_names_is_known_by_their_age(tmp_path: Path) -> None:
    album, expected = few(tmp_path)
    away = album.photos.rename(tmp_path / "away")
    album.photos.mkdir()
    put_others(album, expected)
    for _ in range(2):
        summary = album.index()
        assert [root.state for root in summary.roots] == ["other-volume"]
        assert adds_up(summary)
        album.check(expected)
    shutil.rmtree(album.photos)
    away.rename(album.photos)
    assert album.index().complete
    album.check(expected)


@pytest.mark.parametrize("stamp", ["mtime_ns", "ctime_ns"])
def test_few_photos_that_all_were_edited_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stamp: str
) -> None:
    """Editors may keep a file's time; that of its last change they cannot keep."""
    album, expected = few(tmp_path)
    put_others(album, expected)
    real = walking.file_stat

    def later(result: os.stat_result) -> FileStat:
        stat = real(result)
        return replace(stat, **{stamp: stat.mtime_ns + 3 * 86_400 * 10**9})

    monkeypatch.setattr(walking, "file_stat", later)
    assert album.index().changed == 5
    album.check(dict.fromkeys(expected, (9, 9, 9)))


def test_in_a_folder_that_was_never_looked_through_nothing_is_older(tmp_path: Path) -> None:
    album, expected = few(tmp_path)
    with closing(sqlite3.connect(album.library / "catalogue.sqlite")) as database:
        database.execute("UPDATE roots SET scanned_at = NULL")
        database.commit()
    put_others(album, expected)
    assert album.index().changed == 5


@pytest.mark.row("C7")
def test_photos_that_could_not_be_read_say_nothing_about_a_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that nobody might read was once taken for another disk when everybody might."""
    album = Album(tmp_path)
    expected = {f"{i}.png": (i * 10, 3, 3) for i in range(12)}
    for name, colour in expected.items():
        album.add(name, colour)

    def fail(reader: PhotoReader, paths: Iterable[bytes], known: object) -> Iterator[PhotoProblem]:
        for each in paths:
            yield PhotoProblem(each, None, "unreadable", "permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(PhotoReader, "read", fail)
        assert album.index().problems == {"unreadable": 12}
    assert album.index().complete
    album.check(expected)
