"""Creating and opening the catalogue file."""

import os
import sqlite3
from pathlib import Path

from clipsearch.errors import StorageError
from clipsearch.storage.connection import Connection, connect_inspected, fit_journal
from clipsearch.storage.faults import damaged, inspect_header, log_of, meaning_of, no_space
from clipsearch.storage.layout import (
    TEMPORARY_SUFFIX,
    open_private,
    sweep_temporary,
    sync_dir,
)
from clipsearch.storage.lock import writer_lock
from clipsearch.storage.migrations import migrate, needs_migration, refuse_future
from clipsearch.storage.schema import APPLICATION_ID

# Rows with an embedding are 1 to 2 kB: small pages would leave a quarter of the file empty.
PAGE_SIZE = 8192


def create_catalogue_file(path: Path) -> None:
    """Create an empty catalogue, complete or not at all; an existing one is left alone.

    A file that is there but empty is therefore always a damaged one, never a half-made one.
    Raises StorageError or LockedError.
    """
    with writer_lock(path.parent):
        if path.exists():
            return
        temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
        try:
            sweep_temporary(path.parent)
            write_empty_catalogue(temporary)
            os.replace(temporary, path)
            sync_dir(path.parent)
        except (sqlite3.Error, OSError) as error:
            raise meaning_of(error, path) or no_space(path, error) from error


def write_empty_catalogue(path: Path) -> None:
    """Write a catalogue without rows, in one file. Raises sqlite3.Error or OSError."""
    os.close(open_private(path, exclusive=True))
    _prepare(path)
    connection = Connection(path)
    try:
        migrate(connection)
    finally:
        connection.close()
    require_one_file(path)


def require_one_file(path: Path) -> None:
    """Raise sqlite3.OperationalError when a closed catalogue still has a log.

    SQLite closes without a word when the log cannot be brought into the file.
    """
    if log_of(path).exists():
        raise sqlite3.OperationalError("database or disk is full")


def open_catalogue_file(path: Path) -> Connection:
    """Open a catalogue, brought to this program's version first.

    Raises StorageError when it is not there, cannot be read or is of a newer clipsearch (it is not
    touched then); DamageError; LockedError when it has to be migrated while another process writes.
    """
    connection = connect_inspected(path, _inspect)
    try:
        _refuse_programs(connection)
        if needs_migration(connection):
            if not connection.writable:
                raise StorageError(
                    f"{path} was made by an older clipsearch and cannot be brought up to date here",
                    "Make its directory writable, or copy the library elsewhere.",
                )
            with writer_lock(path.parent):
                migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _inspect(path: Path) -> None:
    refuse_future(path, inspect_header(path))


def _refuse_programs(connection: Connection) -> None:
    """Refuse what would act whenever a table is changed or read: clipsearch makes none of it."""
    if connection.value("SELECT 1 FROM sqlite_master WHERE type IN ('trigger', 'view')"):
        raise damaged(connection.path, "it holds triggers or views, which are not ours")


def _prepare(path: Path) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    try:
        database.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        fit_journal(database, path)
    finally:
        database.close()
