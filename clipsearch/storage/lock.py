"""One writer at a time: an advisory lock that dies with its holder.

The operating system holds the lock, not the file's content: a killed writer leaves nothing to
clean up, and a reused process number means nothing. The content names the holder while there is
one: for whoever comes meanwhile, and for other machines, which may not see the lock.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clipsearch.errors import LockedError, StorageError
from clipsearch.storage.layout import LOCK_NAME, catalogue_path, open_private
from clipsearch.storage.refusals import next_step

# Windows locks bytes, not files: one far behind the text that names the holder.
_LOCKED_BYTE = 4096


@contextmanager
def writer_lock(directory: Path, what: str = "library") -> Iterator[None]:
    """Hold the writer lock of a library, or of another directory that is called `what` to people.

    A library whose catalogue is a link is locked where the catalogue is.

    Raises LockedError at once, naming the holder, when another process has it, or one on another
    machine may have; StorageError when the lock file cannot be written.
    """
    path = catalogue_path(directory).with_name(LOCK_NAME)
    try:
        descriptor = open_private(path)
    except OSError as error:
        raise StorageError(
            f"The {what} {directory} cannot be written ({error.strerror})",
            f"{next_step(error, 'use another one')}.",
        ) from error
    try:
        try:
            taken = _try_lock(descriptor)
        except OSError as error:
            raise StorageError(
                f"{path} cannot be locked ({error.strerror})",
                f"Put the {what} on a disk of this machine.",
            ) from error
        if not taken:
            raise LockedError(
                f"Another process is writing to the {what} {directory}: {_holder(path)}",
                "Wait until it has finished, or stop it.",
            )
        _refuse_other_machine(path, what)
        _write_holder(descriptor)
        try:
            yield
        finally:
            _clear(descriptor)
    finally:
        # Closing releases the lock. The file stays: removing it would let two writers in.
        os.close(descriptor)


def _refuse_other_machine(path: Path, what: str) -> None:
    """Raise LockedError when a writer on another machine has not said that it has finished.

    Not every network disk shows one machine the locks of another. The same name is the same
    machine, perhaps started again; the same start is too, perhaps under another name.
    """
    try:
        holder = json.loads(path.read_text())
        host, boot = holder["host"], holder.get("boot", "")
    except (OSError, ValueError, TypeError, KeyError):
        return
    own = _own_name()
    if host == own["host"] or (boot and boot == own["boot"]):
        return
    raise LockedError(
        f"The {what} {path.parent} is being written on another machine, or was when that stopped: "
        f"{_holder(path)}",
        f"Look there; if nothing writes to it any more, remove {path} and run this again.",
    )


def _own_name() -> dict[str, object]:
    import socket

    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return {"pid": os.getpid(), "host": socket.gethostname(), "boot": boot}


def _clear(descriptor: int) -> None:
    """Say that the writer has finished, so that nobody has to ask."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)


def _write_holder(descriptor: int) -> None:
    holder = json.dumps(_own_name()).encode()
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder, 0) if hasattr(os, "pwrite") else os.write(descriptor, holder)
    except OSError:
        # A full disk: the lock itself holds, only its name for others is missing.
        return


def _holder(path: Path) -> str:
    for _ in range(5):
        try:
            holder = json.loads(path.read_text())
            return f"process {int(holder['pid'])} on {holder['host']}"
        except (OSError, ValueError, TypeError, KeyError):
            # The holder has locked the file but not yet written its name.
            time.sleep(0.05)
    return "its name is not known"


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        os.lseek(descriptor, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
