"""Trials that wait for processes most of the time, two at once."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Case = TypeVar("Case")
AT_ONCE = 2


def for_each(cases: Iterable[Case], trial: Callable[[Case], None]) -> int:
    """Run `trial` for every case; how many there were. Fails with the cases that failed."""
    listed = list(cases)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        failures = list(pool.map(lambda case: _attempt(case, trial), listed))
    failed = [failure for failure in failures if failure is not None]
    assert not failed, f"{len(failed)} of {len(listed)} failed: " + "; ".join(failed[:5])
    return len(listed)


def _attempt(case: Case, trial: Callable[[Case], None]) -> str | None:
    try:
        trial(case)
    except AssertionError as error:
        return f"[{case}] {' '.join(str(error).split())[:400]}"
    return None
