"""The matrix itself: every row is known, and every one that matters most has a test."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.fault.record import Result, append_result, read_results, runs_of
from tests.fault.table import (
    COMMIT,
    NIGHTLY,
    ROW,
    Collector,
    Proof,
    Row,
    proofs_of,
    proved,
    read_rows,
    table,
)


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
    assert Proof(["pass", "pass"]).verdict(row) == "pass"
    assert Proof(["pass", "skip"]).verdict(row) == "skip"
    assert Proof(["skip", "fail"]).verdict(row) == "fail"
    assert Proof().verdict(row) == "open"
    assert Proof(waiting="nightly only").verdict(row) == "nightly only"
    assert Proof().verdict(Row("X2", "P0", COMMIT, "not built: it", "holds")) == "not built: it"


def result(
    test: str, *rows: str, outcome: str = "pass", trials: float = 1, run: str = "here"
) -> Result:
    return Result(test, rows, outcome, 30.25, trials, run)


def test_the_table_counts_what_it_shows() -> None:
    rows = [Row("X1", "P0", COMMIT, "", "holds"), Row("X2", "P1", NIGHTLY, "", "holds too")]
    text = table(rows, [result("a", "X1"), result("b")], COMMIT)
    assert "| X1 | P0 | commit | holds | pass | 1 | all | 30.2 |" in text
    assert "| X2 | P1 | nightly | holds too | open |  |  |  |" in text
    assert text.endswith("1 open, 1 pass. 2 tests ran, for 1 minutes.\n")


def test_a_row_is_proved_as_far_as_the_least_of_its_tests_went() -> None:
    proofs = proofs_of([result("a", "X1"), result("b", "X1", trials=0.25)], NIGHTLY)
    assert proofs["X1"].figures() == ("2", "0.25 of them", "60.5")


def test_a_run_in_pieces_is_one_record_in_which_the_last_result_counts(tmp_path: Path) -> None:
    record = tmp_path / "record"
    first, mended = result("a", "X1", outcome="fail"), result("a", "X1", run="later")
    for one in (first, result("b", "X1", "X2"), mended):
        append_result(record, one)
    assert read_results(record) == [mended, result("b", "X1", "X2")]
    assert runs_of(read_results(record)) == "later; here"


class Run:
    """A collector that is told of one test."""

    def __init__(self, tier: str, record: Path | None = None) -> None:
        options = {"--tier": tier, "--trials": 1.0, "--fault-record": record}
        self.collector = Collector(SimpleNamespace(getoption=options.get))  # type: ignore[arg-type]

    def tell(self, when: str, outcome: str, *rows: str) -> None:
        report = SimpleNamespace(nodeid="test", when=when, duration=1.0)
        report.failed, report.skipped = outcome == "fail", outcome == "skip"
        report.user_properties = [(ROW, row) for row in rows]
        self.collector.pytest_runtest_logreport(report)  # type: ignore[arg-type]


@pytest.mark.parametrize(("tier", "code"), [(COMMIT, 0), (NIGHTLY, 1)])
def test_a_skipped_row_is_a_failure_at_night_only(tier: str, code: int) -> None:
    run = Run(tier)
    run.tell("setup", "skip", "A1")
    run.tell("teardown", "pass", "A1")
    session = SimpleNamespace(exitstatus=0)
    run.collector.pytest_sessionfinish(session)  # type: ignore[arg-type]
    assert session.exitstatus == code


@pytest.mark.parametrize("last", ["teardown", "???"])
def test_a_test_is_recorded_when_it_has_ended_with_the_worst_it_came_to(
    tmp_path: Path, last: str
) -> None:
    run = Run(NIGHTLY, tmp_path / "record")
    run.tell("setup", "pass", "A1", "B1")
    run.tell("call", "pass", "A1", "B1")
    assert not (tmp_path / "record").exists()
    # The report of a worker that crashed does not know the test's rows.
    run.tell(last, "fail")
    (found,) = read_results(tmp_path / "record")
    assert (found.rows, found.outcome, found.seconds) == (("A1", "B1"), "fail", 3.0)
