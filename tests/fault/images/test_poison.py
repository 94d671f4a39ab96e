"""D9, D10: a photo that ends or hangs its worker costs only itself, wherever it lies in a batch."""

from functools import partial
from pathlib import Path

import pytest

from clipsearch.indexing import run as running
from clipsearch.photos.limits import ReadLimits
from clipsearch.photos.reading import PhotoReader
from tests.fault.images.folder_facts import facts_of
from tests.indexing.album import Album, Colour, adds_up
from tests.photos.test_reading import FAULTY

# The first batch of a run holds eight photos.
PHOTOS: dict[str, Colour] = {f"{i:02}.png": (i * 25, 255 - i * 25, 40) for i in range(10)}


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Album:
    """Photos that are read by workers which obey what is written behind the photo."""
    album = Album(tmp_path)
    for name, colour in PHOTOS.items():
        album.add(name, colour)
    reader = partial(PhotoReader, limits=ReadLimits(seconds=2), command=FAULTY)
    monkeypatch.setattr(
        running, "PhotoReader", lambda preprocess, _, **more: reader(preprocess, 1, **more)
    )
    return album


def poison(album: Album, name: str, fault: bytes) -> None:
    with (album.photos / name).open("ab") as file:
        file.write(fault)


def check(album: Album, poisoned: set[str], reason: str) -> None:
    before = facts_of(album.photos)
    summary = album.index()
    assert {Path(p.path.decode()).name: p.kind for p in summary.fresh_problems} == dict.fromkeys(
        poisoned, "refused"
    )
    assert all(reason in problem.reason for problem in summary.fresh_problems)
    assert adds_up(summary)
    assert not summary.complete
    album.check({name: colour for name, colour in PHOTOS.items() if name not in poisoned})
    assert facts_of(album.photos) == before
    # Recorded by name before it could do harm: the next run does not open it again.
    again = album.index(load_encoder=lambda _: pytest.fail("something was read again"))
    assert (again.fresh_problems, again.problems) == ((), {"refused": len(poisoned)})


@pytest.mark.row("D9")
@pytest.mark.parametrize("position", range(len(PHOTOS)))
def test_a_killer_at_each_position_of_a_batch(album: Album, position: int) -> None:
    name = list(PHOTOS)[position]
    poison(album, name, b"KILL")
    check(album, {name}, "signal SIGKILL")


@pytest.mark.row("D9")
@pytest.mark.parametrize(("position", "fault"), [(0, b"HANG"), (4, b"SPIN"), (9, b"HANG")])
def test_one_that_takes_for_ever(album: Album, position: int, fault: bytes) -> None:
    name = list(PHOTOS)[position]
    poison(album, name, fault)
    check(album, {name}, "took over 2 s")


@pytest.mark.row("D9")
def test_all_ways_at_once(album: Album) -> None:
    poisoned = {"00.png", "01.png", "04.png", "08.png", "09.png"}
    for name, fault in zip(
        sorted(poisoned), (b"KILL", b"SEGV", b"EXIT", b"KILL", b"EXIT"), strict=True
    ):
        poison(album, name, fault)
    check(album, poisoned, "ended its worker")


@pytest.mark.row("D10")
def test_a_thousand_bad_files_in_a_row(tmp_path: Path) -> None:
    album = Album(tmp_path)
    for i in range(1000):
        (album.photos / f"a{i:04}.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken %d" % i)
    album.add("z.png", (9, 9, 9))
    summary = album.index()
    assert summary.problems == {"damaged": 1000}
    album.check({"z.png": (9, 9, 9)})
    assert album.index().fresh_problems == ()


@pytest.mark.nightly
@pytest.mark.row("D10")
def test_three_in_ten_of_ten_thousand(tmp_path: Path) -> None:
    album = Album(tmp_path)
    good: dict[str, Colour] = {}
    for i in range(10_000):
        name = f"{i % 50:02}/{i:05}.png"
        colour = (i % 256, i // 256, 77)
        path = album.add(name, colour)
        if i % 10 < 3:
            path.write_bytes(path.read_bytes()[:40])
        else:
            good[name] = colour
    summary = album.index()
    assert summary.problems == {"damaged": 3000}
    assert adds_up(summary)
    album.check(good)
