"""The matrix itself: every row is known, and every one that matters most has a test."""

from types import SimpleNamespace

import pytest

from tests.fault.table import COMMIT, NIGHTLY, ROW, Collector, Proof, Row, proved, read_rows, table


def test_rows_are_written_as_they_should_be() -> None:
    rows = read_rows()
    names = [row.name for row in rows]
    assert len(names) == len(set(names)) == 90
    assert {row.priority for row in rows} == {"P0", "P1", "P2"}
    assert {row.tier for row in rows} == {COMMIT, NIGHTLY, "release"}
    assert all(row.promise for row in rows)
    assert all(row.state.startswith("not built: ") for row in rows if row.state)


def test_every_row_of_the_highest_priority_has_a_test_in_its_tier() -> None:
    found = proved()
    rows = [row for row in read_rows() if row.priority == "P0" and not row.state]
    assert not [row.name for row in rows if row.name not in found], "nothing proves these"
    late = [row.name for row in rows if row.tier == COMMIT and not found[row.name]]
    assert not late, "commits do not prove these"


def test_marks_name_rows_that_there_are() -> None:
    assert proved().keys() <= {row.name for row in read_rows()}


def test_the_worst_outcome_of_a_rows_tests_is_the_rows() -> None:
    row = Row("X1", "P0", COMMIT, "", "holds")
    assert Proof({"a": "pass", "b": "pass"}).verdict(row) == "pass"
    assert Proof({"a": "pass", "b": "skip"}).verdict(row) == "skip"
    assert Proof({"a": "skip", "b": "fail"}).verdict(row) == "fail"
    assert Proof().verdict(row) == "open"
    assert Proof(waiting="nightly only").verdict(row) == "nightly only"
    assert Proof().verdict(Row("X2", "P0", COMMIT, "not built: it", "holds")) == "not built: it"


def test_the_table_counts_what_it_shows() -> None:
    rows = [Row("X1", "P0", COMMIT, "", "holds"), Row("X2", "P1", NIGHTLY, "", "holds too")]
    text = table(rows, {"X1": Proof({"a": "pass"}, 1.25)}, COMMIT)
    assert "| X1 | P0 | commit | holds | pass | 1 | 1.2 |" in text
    assert "| X2 | P1 | nightly | holds too | open |  |  |" in text
    assert text.endswith("1 open, 1 pass.\n")


@pytest.mark.parametrize(("tier", "code"), [(COMMIT, 0), (NIGHTLY, 1)])
def test_a_skipped_row_is_a_failure_at_night_only(tier: str, code: int) -> None:
    options = {"--tier": tier, "--trials": 1.0, "--fault-table": None}
    config = SimpleNamespace(getoption=options.get)
    collector = Collector(config)  # type: ignore[arg-type]
    report = SimpleNamespace(nodeid="test", failed=False, skipped=True, when="setup", duration=0.0)
    report.user_properties = [(ROW, "A1")]
    collector.pytest_runtest_logreport(report)  # type: ignore[arg-type]
    session = SimpleNamespace(exitstatus=0)
    collector.pytest_sessionfinish(session)  # type: ignore[arg-type]
    assert session.exitstatus == code
