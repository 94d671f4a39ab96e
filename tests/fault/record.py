"""What became of each test, one line each: a run in pieces adds them up, and a later one counts."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Result:
    """One test: the rows it proves, what it came to, and in what kind of run that was.

    `trials` is how many times the tier's number of trials it made.
    """

    test: str
    rows: tuple[str, ...]
    outcome: str
    seconds: float
    trials: float
    run: str


def append_result(file: Path, result: Result) -> None:
    """One write for each line: several runs may keep one record."""
    with file.open("a", encoding="utf-8") as record:
        record.write(json.dumps(asdict(result)) + "\n")


def read_results(file: Path) -> list[Result]:
    """The last result of each test."""
    lines = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
    results = (Result(**(line | {"rows": tuple(line["rows"])})) for line in lines)
    return list({result.test: result for result in results}.values())


def runs_of(results: Iterable[Result]) -> str:
    """Every kind of run that the results are from."""
    return "; ".join(dict.fromkeys(result.run for result in results))


def describe_run(tier: str) -> str:
    """What a result depends on: the tier, Python, the machine and the commit."""
    git = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]
    said = subprocess.run(git, capture_output=True, text=True, check=False)
    return (
        f"tier {tier}, Python {platform.python_version()}, "
        f"{platform.system()} on {os.cpu_count()} cores of {platform.machine()}, "
        f"commit {said.stdout.strip() or 'unknown'}"
    )
