"""From arguments to an exit code: runs a command and answers for everything it may raise."""

import contextlib
import os
import signal
import sys
import time
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import TextIO

from clipsearch.cli.escape import visible
from clipsearch.cli.failures import INTERRUPTED, explain, full_traceback, wants_traceback
from clipsearch.cli.output import flush, note, prepare_streams
from clipsearch.errors import ClipsearchWarning

# A closed terminal or a polite kill stops a run as Ctrl-C does. Windows has no SIGHUP.
_STOPPING_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]

# `timeout` sends its signal to the program, and a moment later to the group the program is in.
_ECHO_SECONDS = 0.05


def run(arguments: Sequence[str]) -> int:
    """Run `clipsearch` with these arguments; its exit code. A failure is one line on stderr."""
    prepare_streams()
    _stop_on_signals()
    if not sys.warnoptions:
        # Packages warn their developers; users of the program can do nothing about it.
        warnings.simplefilter("ignore")
    warnings.simplefilter("always", ClipsearchWarning)
    warnings.showwarning = _show_warning
    try:
        code = _invoke(arguments)
        flush()
    except KeyboardInterrupt:
        return _stopped()
    except BrokenPipeError:
        # The reader had enough (`| head`): nobody is left to tell anything.
        _silence(sys.stdout.fileno())
        return 0
    except Exception as error:
        return _failed(error)
    return code


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001 (Python gives it)
    line: str | None = None,
) -> None:
    """Our own warnings are one line for the user; others, if asked for, as Python shows them."""
    if issubclass(category, ClipsearchWarning):
        note(f"clipsearch: {visible(str(message))}.")
    else:
        note(warnings.formatwarning(message, category, filename, lineno, line).rstrip())


def _invoke(arguments: Sequence[str]) -> int:
    import typer
    from typer.main import get_command

    from clipsearch.cli.app import app

    command = get_command(app)
    try:
        with command.make_context("clipsearch", list(arguments)) as context:
            code = command.invoke(context)
    except typer.Exit as stop:
        return stop.exit_code
    return code if isinstance(code, int) else 0


def _failed(error: Exception) -> int:
    failure = explain(error)
    with contextlib.suppress(OSError):
        # What is still in the buffer belongs before the line; a full disk refuses it again.
        sys.stdout.flush()
    _silence_if_broken()
    if wants_traceback():
        note(full_traceback(error))
    note(failure.line)
    return failure.exit_code


def _stopped() -> int:
    with contextlib.suppress(OSError):
        note("clipsearch: interrupted. Everything that was finished is kept.")
    return INTERRUPTED


def _silence_if_broken() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _silence(sys.stdout.fileno())


def _silence(descriptor: int) -> None:
    """Send what a broken stream still has to write nowhere, so that closing it cannot fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _stop_on_signals() -> None:
    for number in _STOPPING_SIGNALS:
        # A signal that is ignored (nohup, a background job) stays ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    time.sleep(_ECHO_SECONDS)
    # The next one ends the process at once, wherever it is: every write is safe against that.
    for other in _STOPPING_SIGNALS:
        signal.signal(other, signal.SIG_DFL)
    raise KeyboardInterrupt
