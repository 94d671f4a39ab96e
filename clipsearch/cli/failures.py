"""Every way a command can fail, put into one line with an exit code."""

import errno
import os
import sqlite3
import traceback
from dataclasses import dataclass

import typer

from clipsearch.cli.escape import visible
from clipsearch.errors import ClipsearchError
from clipsearch.storage.refusals import next_step

COULD_NOT_RUN = ClipsearchError.exit_code
USAGE = 2
DAMAGE = 4
INTERRUPTED = 130

# SQLite's primary result codes (https://sqlite.org/rescode.html) for a file that is damaged.
_SQLITE_DAMAGED = frozenset({11, 26})


@dataclass(frozen=True, slots=True)
class Failure:
    """The line for standard error, without a line break or control character, and the code."""

    line: str
    exit_code: int


def explain(error: Exception) -> Failure:
    """What to say of `error`. Nothing that reaches the command line has no line."""
    match error:
        case ClipsearchError():
            return Failure(_line(str(error)), error.exit_code)
        case typer.TyperException():
            return Failure(_line(_usage(error)), error.exit_code)
        case OSError():
            return Failure(_line(_system(error)), COULD_NOT_RUN)
        case sqlite3.Error():
            return _catalogue(error)
        case MemoryError():
            text = "not enough memory. Close other programs and run it again: what was done is kept"
            return Failure(_line(text), COULD_NOT_RUN)
        case _:
            return Failure(_line(_internal(error)), COULD_NOT_RUN)


def wants_traceback() -> bool:
    """Whether the user asked for tracebacks, by setting CLIPSEARCH_TRACEBACK."""
    return bool(os.environ.get("CLIPSEARCH_TRACEBACK"))


def full_traceback(error: BaseException) -> str:
    """The traceback of `error`, each line made safe to show."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(map(visible, lines))


def _line(text: str) -> str:
    stop = "" if text.endswith((".", "?", "!")) else "."
    return f"clipsearch: {visible(text)}{stop}"


def _usage(error: typer.TyperException) -> str:
    # Choices are listed over several lines: one line is promised.
    message = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "clipsearch"
    possible = getattr(error, "possibilities", None)
    if possible:
        name = getattr(error, "option_name", "")
        return f"no such option: {name}. Did you mean {' or '.join(sorted(possible))}?"
    stop = "" if message.endswith("?") else "."
    return f"{message}{stop} See {command} --help"


def _system(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    name = error.filename
    subject = f"{reason}: {os.fsdecode(name)}" if isinstance(name, str | bytes) else reason
    match error.errno:
        case errno.ENOENT if name is None and not _is_somewhere():
            return "the folder that this was started in is gone. Change to another one"
        case errno.EBADF:
            # Only `_open_closed_streams` leaves a descriptor that cannot be written.
            return "standard output is closed. Send it to a file, or to /dev/null"
        case (
            errno.ENOSPC | errno.EDQUOT | errno.EFBIG | errno.EACCES | errno.EPERM | errno.EROFS
            | errno.EIO
        ):  # fmt: skip
            return f"{subject}. {next_step(error, 'choose another place')}"
        case _:
            # As likely a file that was to be read: the path says what to look for.
            return subject


def _is_somewhere() -> bool:
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def _catalogue(error: sqlite3.Error) -> Failure:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _SQLITE_DAMAGED:
        text = f"the library's catalogue is damaged ({error}). See clipsearch doctor"
        return Failure(_line(text), DAMAGE)
    text = f"the library's catalogue cannot be used ({error}). See clipsearch doctor"
    return Failure(_line(text), COULD_NOT_RUN)


def _internal(error: Exception) -> str:
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return (
        f"internal error, {what}. Please report it with what CLIPSEARCH_TRACEBACK=1 adds to this "
        "line, in the project's issues"
    )
