"""The run directory's records: differences named, metrics cut back, damage refused."""

from dataclasses import asdict
from pathlib import Path

import pytest

from clipsearch.errors import DamageError, UsageError
from clipsearch.training.curves import Curve, Panel, draw
from clipsearch.training.precision import MeasuredPrecision
from clipsearch.training.runs import (
    Metrics,
    RunDirectory,
    fingerprint,
    read_json,
    read_metrics,
    recorded_precision,
    recorded_threads,
    refuse_differences,
    sha256_of,
    write_json,
    write_whole,
)


def test_a_run_is_a_directory_of_these_names(tmp_path: Path) -> None:
    """They stand in the README, and in runs that people have: none may change."""
    run = RunDirectory(tmp_path)
    assert [
        path.name
        for path in (
            run.settings, run.data, run.metrics, run.curves, run.report, run.report_text,
            run.checkpoints, run.best, run.views, run.original, run.model,
        )
    ] == [
        "settings.json", "data.json", "metrics.csv", "curves.png", "report.json", "report.txt",
        "checkpoints", "best.safetensors", "views.safetensors", "original", "model",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "holds_work"),
    [
        ("settings.json", False),
        ("checkpoints/step-1.safetensors.unfinished", False),
        ("checkpoints/step-1.safetensors", True),
        ("best.safetensors", True),
        ("report.json", True),
    ],
)
def test_what_another_beginning_would_throw_away(
    tmp_path: Path, name: str, holds_work: bool
) -> None:
    write_whole(tmp_path / name, b"x")
    run = RunDirectory(tmp_path)
    assert run.holds_work == holds_work
    assert (run.began, run.finished) == (name == "settings.json", name == "report.json")


def test_a_long_difference_is_cut_short(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'photos was "x+\.\.\., is 1'):
        refuse_differences(tmp_path, {"photos": "x" * 500}, {"photos": 1})


def test_what_was_measured_is_read_back_and_another_version_s_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    assert recorded_precision(path) is None
    write_json(path, {"basis": {}})
    assert recorded_precision(path) is None
    assert recorded_threads(path) is None
    measured = MeasuredPrecision("bf16", 2.0, 1.0)
    write_json(path, {"measured_precision": asdict(measured)})
    assert recorded_precision(path) == measured
    write_json(path, {"measured_precision": {"speed": 1}})
    with pytest.raises(DamageError, match="another version"):
        recorded_precision(path)


def test_what_differs_is_named(tmp_path: Path) -> None:
    refuse_differences(tmp_path, {"a": 1}, {"a": 1})
    with pytest.raises(UsageError, match=r"rate was 1, is 2; more was null, is 3.*--force"):
        refuse_differences(tmp_path, {"rate": 1}, {"rate": 2, "more": 3})


def test_a_fingerprint_is_of_values_not_of_their_order() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_a_record_holds_any_name(tmp_path: Path) -> None:
    """A photo named in Latin-1 once ended a run with a traceback."""
    write_json(tmp_path / "data.json", {"photos": ["caf\udce9.jpg", "café.jpg"]})
    assert read_json(tmp_path / "data.json") == {"photos": ["caf\udce9.jpg", "café.jpg"]}


def test_metrics_go_on_where_the_checkpoint_stands(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    metrics = Metrics(path, ("score",), 0)
    for step in (1, 2, 3):
        metrics.add({"step": step, "loss": 0.5 / step})
    with path.open("ab") as file:
        file.write(b"4,0.1,0.")  # killed in the middle of a line
    again = Metrics(path, ("score",), 2)
    again.add({"step": 3, "score": 0.25})
    rows = read_metrics(path)
    assert [row["step"] for row in rows] == ["1", "2", "3"]
    assert [row["score"] for row in rows] == ["", "", "0.25"]
    assert rows[1]["loss"] == "0.25"


def test_a_damaged_record_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    write_json(path, {"basis": {"threads": 3}})
    assert recorded_threads(path) == 3
    assert recorded_threads(tmp_path / "none.json") is None
    for text in ("{", "[]"):
        path.write_text(text)
        with pytest.raises(DamageError, match=r"settings\.json"):
            read_json(path)


def test_a_small_file_is_there_whole_or_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write_whole(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_a_directory_s_hash_follows_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    before = sha256_of(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = sha256_of(tmp_path)
    (tmp_path / "b").write_bytes(b"2")
    assert len({before, renamed, sha256_of(tmp_path)}) == 3


def test_curves_are_a_png(tmp_path: Path) -> None:
    panel = Panel("t", "x", "y", [Curve("c", [0, 1], [1, 2])], {"here": 0.5}, {"level": 1.5})
    draw(tmp_path / "curves.png", [panel, Panel("empty", "x", "y", [], {}, {})])
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
