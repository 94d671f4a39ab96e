"""`clipsearch search --timings` and `clipsearch library rebuild --explain`."""

import json

import pytest

from clipsearch.cli.stopwatch import Stopwatch, since_start
from tests.cli.program import Program


def test_stages_add_up_to_the_whole_time() -> None:
    times = iter([10.0, 10.5, 12.0, 12.25])
    watch = Stopwatch(lambda: next(times))
    watch.start_with("start", 0.1)
    watch("one")
    watch("two")
    watch("one")
    taken = watch.milliseconds()
    assert list(taken) == ["start", "one", "two", "total"]
    assert taken["one"] == pytest.approx(750)
    assert taken["total"] == pytest.approx(100 + 2250)


def test_the_age_of_this_process_is_known_or_nought() -> None:
    assert 0 <= since_start() < 3600


def test_timings_stand_beside_the_result(colours: Program) -> None:
    plain = colours.run("search", "red", "in:album", "--json")
    answer = colours.run("search", "red", "in:album", "--json", "--timings")
    assert answer.raw == plain.raw
    (taken,) = [json.loads(line)["timings_ms"] for line in answer.errors.splitlines()]
    assert {"imports", "catalogue open", "text tower run", "filters", "photo rows"} <= set(taken)
    parts = sum(ms for stage, ms in taken.items() if stage != "total")
    assert taken["total"] == pytest.approx(parts, abs=0.2)
    lines = colours.run("search", "red", "--timings").errors.splitlines()
    assert lines[-1].startswith("total ")
    assert all(line.endswith(" ms") for line in lines)


def test_a_search_without_results_tells_its_timings_too(colours: Program) -> None:
    answer = colours.run("search", "red", "in:nowhere", "--timings")
    assert answer.code == 1
    assert "total" in answer.errors
    assert "no photo was found" in answer.errors


def test_rebuild_explains_what_was_chosen(indexed: Program) -> None:
    (found,) = indexed.run("library", "rebuild", "--explain", "--json").records
    assert (found["rows"], found["index"], found["queries"]) == (5, "exact", "text")
    assert found["searches_use_it"] is False
    measured = found["measured"]
    assert isinstance(measured, list)
    assert [each["chosen"] for each in measured if each["index"] == "exact"] == [True]
    assert {each["index"] for each in measured} == {"exact", "ivf"}
    assert measured[-1]["recall_at_10"] == 1
    words = indexed.run("library", "rebuild", "--explain").out
    assert "up to 8,192 photos searches read the catalogue" in words
    assert "because  comparing every row takes" in words
    assert "everyday words" in words
    (plain,) = indexed.run("library", "rebuild", "--json").records
    assert plain.keys() == {"rebuilt"}


def test_there_is_nothing_to_explain_in_an_empty_library(program: Program) -> None:
    (program.folder / "none").mkdir()
    program.run("index", "none", "--model", "fake")
    (found,) = program.run("library", "rebuild", "--explain", "--json").records
    assert found["rows"] == 0
