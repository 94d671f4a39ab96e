import os
import stat
from pathlib import Path

import pytest

from clipsearch.storage import layout


def test_the_option_wins_over_the_variable_and_the_variable_over_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLIPSEARCH_LIBRARY", str(tmp_path / "variable"))
    assert layout.library_dir(str(tmp_path / "option")) == tmp_path / "option"
    assert layout.library_dir() == tmp_path / "variable"
    monkeypatch.delenv("CLIPSEARCH_LIBRARY")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert layout.library_dir().name == "library"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPSEARCH_MODELS", "")
    assert layout.models_dir().name == "models"
    assert layout.models_dir().is_absolute()


def test_a_relative_library_stays_the_same_when_the_working_directory_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert layout.library_dir("here") == tmp_path / "here"


def test_the_home_directory_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert layout.library_dir("~/photos") == tmp_path / "photos"


def test_the_data_folder_is_found_in_a_checkout() -> None:
    assert layout.data_dir() == Path(__file__).resolve().parents[2] / "data"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no mode bits")
def test_new_directories_and_files_are_private(tmp_path: Path) -> None:
    inner = tmp_path / "outer" / "inner"
    layout.make_private_dir(inner)
    os.close(layout.open_private(inner / "file"))
    for path, mode in ((inner.parent, 0o700), (inner, 0o700), (inner / "file", 0o600)):
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_directory_of_the_user_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    layout.make_private_dir(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_sweeping_removes_our_unfinished_files_and_nobody_elses(tmp_path: Path) -> None:
    ours = ["0123.faiss.tmp", "catalogue.sqlite.tmp", "catalogue.sqlite.tmp-wal"]
    theirs = ["holiday.tmp", "catalogue.sqlite", "0123.faiss", "catalogue.sqlite-wal"]
    for name in ours + theirs:
        (tmp_path / name).touch()
    layout.sweep_temporary(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(theirs)
