"""One connection to the catalogue file: how it is opened, and what its failures mean.

Opening reads the file's first bytes before SQLite does: a file of a newer clipsearch, a damaged
one and one that is no catalogue are refused without SQLite having touched them.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipsearch.errors import ClipsearchError, DamageError, LockedError, StorageError
from clipsearch.failpoints import reach
from clipsearch.storage.schema import APPLICATION_ID

if TYPE_CHECKING:
    import tempfile

BUSY_SECONDS = 5.0
_HEADER_SIZE = 100
_MAGIC = b"SQLite format 3\0"

_UNREADABLE = {"SQLITE_IOERR_READ", "SQLITE_IOERR_SHORT_READ", "SQLITE_IOERR_CORRUPTFS"}
_NO_SPACE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_NO_ACCESS = {
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}

Row = tuple[Any, ...]
Parameters = Sequence[Any]


class Connection:
    """A catalogue file open for SQL. Every failure arrives as one of clipsearch's errors."""

    def __init__(self, path: Path, *, any_thread: bool = False) -> None:
        """Open an existing catalogue; read-only where it cannot be written.

        Raises StorageError (not there, no access, not a catalogue) or DamageError.
        """
        self.path = path
        self.writable = _is_writable(path)
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        inspect_header(path)
        with self._translated():
            self._db = self._connect(any_thread=any_thread)
            for pragma in (
                "foreign_keys = ON",
                "trusted_schema = OFF",
                "cell_size_check = ON",
                "synchronous = FULL",
                "temp_store = MEMORY",
                "cache_size = -16000",
            ):
                self._db.execute(f"PRAGMA {pragma}")

    def close(self) -> None:
        """Close the file. An open transaction is rolled back."""
        self._db.close()
        if self._copy is not None:
            self._copy.cleanup()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._db.in_transaction

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """All rows of a query."""
        with self._translated():
            return self._db.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """The first row of a query, or None."""
        with self._translated():
            found: Row | None = self._db.execute(sql, parameters).fetchone()
            return found

    def value(self, sql: str, parameters: Parameters = ()) -> Any:
        """The first column of the first row, or None."""
        found = self.row(sql, parameters)
        return None if found is None else found[0]

    def insert(self, sql: str, parameters: Parameters) -> int:
        """Insert one row; its id."""
        with self._translated():
            return self._db.execute(sql, parameters).lastrowid or 0

    def change(self, sql: str, parameters: Parameters = ()) -> int:
        """Run one changing statement; the number of rows it changed."""
        with self._translated():
            return self._db.execute(sql, parameters).rowcount

    def change_many(self, sql: str, parameters: Iterator[Parameters] | Sequence[Parameters]) -> int:
        """Run one changing statement for each set of parameters; the rows changed in total."""
        with self._translated():
            return self._db.executemany(sql, parameters).rowcount

    def back_up(self, target: Path) -> None:
        """Write a consistent copy of the whole catalogue, committed changes included."""
        with self._translated():
            copy = sqlite3.connect(target)
            try:
                self._db.backup(copy)
            finally:
                copy.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside are committed together, or none is.

        Raises StorageError when the catalogue cannot be written, LockedError when another process
        has been writing for BUSY_SECONDS.
        """
        if not self.writable:
            raise StorageError(
                f"The library {self.path.parent} cannot be written",
                "Check its permissions and the space left there.",
            )
        with self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                reach("before_commit")
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            reach("after_commit")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Everything read inside comes from one generation, whatever others commit meanwhile."""
        if self._db.in_transaction:
            yield
            return
        with self._translated():
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("ROLLBACK")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            meaning = _meaning(error, self.path)
            if meaning is None:
                raise
            raise meaning from error

    def _connect(self, *, any_thread: bool) -> sqlite3.Connection:
        if self.writable:
            try:
                return _proven(_connect(self.path, "mode=rw", any_thread=any_thread))
            except sqlite3.OperationalError as error:
                if _code(error) not in _NO_SPACE | _NO_ACCESS:
                    raise
                # A full disk has no room for the file that coordinates readers and writers.
                self.writable = False
        if not _has_log(self.path):
            # WAL needs to write beside the file even to read it, unless told that nobody writes.
            return _connect(self.path, "immutable=1", any_thread=any_thread)
        try:
            return _proven(_connect(self.path, "mode=ro", any_thread=any_thread))
        except sqlite3.OperationalError:
            # A killed writer left committed changes in the log: they count, so read a copy.
            return _connect(self._copied(), "mode=rw", any_thread=any_thread)

    def _copied(self) -> Path:
        # Rarely needed, and slow to import.
        import shutil
        import tempfile

        self._copy = tempfile.TemporaryDirectory(prefix="clipsearch-")
        target = Path(self._copy.name) / self.path.name
        shutil.copyfile(self.path, target)
        shutil.copyfile(_log_of(self.path), _log_of(target))
        return target


def inspect_header(path: Path) -> int:
    """Check the first bytes of a catalogue; its schema version.

    Raises StorageError when it is not there, cannot be read or is another program's; DamageError
    when it is cut short or not SQLite at all.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_SIZE)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise StorageError(
            f"The catalogue {path} cannot be read ({error.strerror})", "Check its permissions."
        ) from error
    if len(header) < _HEADER_SIZE or not header.startswith(_MAGIC):
        raise damaged(path, "it is empty or no SQLite file")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StorageError(
            f"{path} was made by another program", "Choose another directory with --library."
        )
    pages, page_size = int.from_bytes(header[28:32], "big"), int.from_bytes(header[16:18], "big")
    # 65536 does not fit its two bytes and is written as 1. While a log exists, the rest may be
    # in there.
    if not _has_log(path) and size < pages * (65536 if page_size == 1 else page_size):
        raise damaged(path, "its end is missing")
    return int.from_bytes(header[60:64], "big")


def damaged(path: Path, what: str) -> DamageError:
    """The error for a damaged catalogue, with the way out."""
    return DamageError(
        f"The catalogue {path} is damaged: {what}",
        "Restore it from a backup, or move it away and run `clipsearch index` again.",
    )


def no_space(path: Path, reason: object) -> StorageError:
    """The error for a write that failed, with the space that is left there."""
    import shutil

    try:
        left = f"; {shutil.disk_usage(path.parent).free / 1e6:.0f} MB are free there"
    except OSError:
        left = ""
    return StorageError(
        f"{path} cannot be written ({reason}){left}",
        "Free some space and run the command again: nothing that was finished is lost.",
    )


def _meaning(error: sqlite3.Error | OSError, path: Path) -> ClipsearchError | None:
    """What a failure means to a person; None for a mistake in our own code."""
    if isinstance(error, OSError):
        return no_space(path, error.strerror or error)
    code = _code(error)
    if getattr(error, "sqlite_errorname", "") in _UNREADABLE:
        return damaged(path, "its disk cannot read all of it")
    if code in _NO_SPACE:
        return no_space(path, error)
    if code in _NO_ACCESS:
        return StorageError(
            f"The catalogue {path} cannot be opened or written ({error})",
            "Check the permissions of its directory.",
        )
    if code in _BUSY:
        return LockedError(
            f"Another process has been writing to {path} for {BUSY_SECONDS:.0f} s",
            "Wait until it has finished, or stop it.",
        )
    # A table that is not there, or text that is no UTF-8: our own statements are tested.
    if code in _DAMAGED or str(error).startswith(("no such", "Could not decode")):
        return damaged(path, str(error))
    return None


def _code(error: sqlite3.Error) -> int:
    """The primary result code; 0 for an error that did not come from SQLite itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _proven(connection: sqlite3.Connection) -> sqlite3.Connection:
    """The connection, after a first read: SQLite opens the file only then."""
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _connect(path: Path, mode: str, *, any_thread: bool) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=not any_thread,
    )


def _is_writable(path: Path) -> bool:
    return os.access(path.parent, os.W_OK) and os.access(path, os.W_OK)


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _has_log(path: Path) -> bool:
    try:
        return _log_of(path).stat().st_size > 0
    except OSError:
        return False
