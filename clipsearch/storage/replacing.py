"""Putting a new catalogue in the place of a damaged one, which is kept.

    catalogue.sqlite                      damaged            the new one
    catalogue.sqlite-wal                  its log            gone
    catalogue.sqlite.damaged-DATE.1       -                  the damaged one
    catalogue.sqlite.damaged-DATE.1-wal   -                  its log, if it had one

Killed before the last rename, the damaged catalogue is still in its place, and may have its second
name already; its log may be set aside beside that, where `log_to_salvage` finds it.
"""

import filecmp
import itertools
import os
import shutil
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from clipsearch.errors import LockedError, StorageError
from clipsearch.failpoints import reach
from clipsearch.storage.catalogue_file import PAGE_SIZE, require_one_file, write_empty_catalogue
from clipsearch.storage.connection import Connection
from clipsearch.storage.examining import structure_faults
from clipsearch.storage.faults import (
    BUSY_SECONDS,
    MAGIC,
    has_bytes,
    journal_of,
    log_of,
    meaning_of,
    no_space,
)
from clipsearch.storage.layout import TEMPORARY_SUFFIX, catalogue_path, sweep_temporary, sync_dir
from clipsearch.storage.lock import writer_lock
from clipsearch.storage.pages import open_pages
from clipsearch.storage.salvage import Salvage, salvage
from clipsearch.types import ModelInfo

# The first bytes of a rollback journal (https://sqlite.org/fileformat2.html#the_rollback_journal).
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")


@dataclass(frozen=True, slots=True)
class Replacement:
    """What went over into the new catalogue, and where the damaged one is kept."""

    salvage: Salvage
    damaged: Path


def replace_catalogue(directory: Path, known_models: Sequence[ModelInfo]) -> Replacement:
    """Build a new catalogue from the good rows of the one in `directory`, and put it in its place.

    The damaged file is kept, never changed but for its log, which SQLite may bring into it. At any
    moment either it or the complete new one has the catalogue's name. It must not be open in this
    process. Raises LockedError when another process uses the library, StorageError when it cannot
    be written, or its disk reads nothing at all.
    """
    path = catalogue_path(directory)
    temporary = _with(path, f".repaired{TEMPORARY_SUFFIX}")
    with writer_lock(directory):
        sweep_temporary(path.parent)
        try:
            reach("before_salvage")
            write_empty_catalogue(temporary)
            _undo_half_change(path)
            with open_pages(path, log_to_salvage(path), PAGE_SIZE) as pages:
                kept = salvage(pages, temporary, known_models)
            _refuse_nothing(kept, path)
            _finish(temporary)
            reach("after_salvage")
            return Replacement(kept, _publish(temporary, path))
        except (sqlite3.Error, OSError) as error:
            raise meaning_of(error, path) or no_space(path, error) from error
        finally:
            sweep_temporary(path.parent)


def _undo_half_change(path: Path) -> None:
    """Let SQLite put back, from its journal, the pages that a killed writer had begun to change.

    Only on a network disk is there a journal. Where SQLite gives up, rows prove themselves.
    """
    journal = journal_of(path)
    # SQLite takes away what it cannot read as a journal; here everything damaged is kept.
    if not has_bytes(journal) or not _beginning(journal).startswith(_JOURNAL_MAGIC):
        return
    with (
        closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as database,
        suppress(sqlite3.DatabaseError, UnicodeDecodeError),
    ):
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()


def log_to_salvage(path: Path) -> Path:
    """The log that belongs to a catalogue: beside it, or set aside by a run that was killed."""
    log = log_of(path)
    if log.exists():
        return log
    for aside in sorted(path.parent.glob(f"{path.name}.damaged-*-wal"), reverse=True):
        kept = aside.with_name(aside.name.removesuffix("-wal"))
        # The log of another catalogue would put old pages in the place of newer ones.
        if kept.exists() and filecmp.cmp(kept, path, shallow=False):
            return aside
    return log


def _refuse_nothing(kept: Salvage, path: Path) -> None:
    """A disk that gives nothing at all just now is no reason to put an empty library there."""
    if not any(kept.kept.values()) and path.stat().st_size and not _beginning(path):
        raise StorageError(
            f"The disk can read nothing of the catalogue {path}",
            "Check the disk, or restore the library from a backup.",
        )


def _finish(temporary: Path) -> None:
    """Prove the new catalogue whole, and make it durable."""
    require_one_file(temporary)
    connection = Connection(temporary)
    try:
        faults = structure_faults(connection)
    finally:
        connection.close()
    require_one_file(temporary)
    if faults:
        raise StorageError(
            f"The new catalogue {temporary} did not come out whole ({faults[0]})",
            "The old one is in its place. Check this disk.",
        )
    descriptor = os.open(temporary, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _publish(temporary: Path, path: Path) -> Path:
    _be_alone(path)
    log = log_to_salvage(path)
    damaged = _aside(path, log)
    # The file first: by it the log is known as this catalogue's.
    _keep(path, damaged)
    sync_dir(path.parent)
    reach("after_keep")
    for suffix in ("-wal", "-journal"):
        if (beside := _with(path, suffix)).exists():
            os.rename(beside, _with(damaged, suffix))
    reach("after_log_aside")
    _with(path, "-shm").unlink(missing_ok=True)
    sync_dir(path.parent)
    reach("before_rename")
    os.replace(temporary, path)
    sync_dir(path.parent)
    reach("after_rename")
    return damaged


def _with(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _aside(path: Path, log: Path) -> Path:
    """The name for the damaged catalogue: the one it already has, else one of this moment."""
    if log.exists() and log != log_of(path):
        return log.with_name(log.name.removesuffix("-wal"))
    for kept in path.parent.glob(f"{path.name}.damaged-*"):
        if kept.samefile(path):
            return kept
    moment = time.strftime("%Y%m%d-%H%M%S")
    names = (f"{path.name}.damaged-{moment}.{number}" for number in itertools.count(1))
    return path.with_name(next(name for name in names if not any(path.parent.glob(f"{name}*"))))


def _keep(path: Path, damaged: Path) -> None:
    """Give the damaged file its second name; a copy where the disk knows no second names."""
    if damaged.exists():
        return
    try:
        os.link(path, damaged)
    except OSError:
        partial = _with(damaged, TEMPORARY_SUFFIX)
        shutil.copy(path, partial)
        os.replace(partial, damaged)


def _be_alone(path: Path) -> None:
    """Make sure that no process has the catalogue open: it would delete the new one's log.

    Leaving write-ahead logging is what SQLite allows to the only user alone; it also brings the
    log into the file. A file that SQLite cannot open is not open anywhere; one without any page
    would cost its log. Raises LockedError.
    """
    if _beginning(path) != MAGIC:
        return
    # A name from a damaged schema in SQLite's words is raised as UnicodeDecodeError in their place.
    with (
        closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as database,
        suppress(UnicodeDecodeError),
    ):
        try:
            database.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.DatabaseError as error:
            meaning = meaning_of(error, path)
            if isinstance(meaning, LockedError):
                raise LockedError(
                    f"Another process is using the library {path.parent}",
                    "Wait until it has finished, or stop it.",
                ) from error


def _beginning(path: Path) -> bytes:
    """The first bytes of a file; b"" where the disk cannot read them."""
    with path.open("rb") as file:
        try:
            return file.read(len(MAGIC))
        except OSError:
            return b""
