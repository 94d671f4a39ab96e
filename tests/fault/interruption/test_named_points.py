"""`clipsearch index` killed at named points: nothing lost, nothing mixed up.

The oracle is not the program: every expected vector is computed by hand from the photo's colour.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clipsearch.library import Library
from tests.indexing.album import Album, Colour

PHOTOS: dict[str, Colour] = {
    f"{i % 4}/{i:03}.png": (i * 2, 255 - i, (i * 37) % 256) for i in range(120)
}


@pytest.fixture
def album(tmp_path: Path) -> Album:
    album = Album(tmp_path)
    for name, colour in PHOTOS.items():
        album.add(name, colour)
    return album


def start(album: Album, failpoint: str = "") -> subprocess.Popen[str]:
    return run(album, "index", str(album.photos), "--model", "fake", "--json", failpoint=failpoint)


def run(album: Album, *arguments: str, failpoint: str = "") -> subprocess.Popen[str]:
    environment = os.environ | {"CLIPSEARCH_LIBRARY": str(album.library)}
    environment.pop("CLIPSEARCH_FAILPOINT", None)
    if failpoint:
        environment["CLIPSEARCH_FAILPOINT"] = failpoint
    return subprocess.Popen(
        [sys.executable, "-m", "clipsearch", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(album: Album) -> dict[str, object]:
    """Run to the end; the run's summary."""
    process = start(album)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    summary: dict[str, object] = json.loads(output.splitlines()[-1])
    return summary


def committed(album: Album) -> int:
    """How many photos the library holds right after the kill, all of them checked."""
    if not (album.library / "catalogue.sqlite").exists():
        return 0
    with Library.open(album.library) as library:
        if library.model is None:
            return 0
    stored = album.stored()
    album.check({name: PHOTOS[name] for name in stored})
    return len(stored)


@pytest.mark.row("A1")
@pytest.mark.parametrize(
    "failpoint",
    [
        "before_commit:1",
        "after_commit:1",
        "before_commit:4",
        "after_commit:4",
        "before_commit:7",
        "after_commit:7",
    ],
)
def test_killed_at_a_named_point(album: Album, failpoint: str) -> None:
    process = start(album, f"{failpoint}=exit")
    _, errors = process.communicate(timeout=120)
    assert process.returncode < 0, f"the failpoint was never reached: {errors}"
    kept = committed(album)
    summary = finish(album)
    assert summary["encoded"] == len(PHOTOS) - kept
    assert summary["found"] == len(PHOTOS)
    album.check(PHOTOS)


@pytest.mark.row("A2")
@pytest.mark.parametrize(
    "failpoint", ["before_temp_write", "after_temp_write", "before_rename", "after_rename"]
)
def test_killed_while_publishing_a_snapshot(album: Album, failpoint: str) -> None:
    finish(album)
    process = run(album, "library", "rebuild", failpoint=f"{failpoint}=exit")
    _, errors = process.communicate(timeout=120)
    assert process.returncode < 0, f"the failpoint was never reached: {errors}"
    album.check(PHOTOS)
    again = run(album, "library", "rebuild")
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert not list(album.library.glob("*.tmp"))
    with Library.open(album.library) as library:
        assert not library.rebuild_snapshot()


@pytest.mark.row("B3")
def test_an_input_output_error_is_one_line_and_loses_nothing(album: Album) -> None:
    process = start(album, "before_commit:5=raise")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 6
    assert "Traceback" not in errors
    kept = committed(album)
    assert finish(album)["encoded"] == len(PHOTOS) - kept
    album.check(PHOTOS)


def test_failpoints_are_inert_without_the_variable(album: Album) -> None:
    assert finish(album)["encoded"] == len(PHOTOS)
