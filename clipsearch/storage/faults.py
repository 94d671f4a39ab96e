"""What can be wrong with a catalogue file, in words that help.

A file of a newer clipsearch, a damaged one and one that is no catalogue are told apart by their
first bytes, before SQLite touches them. Everything else is told by SQLite's result codes
(https://sqlite.org/rescode.html).
"""

import errno
import os
import sqlite3
from pathlib import Path

from clipsearch.errors import ClipsearchError, DamageError, LockedError, StorageError
from clipsearch.storage.refusals import is_full, next_step, when_full
from clipsearch.storage.schema import APPLICATION_ID

BUSY_SECONDS = 5.0
_ELSEWHERE = "choose another directory with --library"
_HEADER_SIZE = 100
_FIRST_PAGE = 8192
_OUR_TABLE = b"CREATE TABLE embeddings ("
# A catalogue has a version before it has its name, and no clipsearch will ever come so far: another
# version is neither the past's nor the future's, but damage.
_VERSIONS = range(1, 100_000)
MAGIC = b"SQLite format 3\0"

_UNREADABLE = {"SQLITE_IOERR_READ", "SQLITE_IOERR_SHORT_READ", "SQLITE_IOERR_CORRUPTFS"}
NO_SPACE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
NO_ACCESS = {
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
# A table that is not there, or is there before the version that brings it; text that is no UTF-8:
# our own statements are tested.
_SAID_OF_DAMAGE = ("no such", "already exists", "Could not decode", "unsupported file format")
# A constraint that fails: rows that ours refer to are not there any more, or are there twice.
_DAMAGED = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_CONSTRAINT,
}


def inspect_header(path: Path) -> int:
    """Check the first bytes of a catalogue; its schema version.

    Raises StorageError when it is not there, cannot be read or is another program's; DamageError
    when it is cut short, not SQLite at all or on a broken sector.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(_FIRST_PAGE)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        if error.errno == errno.EIO:
            raise damaged(path, "its disk cannot read its beginning") from error
        raise StorageError(
            f"The catalogue {path} cannot be read ({error.strerror})", "Check its permissions."
        ) from error
    header = beginning[:_HEADER_SIZE]
    if len(header) < _HEADER_SIZE or not header.startswith(MAGIC):
        raise damaged(path, "it is empty or no SQLite file")
    version = int.from_bytes(header[60:64], "big")
    is_ours = int.from_bytes(header[68:72], "big") == APPLICATION_ID
    if version not in _VERSIONS if is_ours else _OUR_TABLE in beginning:
        raise damaged(path, "its header cannot be right")
    if not is_ours:
        raise StorageError(
            f"{path} was made by another program", "Choose another directory with --library."
        )
    pages, page_size = int.from_bytes(header[28:32], "big"), int.from_bytes(header[16:18], "big")
    # 65536 does not fit its two bytes and is written as 1. While a log exists, the rest may be
    # in there; while a journal does, it was never written.
    if not has_log(path) and size < pages * (65536 if page_size == 1 else page_size):
        raise damaged(path, "its end is missing")
    return version


def damaged(path: Path, what: str) -> DamageError:
    """The error for a damaged catalogue, with the way out."""
    return DamageError(
        f"The catalogue {path} is damaged: {what}",
        f"Run `clipsearch library check --repair --library {path.parent}`, which keeps every good "
        "row, or restore it from a backup.",
    )


def no_space(path: Path, reason: object, elsewhere: str = _ELSEWHERE) -> StorageError:
    """The error for a write that failed for want of space, with what is left there."""
    import shutil

    try:
        left = f"; {shutil.disk_usage(path.parent).free / 1e6:.0f} MB are free there"
    except OSError:
        left = ""
    return StorageError(f"{path} cannot be written ({reason}){left}", f"{when_full(elsewhere)}.")


def unwritable(path: Path, error: OSError, elsewhere: str = _ELSEWHERE) -> StorageError:
    """The error for a write that the system refused, with the next step that fits its reason."""
    if is_full(error):
        return no_space(path, error.strerror or error, elsewhere)
    return StorageError(
        f"{path} cannot be written ({error.strerror or error})", f"{next_step(error, elsewhere)}."
    )


def meaning_of(error: sqlite3.Error | OSError, path: Path) -> ClipsearchError | None:
    """What a failure means to a person; None for a mistake in our own code."""
    if isinstance(error, OSError):
        return unwritable(path, error)
    code = primary_code(error)
    if getattr(error, "sqlite_errorname", "") in _UNREADABLE:
        return damaged(path, "its disk cannot read all of it")
    if code in NO_SPACE:
        return no_space(path, error)
    if code in NO_ACCESS:
        return StorageError(
            f"The catalogue {path} cannot be opened or written ({error})",
            "Check the permissions of its directory.",
        )
    if code in _BUSY:
        return LockedError(
            f"Another process has been writing to {path} for {BUSY_SECONDS:.0f} s",
            "Wait until it has finished, or stop it.",
        )
    if code in _DAMAGED or any(words in str(error) for words in _SAID_OF_DAMAGE):
        return damaged(path, str(error))
    return None


def primary_code(error: sqlite3.Error) -> int:
    """The primary result code; 0 for an error that did not come from SQLite itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def log_of(path: Path) -> Path:
    """SQLite's write-ahead log beside a catalogue."""
    return path.with_name(f"{path.name}-wal")


def journal_of(path: Path) -> Path:
    """SQLite's rollback journal beside a catalogue on a network disk."""
    return path.with_name(f"{path.name}-journal")


def has_log(path: Path) -> bool:
    """Whether the file alone is not the catalogue: changes are in its log, or undone by its
    journal.
    """
    return has_bytes(log_of(path)) or has_bytes(journal_of(path))


def has_bytes(path: Path) -> bool:
    """Whether a file is there, and not empty."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
