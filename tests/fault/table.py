"""The table of the fault matrix, made by the suite itself: a pytest plugin.

    --tier commit|nightly     nightly also runs what is marked `nightly`, makes more trials, and
                              takes a skipped row for a failed one
    --trials FACTOR           so many times the tier's number of trials
    --fault-table FILE        write the outcome of every row of rows.tsv to FILE, as Markdown
    --fault-record FILE       add what became of each test to FILE, and make the table of all that
                              is there: for a run in pieces

Tests say which rows they prove with `@pytest.mark.row("A1")`.
"""

import ast
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.fault.record import Result, append_result, describe_run, read_results, runs_of

ROWS = Path(__file__).with_name("rows.tsv")
TESTS = Path(__file__).parents[1]
COMMIT, NIGHTLY = "commit", "nightly"
ROW = "row"
Trials = Callable[[int, int], int]


@dataclass(frozen=True)
class Row:
    """One row of the matrix. `state` is "" or why there is nothing to prove yet."""

    name: str
    priority: str
    tier: str
    state: str
    promise: str


@dataclass
class Proof:
    """What the tests of one row came to."""

    outcomes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    trials: float = math.inf
    waiting: str = ""

    def verdict(self, row: Row) -> str:
        for worst in ("fail", "skip"):
            if worst in self.outcomes:
                return worst
        if self.outcomes:
            return "pass"
        return self.waiting or row.state or "open"

    def figures(self) -> tuple[str, str, str]:
        """How many tests, which share of the trials the least of them made, how many seconds."""
        if not self.outcomes:
            return "", "", ""
        share = "all" if self.trials == 1 else f"{self.trials:g} of them"
        return str(len(self.outcomes)), share, f"{self.seconds:.1f}"


def read_rows() -> list[Row]:
    lines = ROWS.read_text(encoding="utf-8").splitlines()
    return [Row(*line.split("\t")) for line in lines[1:]]


def marked(path: Path) -> Iterator[tuple[str, bool]]:
    """The rows that the tests of a file say they prove, and whether only nightly ones do."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        decorators = getattr(node, "decorator_list", [])
        nightly = any(ast.unparse(one).endswith("mark.nightly") for one in decorators)
        for call in ast.walk(node) if isinstance(node, ast.FunctionDef | ast.Assign) else ():
            if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("mark.row"):
                yield from (
                    (str(argument.value), nightly)
                    for argument in call.args
                    if isinstance(argument, ast.Constant)
                )


def proved() -> dict[str, bool]:
    """Each row that has a test, and whether one of those runs with every commit."""
    found: dict[str, bool] = {}
    for path in TESTS.rglob("test_*.py"):
        for name, nightly in marked(path):
            found[name] = found.get(name, False) or not nightly
    return found


def rows_of(item: pytest.Item) -> Iterator[str]:
    for mark in item.iter_markers("row"):
        yield from mark.args


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fault suite")
    group.addoption("--tier", choices=[COMMIT, NIGHTLY], default=COMMIT)
    group.addoption("--trials", type=float, default=1.0, metavar="FACTOR")
    group.addoption("--fault-table", type=Path, metavar="FILE")
    group.addoption("--fault-record", type=Path, metavar="FILE")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Collector(config), "fault-table")


class Collector:
    """Listens to a run, and writes the table at its end.

    With pytest-xdist every worker has one too; reports carry their rows to the one that writes.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._tier: str = config.getoption("--tier")
        self._factor: float = config.getoption("--trials")
        self._run = describe_run(self._tier)
        self._file: Path | None = config.getoption("--fault-table")
        self._record: Path | None = config.getoption("--fault-record")
        self._is_worker = hasattr(config, "workeroutput")
        self._reports: defaultdict[str, list[pytest.TestReport]] = defaultdict(list)
        self._results: list[Result] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        known = {row.name for row in read_rows()}
        for item in items:
            rows = list(rows_of(item))
            item.user_properties += [(ROW, row) for row in rows]
            unknown = set(rows) - known
            if unknown:
                raise pytest.UsageError(f"{item.nodeid} proves {unknown}: not in rows.tsv")
        if self._tier == COMMIT:
            late = [item for item in items if item.get_closest_marker(NIGHTLY)]
            config.hook.pytest_deselected(items=late)
            items[:] = [item for item in items if not item.get_closest_marker(NIGHTLY)]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._reports[report.nodeid].append(report)
        # After the call comes the teardown; or, for a worker that crashed, "???".
        if self._is_worker or report.when in ("setup", "call"):
            return
        result = result_of(self._reports.pop(report.nodeid), self._factor, self._run)
        self._results.append(result)
        if self._record is not None:
            append_result(self._record, result)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._is_worker:
            return
        if self._skipped() and self._tier == NIGHTLY and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self._file is not None:
            results = self._results if self._record is None else read_results(self._record)
            self._file.write_text(table(read_rows(), results, self._tier), encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._skipped() and self._tier == NIGHTLY:
            names = ", ".join(self._skipped())
            terminalreporter.write_line(f"rows with a skipped test, which is a failure: {names}")

    def _skipped(self) -> list[str]:
        return sorted({row for r in self._results if r.outcome == "skip" for row in r.rows})


def result_of(reports: Iterable[pytest.TestReport], trials: float, run: str) -> Result:
    """What a test's setup, call and teardown came to."""
    rows: dict[str, None] = {}
    outcome, seconds = "pass", 0.0
    for report in reports:
        rows |= {str(value): None for kind, value in report.user_properties if kind == ROW}
        seconds += report.duration
        if report.failed:
            outcome = "fail"
        elif report.skipped and outcome == "pass":
            outcome = "skip"
    return Result(report.nodeid, tuple(rows), outcome, seconds, trials, run)


@pytest.fixture(scope="session")
def trials(pytestconfig: pytest.Config) -> Trials:
    """How many trials to make: `trials(100, 1000)` is 100 in commits and 1000 nightly."""
    nightly = pytestconfig.getoption("--tier") == NIGHTLY
    factor = pytestconfig.getoption("--trials")
    return lambda commit, night: max(1, round((night if nightly else commit) * factor))


def table(rows: Iterable[Row], results: list[Result], tier: str) -> str:
    """The rows as Markdown: with how many tests, which share of the tier's trials, how long."""
    lines = [
        "# The fault matrix",
        "",
        f"Made by the suite itself ({runs_of(results)}): "
        f"`python3 run.py {'test' if tier == COMMIT else tier} --fault-table FILE`.",
        "",
        "| row | priority | tier | what must hold | outcome | tests | trials | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    proofs = proofs_of(results, tier)
    counts: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        proof = proofs[row.name]
        verdict = proof.verdict(row)
        counts[verdict.partition(":")[0]] += 1
        columns = (row.name, row.priority, row.tier, row.promise, verdict, *proof.figures())
        lines.append(f"| {' | '.join(columns)} |")
    total = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    ran = f"{len(results)} tests ran, for {sum(r.seconds for r in results) / 60:.0f} minutes"
    return "\n".join([*lines, "", f"{total}. {ran}.", ""])


def proofs_of(results: Iterable[Result], tier: str) -> defaultdict[str, Proof]:
    """The results by row; a row with tests of which none ran says why."""
    proofs: defaultdict[str, Proof] = defaultdict(Proof)
    for name, in_commits in proved().items():
        night = not in_commits and tier == COMMIT
        proofs[name].waiting = "nightly only" if night else "not run"
    for result in results:
        for name in result.rows:
            proofs[name].outcomes.append(result.outcome)
            proofs[name].seconds += result.seconds
            proofs[name].trials = min(proofs[name].trials, result.trials)
    return proofs
