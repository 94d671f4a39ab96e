"""The table of the fault matrix, made by the suite itself: a pytest plugin.

    --tier commit|nightly     nightly also runs what is marked `nightly`, makes more trials, and
                              takes a skipped row for a failed one
    --trials FACTOR           so many times the tier's number of trials
    --fault-table FILE        write the outcome of every row of rows.tsv to FILE, as Markdown

Tests say which rows they prove with `@pytest.mark.row("A1")`.
"""

import ast
import platform
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

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

    outcomes: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    waiting: str = ""

    def verdict(self, row: Row) -> str:
        for worst in ("fail", "skip"):
            if worst in self.outcomes.values():
                return worst
        if self.outcomes:
            return "pass"
        return self.waiting or row.state or "open"


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


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Collector(config), "fault-table")


class Collector:
    """Listens to a run, and writes the table at its end.

    With pytest-xdist every worker has one too; reports carry their rows to the one that writes.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._tier: str = config.getoption("--tier")
        self._factor: float = config.getoption("--trials")
        self._file: Path | None = config.getoption("--fault-table")
        self._is_worker = hasattr(config, "workeroutput")
        self._proofs: defaultdict[str, Proof] = defaultdict(Proof)

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
        for name in (str(value) for kind, value in report.user_properties if kind == ROW):
            proof = self._proofs[name]
            proof.seconds += report.duration
            if report.failed:
                proof.outcomes[report.nodeid] = "fail"
            elif report.skipped:
                proof.outcomes.setdefault(report.nodeid, "skip")
            elif report.when == "call":
                proof.outcomes.setdefault(report.nodeid, "pass")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._is_worker:
            return
        if self._skipped() and self._tier == NIGHTLY and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self._file is not None:
            for name, in_commits in proved().items():
                night = not in_commits and self._tier == COMMIT
                self._proofs[name].waiting = "nightly only" if night else "not run"
            self._file.write_text(
                table(read_rows(), self._proofs, self._tier, self._factor), encoding="utf-8"
            )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._skipped() and self._tier == NIGHTLY:
            names = ", ".join(self._skipped())
            terminalreporter.write_line(f"rows with a skipped test, which is a failure: {names}")

    def _skipped(self) -> list[str]:
        return sorted(n for n, proof in self._proofs.items() if "skip" in proof.outcomes.values())


@pytest.fixture(scope="session")
def trials(pytestconfig: pytest.Config) -> Trials:
    """How many trials to make: `trials(100, 1000)` is 100 in commits and 1000 nightly."""
    nightly = pytestconfig.getoption("--tier") == NIGHTLY
    factor = pytestconfig.getoption("--trials")
    return lambda commit, night: max(1, round((night if nightly else commit) * factor))


def table(rows: Iterable[Row], proofs: dict[str, Proof], tier: str, factor: float = 1.0) -> str:
    """The rows as Markdown, with how many tests proved each and how long they took."""
    lines = [
        "# The fault matrix",
        "",
        f"Made by the suite itself (tier {tier}, {factor:g} times its trials, "
        f"Python {platform.python_version()}, {platform.system()}): "
        f"`python3 run.py {'test' if tier == COMMIT else tier} --fault-table FILE`.",
        "",
        "| row | priority | tier | what must hold | outcome | tests | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    counts: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        proof = proofs.get(row.name, Proof())
        verdict = proof.verdict(row)
        counts[verdict.partition(":")[0]] += 1
        tests, seconds = len(proof.outcomes) or "", f"{proof.seconds:.1f}" if proof.outcomes else ""
        columns = (row.name, row.priority, row.tier, row.promise, verdict, tests, seconds)
        lines.append("| " + " | ".join(map(str, columns)) + " |")
    total = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    return "\n".join([*lines, "", f"{total}.", ""])
