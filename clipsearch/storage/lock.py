"""One writer at a time: an advisory lock that dies with its holder.

The operating system holds the lock, not the file's content: a killed writer leaves nothing to
clean up, and a reused process number means nothing. The content only names the holder.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clipsearch.errors import LockedError, StorageError
from clipsearch.storage.layout import LOCK_NAME, open_private

# Windows locks bytes, not files: one far behind the text that names the holder.
_LOCKED_BYTE = 4096


@contextmanager
def writer_lock(directory: Path, what: str = "library") -> Iterator[None]:
    """Hold the writer lock of a library, or of another directory that is called `what` to people.

    Raises LockedError at once, naming the holder, when another process has it; StorageError when
    the lock file cannot be written.
    """
    path = directory / LOCK_NAME
    try:
        descriptor = open_private(path)
    except OSError as error:
        raise StorageError(
            f"The {what} {directory} cannot be written ({error.strerror})",
            "Check its permissions, or use another one.",
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
        _write_holder(descriptor)
        yield
    finally:
        # Closing releases the lock. The file stays: removing it would let two writers in.
        os.close(descriptor)


def _write_holder(descriptor: int) -> None:
    import socket

    holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode()
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
