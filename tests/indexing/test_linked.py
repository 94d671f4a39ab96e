"""A photo folder that was moved, with a link left in its place: each photo is there once."""

from pathlib import Path

import pytest

from clipsearch.encoders.fake import FAKE
from clipsearch.indexing import IndexSummary, index
from clipsearch.library import Library
from tests.indexing.album import Album, adds_up

EXPECTED = {"a.png": (200, 0, 0), "in/b.png": (0, 200, 0), "in/c.png": (0, 0, 200)}


@pytest.fixture
def album(tmp_path: Path) -> Album:
    album = Album(tmp_path)
    for name, colour in EXPECTED.items():
        album.add(name, colour)
    album.index()
    return album


def move(album: Album, place: Path) -> Path:
    """The photos, now there; a link in their place."""
    place.parent.mkdir(parents=True, exist_ok=True)
    album.photos.rename(place)
    album.photos.symlink_to(place)
    return place


def roots(album: Album) -> list[Path]:
    with Library.open(album.library) as library:
        return [Path(root.path.decode()) for root in library.catalogue.roots()]


def rows(album: Album) -> int:
    with Library.open(album.library) as library:
        return library.catalogue.row_counts()["photos"]


def index_all(album: Album) -> IndexSummary:
    """As `clipsearch index` without a folder."""
    with Library.open(album.library) as library:
        return index(library, FAKE, lambda expected: album.encoder)


@pytest.mark.row("C16")
@pytest.mark.parametrize("named", ["the link", "the place", "nothing"])
def test_photos_behind_a_link_are_there_once_where_they_are(
    album: Album, tmp_path: Path, named: str
) -> None:
    place = move(album, tmp_path / "disk" / "pictures")
    album.encoder.encoded = 0
    if named == "nothing":
        summary = index_all(album)
    else:
        summary = album.index(album.photos if named == "the link" else place)
    assert (summary.moved, summary.new, album.encoder.encoded) == (3, 0, 0)
    assert adds_up(summary)
    assert summary.complete
    assert roots(album) == [place]
    assert rows(album) == 3
    album.photos = place
    album.check(EXPECTED)
    assert album.index().unchanged == 3


def test_a_folder_that_was_moved_into_another_root_is_a_part_of_that(
    album: Album, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    place = move(album, disk / "old" / "pictures")
    album.index(disk)
    assert roots(album) == [disk]
    album.photos = place
    album.check(EXPECTED)


def test_rows_that_an_earlier_run_left_twice_go_and_are_no_arrivals(
    album: Album, tmp_path: Path
) -> None:
    place = move(album, tmp_path / "disk")
    album.photos.unlink()
    # Without the link, as two runs that knew nothing of it: the photos are known twice.
    album.index(place)
    assert rows(album) == 6
    album.photos.symlink_to(place)
    summary = album.index(place)
    assert (summary.moved, summary.new, summary.unchanged) == (0, 0, 3)
    assert (roots(album), rows(album)) == ([place], 3)


def test_what_is_not_behind_the_link_keeps_its_row_and_is_told(
    album: Album, tmp_path: Path
) -> None:
    """A link to another folder with some of the names: those photos may come back."""
    away = album.photos.rename(tmp_path / "away")
    other = Album(tmp_path / "other")
    other.add("a.png", (9, 9, 9))
    other.add("in/b.png", EXPECTED["in/b.png"])
    album.photos.symlink_to(other.photos)
    summary = album.index(other.photos)
    assert [root.state for root in summary.roots] == ["scanned", "offline"]
    assert rows(album) == 4
    album.photos.unlink()
    away.rename(album.photos)
    album.index()
    assert {name: vector for name, vector in album.stored().items() if ".." not in name}.keys() == (
        EXPECTED.keys()
    )


def test_a_link_to_nowhere_is_a_root_that_is_away(album: Album, tmp_path: Path) -> None:
    place = move(album, tmp_path / "disk")
    place.rename(tmp_path / "unplugged")
    summary = index_all(album)
    assert [root.state for root in summary.roots] == ["offline"]
    assert rows(album) == 3


def test_a_link_is_not_followed_for_rows_by_a_run_over_something_else(
    album: Album, tmp_path: Path
) -> None:
    place = move(album, tmp_path / "disk")
    album.photos.unlink()
    album.index(place)
    album.photos.symlink_to(place)
    elsewhere = Album(tmp_path / "elsewhere")
    elsewhere.add("x.png", (1, 2, 3))
    summary = album.index(elsewhere.photos)
    assert summary.complete
    assert rows(album) == 7


def test_a_link_to_what_was_never_indexed_changes_nothing(album: Album, tmp_path: Path) -> None:
    move(album, tmp_path / "disk")
    elsewhere = Album(tmp_path / "elsewhere")
    elsewhere.add("x.png", (1, 2, 3))
    assert album.index(elsewhere.photos).complete
    assert rows(album) == 4


def test_missing_photos_keep_the_root_under_a_link_until_they_are_purged(
    album: Album, tmp_path: Path
) -> None:
    (album.photos / "in" / "b.png").unlink()
    assert album.index().missing == 1
    place = move(album, tmp_path / "disk")
    assert index_all(album).complete
    assert roots(album) == [album.photos, place]
    assert rows(album) == 3
    assert index_all(album).complete
