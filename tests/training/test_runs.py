"""The run directory's records: differences named, metrics cut back, damage refused."""

from pathlib import Path

import pytest

from clipsearch.errors import DamageError, UsageError
from clipsearch.training.curves import Curve, Panel, draw
from clipsearch.training.runs import (
    Metrics,
    fingerprint,
    read_json,
    read_metrics,
    recorded_threads,
    refuse_differences,
    sha256_of,
    write_json,
    write_whole,
)


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
