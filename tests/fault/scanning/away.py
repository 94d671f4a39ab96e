"""Ways in which the photos of a root can be away, and what must hold then and after."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.fault.subject import Subject

HELD_BACK = 3


def unmounted(album: Path) -> None:
    """Nothing is at the path."""


def empty(album: Path) -> None:
    """The folder that the disk is mounted on."""
    album.mkdir()


def another_volume(album: Path) -> None:
    """Other photos, under other names."""
    album.mkdir()
    for number in range(5):
        Image.new("RGB", (30, 30), (number, 9, 9)).save(album / f"DSC_{number:04}.png")


def another_card(album: Path) -> None:
    """Other photos under the same names, as on the next card of the same camera."""
    for number in range(40):
        path = album / f"{number % 4}" / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (90, 70), (number, 9, 9)).save(path)


def a_file(album: Path) -> None:
    """The path is a file."""
    album.write_bytes(b"")


WAYS: dict[Callable[[Path], None], tuple[str, str]] = {
    unmounted: ("offline", "not there"),
    a_file: ("offline", "not there"),
    empty: ("offline", "empty now"),
    another_volume: ("other-volume", "another disk"),
    another_card: ("other-volume", "another disk"),
}


def prove_nothing_is_lost(subject: Subject, way: Callable[[Path], None]) -> None:
    """Index while the photos are away, and again when they are back: nothing is encoded again."""
    state, words = WAYS[way]
    album = subject.album
    assert subject.index().code == 0
    aside = album.folder.rename(album.folder.with_name(f"{album.folder.name}-aside"))
    way(album.folder)
    before = subject.folder / "while-away"
    away = subject.run("index", "--json", "--quiet")
    assert away.summary["missing"] == 0, "photos were marked missing while their disk was away"
    assert away.code == HELD_BACK, away.errors
    assert [root["state"] for root in away.roots] == [state]
    assert words in subject.run("index", "--quiet").errors
    if album.folder.exists():
        album.folder.rename(before)
    aside.rename(album.folder)
    back = subject.index()
    assert back.code == 0, back.errors
    assert back.summary["encoded"] == 0, "photos were encoded again"
    assert back.summary["restored"] == 0, "photos had been marked missing"
    holding = subject.examine()
    assert holding.good == album.names()
    assert not holding.missing
