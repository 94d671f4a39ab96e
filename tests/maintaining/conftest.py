from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from clipsearch import failpoints
from tests.indexing.album import Album
from tests.maintaining.ready_made import write_library

COLOURS = [(i * 6, 255 - i * 6, (i * 37) % 256) for i in range(40)]


@pytest.fixture
def album(tmp_path: Path) -> Album:
    """A library of forty photos in two folders, one of them twice."""
    album = Album(tmp_path)
    for number, colour in enumerate(COLOURS):
        album.add(f"{number % 2}/{number:02}.png", colour)
    album.add("copy.png", COLOURS[0])
    write_library(album.library, album.photos)
    return album


@pytest.fixture
def fail_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A disk error at a named place, the next time this process gets there."""

    def fail(place: str) -> None:
        monkeypatch.setattr(failpoints, "_reached", Counter())
        monkeypatch.setenv("CLIPSEARCH_FAILPOINT", f"{place}=raise")

    return fail
