"""What every test needs: the process's answers to signals are nobody's to keep."""

import signal
from collections.abc import Iterator

import pytest

_STOPPING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    # The program, called inside of this process, answers signals in its own way from then on.
    before = {number: signal.getsignal(number) for number in _STOPPING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
