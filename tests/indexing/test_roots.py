"""Where named folders belong: each photo is scanned once, by the outermost folder around it."""

import os
from pathlib import Path

import pytest

from clipsearch.errors import UsageError
from clipsearch.indexing import roots as named
from clipsearch.library import Library
from tests.indexing.album import Album, adds_up

RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)


@pytest.fixture
def album(tmp_path: Path) -> Album:
    album = Album(tmp_path)
    album.add("a.png", RED)
    album.add("in/b.png", GREEN)
    album.add("in/deep/c.png", BLUE)
    return album


def root_paths(album: Album) -> list[str]:
    with Library.open(album.library) as library:
        return [os.fsdecode(root.path) for root in library.catalogue.roots()]


@pytest.mark.parametrize("names", [(".", "in"), ("in", "."), ("in/deep", "in", "."), ("in", "in/")])
def test_folders_inside_each_other_are_scanned_once(album: Album, names: tuple[str, ...]) -> None:
    """The inner one first was once counted twice, and half of it called left to do."""
    folders = [album.photos / name for name in names]
    summary = album.index(*folders)
    photos = 3 if "." in names else 2
    assert (summary.found, summary.new, summary.remaining) == (photos, photos, 0)
    assert adds_up(summary)
    outermost = album.photos if "." in names else album.photos / "in"
    assert root_paths(album) == [str(outermost)]
    again = album.index(*folders)
    assert (again.found, again.unchanged) == (photos, photos)


def test_two_folders_of_a_known_root_inside_each_other_are_scanned_once(album: Album) -> None:
    album.index()
    summary = album.index(album.photos / "in" / "deep", album.photos / "in")
    assert (summary.found, summary.unchanged) == (2, 2)


def test_a_folder_that_is_gone_is_looked_for_from_the_one_above(album: Album) -> None:
    album.index()
    (album.photos / "in" / "deep" / "c.png").unlink()
    (album.photos / "in" / "deep").rmdir()
    assert album.index(album.photos / "in" / "deep").missing == 1
    album.check({"a.png": RED, "in/b.png": GREEN})


def test_a_folder_that_cannot_be_listed_says_so(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named, "root_identity", lambda path: None)
    with pytest.raises(UsageError, match="cannot be read"):
        album.index()


def test_a_folder_that_goes_before_it_becomes_a_root_is_told(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = named.root_identity, []

    def once(path: bytes) -> tuple[int, int] | None:
        asked.append(path)
        return real(path) if len(asked) == 1 else None

    monkeypatch.setattr(named, "root_identity", once)
    with pytest.raises(UsageError, match="cannot be read"):
        album.index()
    assert root_paths(album) == []


def test_a_root_that_goes_after_another_was_scanned_is_away(tmp_path: Path) -> None:
    album = Album(tmp_path)
    album.add("one/a.png", RED)
    album.add("two/b.png", BLUE)
    one, two = album.photos / "one", album.photos / "two"
    album.index(one, two)

    def unplug(stage: str, done: int, total: int | None) -> None:
        if stage == "scan" and two.exists():
            two.rename(tmp_path / "away")

    summary = album.index(one, two, progress=unplug)
    assert {os.path.basename(root.path): root.state for root in summary.roots} == {
        b"one": "scanned",
        b"two": "offline",
    }
    (tmp_path / "away").rename(two)
    album.check({"one/a.png": RED, "two/b.png": BLUE})
