"""Where a run lies: a directory of its own, and nothing there after a start that was refused."""

import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from clipsearch.errors import LockedError, StorageError, UsageError
from clipsearch.storage.layout import LOCK_NAME

if TYPE_CHECKING:
    from clipsearch.training.runs import RunDirectory

# What a start that failed may have left.
_LEFT = {"lock", "original", "original.unfinished", "findings.tsv"}


def require_own_directory(run: Path) -> None:
    """Refuse, with a UsageError, a file or somebody's own folder as a run's directory.

    Raises StorageError for one that cannot be looked into.
    """
    from clipsearch.training.runs import RunDirectory

    try:
        if run.exists() and not run.is_dir():
            raise UsageError(f"{run} is a file", "Give --out a directory that does not exist yet")
        if not run.is_dir() or RunDirectory(run).began:
            return
        others = sorted({path.name for path in run.iterdir()} - _LEFT)
    except OSError as error:
        raise _no_place(run, error) from error
    if others:
        raise UsageError(
            f"{run} holds other things ({others[0]}) and no run",
            "Give --out a directory that does not exist yet",
        )


def make_directory(run: Path) -> bool:
    """Make a run's directory, unless it is there; whether it was made.

    Raises StorageError when it cannot be made.
    """
    try:
        was_there = run.is_dir()
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_place(run, error) from error
    return not was_there


def _no_place(run: Path, error: OSError) -> StorageError:
    return StorageError(
        f"the run cannot be written to {run} ({error.strerror})",
        "Give --out a directory in a place where you may write",
    )


def clear_unless_begun(directory: "RunDirectory", *, made_now: bool) -> None:
    """After a start that failed: leave nothing but the list of findings, if there is one.

    A directory that was there before stays. To be called under the run's lock.
    """
    if directory.began:
        return
    for folder in (directory.original, unfinished(directory.original)):
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        if {path.name for path in directory.path.iterdir()} == {LOCK_NAME}:
            (directory.path / LOCK_NAME).unlink()
            if made_now:
                directory.path.rmdir()


def require_standing(run: Path) -> None:
    """Raise LockedError when the directory whose lock was just taken is gone with its lock.

    Another start was refused at this very moment and cleared it away: the lock would keep nobody
    out.
    """
    if not (run / LOCK_NAME).exists():
        raise LockedError(f"another start has just given up {run}", "Run it again")


def unfinished(folder: Path) -> Path:
    """What a folder is called until it is whole."""
    return folder.with_name(folder.name + ".unfinished")
