"""A copy of the catalogue that is a library by itself."""

import errno
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clipsearch.errors import DamageError, LockedError, StorageError, UsageError
from clipsearch.failpoints import reach
from clipsearch.library import Library
from clipsearch.storage.catalogue import Catalogue
from clipsearch.storage.directory import keep_index_out
from clipsearch.storage.faults import log_of, no_space, unwritable
from clipsearch.storage.layout import CATALOGUE_NAME, open_private, sync_dir
from clipsearch.storage.lock import writer_lock

_ELSEWHERE = "name another place"
_UNFINISHED = ".unfinished-clipsearch-backup"


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished and verified copy: a directory with a catalogue, its size, its rows by table."""

    directory: Path
    size: int
    rows: dict[str, int]


def back_up(library: Library, destination: Path) -> Backup:
    """Copy the catalogue of a library to a new directory, while others read or write.

    `destination` is the new directory; in one that is there already, a dated one is made. The copy
    is compared with the original and made durable before it gets its name. Snapshots are not
    copied: they are made again from the catalogue.

    Raises UsageError when there is something of that name or it is in the library's own directory,
    StorageError when it cannot be written, DamageError when the library is damaged: that copy would
    be no backup.
    """
    final = _new_name(destination)
    if final.resolve().is_relative_to(library.directory.resolve()):
        raise UsageError(
            f"{final} is inside the library, and would be lost with it", "Name another place."
        )
    try:
        with _unfinished(final) as temporary:
            rows = _copy(library.catalogue, temporary)
            reach("before_backup_rename")
            _give_name(temporary, final)
            reach("after_backup_rename")
    except (sqlite3.Error, OSError, StorageError) as error:
        raise _failure(final, error) from error
    return Backup(final, (final / CATALOGUE_NAME).stat().st_size, rows)


def _failure(final: Path, error: Exception) -> StorageError:
    """What a failed copy means, and what to do."""
    # What was said of the original is said of the copy: that is what is being written.
    reason = error.__cause__ or error if isinstance(error, StorageError) else error
    if isinstance(reason, OSError):
        return unwritable(final, reason, _ELSEWHERE)
    return no_space(final, reason, _ELSEWHERE)


def _new_name(destination: Path) -> Path:
    if (destination / CATALOGUE_NAME).exists():
        raise UsageError(f"{destination} is a library already", "Name another place.")
    if destination.is_dir():
        destination = destination / time.strftime("clipsearch-backup-%Y%m%d-%H%M%S")
    if os.path.lexists(destination):
        raise UsageError(f"{destination} is there already", "Name another place for the backup.")
    if not destination.parent.is_dir():
        raise UsageError(f"There is no folder {destination.parent}", "Make it, or name another.")
    return destination


@contextmanager
def _unfinished(final: Path) -> Iterator[Path]:
    """A directory beside `final` that is removed unless it was given that name."""
    _sweep(final.parent)
    temporary = Path(tempfile.mkdtemp(f"{_UNFINISHED}", f".{final.name[:100]}-", final.parent))
    try:
        # Held as long as somebody works here: a killed run's directory is known by its free lock.
        with writer_lock(temporary, "backup"):
            yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sweep(folder: Path) -> None:
    for left in folder.glob(f".*{_UNFINISHED}"):
        try:
            with writer_lock(left, "backup"):
                shutil.rmtree(left, ignore_errors=True)
        except (LockedError, StorageError):
            # Somebody else's, at work or not ours to remove.
            continue


def _copy(catalogue: Catalogue, directory: Path) -> dict[str, int]:
    path = directory / CATALOGUE_NAME
    os.close(open_private(path, exclusive=True))
    reach("before_backup")
    rows = catalogue.back_up(path)
    _verify(path, rows)
    keep_index_out(directory)
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    sync_dir(directory)
    return rows


def _verify(path: Path, rows: dict[str, int]) -> None:
    copy = Catalogue(path)
    try:
        faults = copy.structure_faults()
        if not faults and copy.row_counts() != rows:
            faults = ["rows are missing"]
    finally:
        copy.close()
    if log_of(path).exists():
        raise OSError(errno.ENOSPC, "the disk is full")
    if faults:
        raise DamageError(
            f"The copy of the catalogue is damaged ({faults[0]}), so there is no new backup",
            "Run: clipsearch library check",
        )


def _give_name(temporary: Path, final: Path) -> None:
    # A directory takes no name that another one has, unless that is empty.
    os.rename(temporary, final)
    sync_dir(final.parent)
