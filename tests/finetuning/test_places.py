"""Where a run may lie, and that a start which failed leaves what it found."""

from pathlib import Path

import pytest

from clipsearch.errors import LockedError, StorageError, UsageError
from clipsearch.finetuning.places import (
    clear_unless_begun,
    make_directory,
    require_own_directory,
    require_standing,
)
from clipsearch.training.runs import RunDirectory


def fill(run: Path, *names: str) -> RunDirectory:
    for name in names:
        path = run / name
        if path.suffix or path.name == "lock":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        else:
            path.mkdir(parents=True)
    return RunDirectory(run)


def test_nothing_an_empty_folder_a_run_and_what_a_failed_start_left_are_places(
    tmp_path: Path,
) -> None:
    require_own_directory(tmp_path / "nowhere")
    require_own_directory(tmp_path)
    fill(tmp_path / "left", "lock", "original", "original.unfinished/x.bin", "findings.tsv")
    require_own_directory(tmp_path / "left")
    fill(tmp_path / "begun", "settings.json", "notes.txt")
    require_own_directory(tmp_path / "begun")


def test_a_file_and_somebodys_own_folder_are_none(tmp_path: Path) -> None:
    fill(tmp_path, "holiday.jpg")
    with pytest.raises(UsageError, match=r"holiday\.jpg is a file"):
        require_own_directory(tmp_path / "holiday.jpg")
    with pytest.raises(UsageError, match=r"holds other things \(holiday\.jpg\)"):
        require_own_directory(tmp_path)


def test_a_place_that_cannot_be_looked_into_or_made(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="File name too long"):
        require_own_directory(tmp_path / ("x" * 300))
    fill(tmp_path, "file.txt")
    with pytest.raises(StorageError, match="Not a directory"):
        make_directory(tmp_path / "file.txt" / "run")


def test_a_directory_is_made_once(tmp_path: Path) -> None:
    assert make_directory(tmp_path / "a" / "run")
    assert not make_directory(tmp_path / "a" / "run")


@pytest.mark.parametrize(
    ("names", "made_now", "left"),
    [
        # Made for nothing: it goes altogether.
        (["lock", "original/weights.bin", "original.unfinished/x.bin"], True, None),
        # It was somebody's: it stays, empty.
        (["lock", "original/weights.bin"], False, []),
        # The findings say why, and the lock belongs to what stays.
        (["lock", "findings.tsv"], True, ["findings.tsv", "lock"]),
        # A run was begun: nothing is touched.
        (["lock", "settings.json", "original"], True, ["lock", "original", "settings.json"]),
    ],
)
def test_a_failed_start_leaves_nothing_of_its_own(
    tmp_path: Path, names: list[str], made_now: bool, left: list[str] | None
) -> None:
    run = tmp_path / "run"
    clear_unless_begun(fill(run, *names), made_now=made_now)
    found = sorted(path.name for path in run.iterdir()) if run.exists() else None
    assert found == left


def test_a_lock_whose_directory_was_cleared_away_keeps_nobody_out(tmp_path: Path) -> None:
    fill(tmp_path / "run", "lock")
    require_standing(tmp_path / "run")
    with pytest.raises(LockedError, match="given up"):
        require_standing(tmp_path / "gone")
