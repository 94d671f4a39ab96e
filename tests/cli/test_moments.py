"""Years that no calendar or clock should have: shown, found, and nothing is lost by them."""

import os
import time
from datetime import datetime
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from clipsearch.cli.moments import shown_moment
from clipsearch.cli.program import run

YEARS = {"old.jpg": "1850", "first.jpg": "0001", "last.jpg": "9999", "none.jpg": "0000"}


def add_photo(path: Path, year: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.DateTime] = f"{year}:12:31 23:59:59"
    Image.new("RGB", (24, 24), (200, len(year) + ord(path.name[0]), 9)).save(path, exif=exif)


def test_moments_up_to_the_end_of_the_calendar_and_beyond() -> None:
    assert shown_moment(datetime(2024, 2, 29, 12, 30, 1).timestamp()) == "2024-02-29 12:30:01"
    assert shown_moment(datetime(1950, 1, 2).timestamp(), "%Y-%m-%d") == "1950-01-02"
    for seconds in (1e18, 253_402_400_000.0, -70_000_000_000.0):
        assert shown_moment(seconds) == f"{seconds:.0f} s after 1970"


@pytest.mark.row("C15")
@pytest.mark.parametrize("now", [-5_000_000_000.0, 300_000_000_000.0])
def test_with_a_clock_outside_all_calendars_everything_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], now: float
) -> None:
    album, library = tmp_path / "album", str(tmp_path / "library")
    album.mkdir()
    for name, year in YEARS.items():
        add_photo(album / name, year)
        os.utime(album / name, (-2_000_000_000, -2_000_000_000))

    def told(*arguments: str) -> list[str]:
        code = run([*arguments, "--library", library])
        out, errors = capfd.readouterr()
        assert code == 0, errors
        assert "internal error" not in errors
        return out.splitlines()

    def names(*terms: str) -> set[str]:
        (found,) = told("search", "red", *terms, "--print0")
        return {os.path.basename(path) for path in found.split("\0") if path}

    with monkeypatch.context() as clock:
        clock.setattr(time, "time", lambda: now)
        told("index", str(album), "--model", "fake")
        told("index", str(album))
        assert str(album) in "".join(told("library", "roots"))
        (album / "last.jpg").unlink()
        told("index", str(album))
        told("library", "check")
        told("why", str(album / "last.jpg"))
        assert "taken 1850-12-31 23:59:59" in " ".join(told("why", str(album / "old.jpg")))
    assert names() == YEARS.keys() - {"last.jpg"}
    add_photo(album / "last.jpg", "9999")
    told("index", str(album))
    assert names() == YEARS.keys()
    assert names("before:1850") == {"first.jpg"}
    assert names("after:1850", "before:1851") == {"old.jpg"}
    assert names("after:9999-12-31") == {"last.jpg"}
    told("library", "check", "--read-data")
