"""How a catalogue comes from the version it has to the version this program needs.

Each step is one transaction that also records itself. Before the first step on an existing
catalogue, a complete copy is written beside it.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipsearch import __version__
from clipsearch.errors import StorageError
from clipsearch.failpoints import reach
from clipsearch.storage.connection import Connection
from clipsearch.storage.layout import TEMPORARY_SUFFIX, open_private, sync_dir
from clipsearch.storage.schema import CONCEPT_TABLES, TABLES


@dataclass(frozen=True, slots=True)
class Migration:
    """What makes `version` of the version before it."""

    version: int
    apply: Callable[[Connection], None]


def _create_version_1(connection: Connection) -> None:
    for table in TABLES:
        connection.change(table)
    connection.change("INSERT INTO meta (id, library_id) VALUES (1, ?)", (os.urandom(16).hex(),))
    connection.change("INSERT INTO generations VALUES (0, ?)", (os.urandom(8),))


def _add_concepts(connection: Connection) -> None:
    for table in CONCEPT_TABLES:
        connection.change(table)


MIGRATIONS: tuple[Migration, ...] = (Migration(1, _create_version_1), Migration(2, _add_concepts))


def refuse_future(path: Path, version: int, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Raise StorageError when a catalogue's version is newer than the newest migration's."""
    newest = migrations[-1].version
    if version > newest:
        raise StorageError(
            f"{path} was made by a newer clipsearch (catalogue version {version}; "
            f"this one knows {newest})",
            "Upgrade clipsearch; the file has not been touched.",
        )


def migrate(connection: Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring an open catalogue to the newest version, with a copy of the old one beside it.

    Belongs under the writer lock. Raises StorageError when that is not possible; the catalogue
    then still has the version it had.
    """
    version = schema_version(connection)
    refuse_future(connection.path, version, migrations)
    steps = [step for step in migrations if step.version > version]
    if version > 0 and steps:
        _back_up(connection, version)
    for step in steps:
        with connection.transaction():
            reach("migration")
            step.apply(connection)
            connection.change(
                "CREATE TABLE IF NOT EXISTS migrations "
                "(version INTEGER PRIMARY KEY, applied_at REAL NOT NULL, program TEXT NOT NULL)"
                " STRICT"
            )
            connection.change(
                "INSERT INTO migrations VALUES (?, ?, ?)", (step.version, time.time(), __version__)
            )
            connection.change(f"PRAGMA user_version = {step.version}")
    if version > 0 and steps:
        # The first bytes of the file tell its version to whoever looks before opening it.
        connection.rows("PRAGMA wal_checkpoint(TRUNCATE)")


def schema_version(connection: Connection) -> int:
    """The version of an open catalogue."""
    return int(connection.value("PRAGMA user_version"))


def needs_migration(connection: Connection, migrations: Sequence[Migration] = MIGRATIONS) -> bool:
    """Whether a catalogue is older than this program."""
    return schema_version(connection) < migrations[-1].version


def _back_up(connection: Connection, version: int) -> None:
    path = connection.path
    final = path.with_name(f"{path.name}.backup-v{version}")
    temporary = final.with_name(final.name + TEMPORARY_SUFFIX)
    temporary.unlink(missing_ok=True)
    os.close(open_private(temporary, exclusive=True))
    connection.back_up(temporary)
    descriptor = os.open(temporary, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, final)
    sync_dir(path.parent)
