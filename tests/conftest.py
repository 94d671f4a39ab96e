"""What every test needs: signals that arrive, and whose answers are nobody's to keep."""

import signal
from collections.abc import Iterator

import pytest

pytest_plugins = ["tests.fault.table"]

_STOPPING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]

# Whoever started the tests may have had signals ignored (nohup, a shell's background job), which
# children inherit: the tests would then say of every program that it cannot be stopped.
for _number in _STOPPING:
    if signal.getsignal(_number) is signal.SIG_IGN:
        _usual = signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL
        signal.signal(_number, _usual)


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    # The program, called inside of this process, answers signals in its own way from then on.
    before = {number: signal.getsignal(number) for number in _STOPPING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
