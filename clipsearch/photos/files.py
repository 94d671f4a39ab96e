"""One file, one read: the bytes that are hashed are the bytes that are decoded."""

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from clipsearch.errors import DamagedPhoto, NotPhoto, PhotoError, PhotoGone, RefusedPhoto
from clipsearch.photos import formats
from clipsearch.photos.limits import ReadLimits
from clipsearch.types import FileStat, PhotoProblem

_HEAD_BYTES = 4096
_ATTEMPTS = 3
# Within so much time two changes may get one and the same time on disk: clocks tick up to every
# 16 ms, and old file systems know whole seconds, or every other one.
_TICK_NS = 20_000_000
_LONG_TICK_NS = 2_000_000_000
_SECOND_NS = 1_000_000_000

# A FIFO named .jpg must not block, a link put there since the listing must not be followed, and no
# child process may inherit the file. Windows has none of the three but wants O_BINARY.
READ_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


@dataclass(frozen=True, slots=True)
class FileRead:
    """A whole file and the stat it had both before and after it was read."""

    data: bytes
    stat: FileStat


class _ChangedWhileReadingError(Exception):
    """The file is not the one it was when it was opened."""


def file_stat(result: os.stat_result) -> FileStat:
    """The part of a stat result by which an unchanged file is recognised."""
    return FileStat(
        size=result.st_size,
        mtime_ns=result.st_mtime_ns,
        ctime_ns=result.st_ctime_ns,
        inode=result.st_ino,
        device=result.st_dev,
    )


@contextmanager
def regular_file(path: bytes) -> Iterator[tuple[int, FileStat]]:
    """A descriptor of a file and its facts. A link in the last place of `path` is not followed.

    Raises NotPhoto for a folder or a pipe, and what `os.open` raises.
    """
    descriptor = os.open(path, READ_FLAGS)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise NotPhoto("not a regular file")
        yield descriptor, file_stat(found)
    finally:
        os.close(descriptor)


def read_file(path: bytes, limits: ReadLimits) -> FileRead | PhotoProblem:
    """Read the photo at `path`, or say why it is none.

    Files that are no photos by their first bytes (videos, sidecars) are not read any further. A
    file that changes while it is read is tried again twice. A link in the last place of `path` is
    not followed.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _read_once(path, limits)
        except _ChangedWhileReadingError:
            continue
    return PhotoProblem(path, None, RefusedPhoto.kind, "changed while reading")


def _read_once(path: bytes, limits: ReadLimits) -> FileRead | PhotoProblem:
    before: FileStat | None = None
    try:
        with regular_file(path) as (descriptor, before):
            _settle(before)
            data = _read_photo(descriptor, path, before.size, limits.file_bytes)
            if len(data) != before.size or file_stat(os.fstat(descriptor)) != before:
                raise _ChangedWhileReadingError
    except PhotoError as error:
        return PhotoProblem(path, before, error.kind, str(error))
    except MemoryError:
        return PhotoProblem(path, before, RefusedPhoto.kind, "no memory to read it")
    except OSError as error:
        failure = failure_of(error)
        return PhotoProblem(path, before, failure.kind, str(failure))
    return FileRead(data, before)


def _settle(found: FileStat) -> None:
    """Wait until any further change of a file would show in its times.

    A file that changed a moment ago could otherwise change once more while it is read, or right
    after it, and look unchanged for ever.
    """
    now = time.time_ns()
    # Times of the future are some other clock's: they say nothing about this moment.
    changed = max((t for t in (found.mtime_ns, found.ctime_ns) if t <= now), default=0)
    tick = _TICK_NS if changed % _SECOND_NS else _LONG_TICK_NS
    if now < changed + tick:
        time.sleep((changed + tick - now) / 1e9)


def _read_photo(descriptor: int, path: bytes, size: int, most: int) -> bytes:
    """The whole content, at most one byte more than `size`, if its beginning is a photo's."""
    if size == 0:
        # Also what endless files of /proc say of themselves: nothing is read from them.
        if formats.claims_photo(path):
            raise DamagedPhoto("empty file")
        raise NotPhoto("empty file")
    head = os.read(descriptor, min(_HEAD_BYTES, size))
    formats.require_photo(head, path)
    if size > most:
        raise RefusedPhoto(f"the file has {size} bytes, over the limit of {most}")
    os.lseek(descriptor, 0, os.SEEK_SET)
    data = os.read(descriptor, size + 1)
    if len(data) == size:
        # One piece, as nearly always: large photos are not copied together.
        return data
    parts = [data]
    missing = size + 1 - len(data)
    while missing > 0 and (part := os.read(descriptor, missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def failure_of(error: OSError) -> PhotoError:
    """What it means for a photo that its file cannot be opened or read."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return PhotoGone("gone since it was listed")
    if error.errno in (errno.ELOOP, errno.ENXIO):
        # O_NOFOLLOW met a link, or O_NONBLOCK a socket, where a file had been listed.
        return NotPhoto("not a regular file")
    return PhotoError((error.strerror or "cannot be read").lower())
