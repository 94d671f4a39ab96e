"""One connection to the catalogue file, in whatever way the file can be opened."""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from clipsearch.errors import StorageError
from clipsearch.failpoints import reach
from clipsearch.storage.faults import (
    BUSY_SECONDS,
    NO_ACCESS,
    NO_SPACE,
    damaged,
    has_log,
    journal_of,
    log_of,
    meaning_of,
    primary_code,
)
from clipsearch.storage.network_disks import network_type

if TYPE_CHECKING:
    import tempfile


Row = tuple[Any, ...]
Parameters = Sequence[Any]


class Connection:
    """A catalogue file open for SQL. Every failure arrives as one of clipsearch's errors."""

    def __init__(self, path: Path, *, any_thread: bool = False) -> None:
        """Open an existing catalogue; read-only where it cannot be written.

        Raises StorageError (not there, no access) or DamageError.
        """
        self.path = path
        self.writable = _is_writable(path)
        self.file = _file_at(path)
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        with _opening:
            _open.add(self)
        with self._translated():
            self._db = self._connect(any_thread=any_thread)
            for pragma in (
                "foreign_keys = ON",
                "trusted_schema = OFF",
                "cell_size_check = ON",
                # FULL, and a rollback journal's removal is synced too: that is what commits.
                "synchronous = EXTRA",
                "temp_store = MEMORY",
                "cache_size = -16000",
            ):
                self._db.execute(f"PRAGMA {pragma}")

    def close(self) -> None:
        """Close the file. An open transaction is rolled back."""
        self._db.close()
        with _opening:
            _open.discard(self)
        if self._copy is not None:
            self._copy.cleanup()

    def is_in_place(self) -> bool:
        """Whether the file that is open is still the one of that name."""
        return self.file == _file_at(self.path)

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """All rows of a query."""
        with self._translated():
            return self._db.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """The first row of a query, or None."""
        with self._translated():
            found: Row | None = self._db.execute(sql, parameters).fetchone()
            return found

    def pages(self, sql: str, parameters: Parameters, after: int, size: int) -> Iterator[list[Row]]:
        """The rows of a query by ascending first column, `size` at a time.

        `after` is the query's last parameter: each page holds what comes after the page before.
        Raises DamageError for rows that do not ascend: they would be read for ever.
        """
        while rows := self.rows(f"{sql} LIMIT {size}", (*parameters, after)):
            if rows[-1][0] <= after:
                raise damaged(self.path, "its rows are out of order")
            yield rows
            if len(rows) < size:
                return
            after = rows[-1][0]

    def value(self, sql: str, parameters: Parameters = ()) -> Any:
        """The first column of the first row, or None."""
        found = self.row(sql, parameters)
        return None if found is None else found[0]

    def insert(self, sql: str, parameters: Parameters) -> int:
        """Insert one row; its id."""
        with self._translated():
            return self._db.execute(sql, parameters).lastrowid or 0

    def insert_if_allowed(self, sql: str, parameters: Parameters) -> bool:
        """Insert one row, unless a constraint forbids it; whether it was done."""
        with self._translated():
            try:
                self._db.execute(sql, parameters)
            except sqlite3.IntegrityError:
                return False
        return True

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
                fit_journal(copy, target)
            finally:
                copy.close()

    def compact(self) -> None:
        """Write the file anew without its free pages; killed meanwhile, it is as it was."""
        # In memory the whole catalogue would be held twice.
        self._run("PRAGMA temp_store = FILE")
        try:
            self._reach("before_compacting")
            self._run("VACUUM")
            self._run("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self._run("PRAGMA temp_store = MEMORY")

    def fit_journal(self) -> None:
        """Record changes in the way that suits the disk (see `fit_journal`). For the writer only.

        Raises LockedError when that has to change while another process has the catalogue open.
        """
        with self._translated():
            fit_journal(self._db, self.path)

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
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._reach("before_commit")
            self._run("COMMIT")
        finally:
            self._roll_back()
        self._reach("after_commit")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Everything read inside comes from one generation, whatever others commit meanwhile."""
        if self._db.in_transaction:
            yield
            return
        self._run("BEGIN")
        try:
            yield
        finally:
            self._roll_back()

    def _roll_back(self) -> None:
        # After a commit, and after some failures of SQLite, there is nothing left to undo.
        if self._db.in_transaction:
            self._run("ROLLBACK")

    def _run(self, sql: str) -> None:
        with self._translated():
            self._db.execute(sql)

    def _reach(self, place: str) -> None:
        with self._translated():
            reach(place)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except UnicodeDecodeError as error:
            # Raised in place of an error whose own words hold a name from a damaged schema.
            raise damaged(self.path, "names in it are no text") from error
        except (sqlite3.Error, OSError) as error:
            meaning = meaning_of(error, self.path)
            if meaning is None:
                raise
            raise meaning from error

    def _connect(self, *, any_thread: bool) -> sqlite3.Connection:
        if self.writable:
            try:
                return _proven(_connect(self.path, "mode=rw", any_thread=any_thread))
            except sqlite3.OperationalError as error:
                if primary_code(error) not in NO_SPACE | NO_ACCESS:
                    raise
                # A full disk has no room for the file that coordinates readers and writers.
                self.writable = False
        try:
            return _proven(_connect(self.path, "mode=ro", any_thread=any_thread))
        except sqlite3.OperationalError:
            if has_log(self.path):
                # A killed writer left committed changes in the log, which count, or half-made ones
                # that its journal undoes: read a copy.
                return _connect(self._copied(), "mode=rw", any_thread=any_thread)
            # WAL needs to write beside the file even to read it, unless told that nobody writes.
            return _connect(self.path, "immutable=1", any_thread=any_thread)

    def _copied(self) -> Path:
        # Rarely needed, and slow to import.
        import shutil
        import tempfile

        self._copy = tempfile.TemporaryDirectory(prefix="clipsearch-")
        target = Path(self._copy.name) / self.path.name
        shutil.copyfile(self.path, target)
        for beside in (log_of, journal_of):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(beside(self.path), beside(target))
        return target


# Closing any descriptor of a file drops all POSIX locks that the process holds on it, those of its
# other SQLite connections included (https://sqlite.org/howtocorrupt.html, section 2.2); the next
# process would believe that nobody uses the log, and delete it. Such locks belong to the process,
# and so does this set: while a file is in it, nothing but SQLite may open that file.
_open: WeakSet[Connection] = WeakSet()
_opening = threading.RLock()


def connect_inspected(path: Path, inspect: Callable[[Path], None]) -> Connection:
    """A connection to a catalogue that `inspect` accepted, which may read the file by itself.

    A file that this process has open already was inspected then, and is not again. Raises what
    `inspect` and `Connection` raise.
    """
    with _opening:
        file = _file_at(path)
        if file is None or all(connection.file != file for connection in _open):
            inspect(path)
        return Connection(path)


def fit_journal(database: sqlite3.Connection, path: Path) -> None:
    """Let a catalogue record its changes in a log, or in a journal on a network disk.

    Those who use a log (WAL) share memory, which two machines do not; a rollback journal needs
    only locks. Raises sqlite3.Error when that has to change while somebody else has it open.
    """
    wanted = "wal" if network_type(path.parent) is None else "delete"
    if database.execute("PRAGMA journal_mode").fetchone()[0] != wanted:
        database.execute(f"PRAGMA journal_mode = {wanted}").fetchone()


def _file_at(path: Path) -> tuple[int, int] | None:
    """What tells a file from every other, whatever it is called; None when it is not there."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _proven(connection: sqlite3.Connection) -> sqlite3.Connection:
    """The connection, after a first read: SQLite opens the file only then."""
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except (sqlite3.Error, UnicodeDecodeError):
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
