"""Ctrl-C at any moment: what must not be half done is finished first."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_STOPPING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
_Handler = Callable[[int, FrameType | None], object]


@contextmanager
def signals_held() -> Iterator[None]:
    """Let a stopping signal wait until the block is done, then answer it as before.

    A signal whose default is in force still ends the process at once: that is what a second Ctrl-C
    asks for. Outside of the main thread there is nothing to hold: Python answers signals there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, _Handler] = {}
    arrived: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)

    for number in _STOPPING:
        handler = signal.getsignal(number)
        if callable(handler):
            before[number] = handler
            signal.signal(number, remember)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if arrived:
        before[arrived[0]](arrived[0], None)
