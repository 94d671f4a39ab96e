"""Which photos are being read just now, on record outside of the process that reads them.

A photo that ends its worker is named by the reader. One that takes the whole run with it (all the
machine's memory, a session that is ended for it) is named by the next run: what was in hand when a
run died is read alone and first then, and after DEATHS such deaths in a row not any more.

The file is mapped: a name costs no system call, and outlives the process. It is removed by a run
that comes to its end, however that is.
"""

import contextlib
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

DEATHS = 3
_SLOT_BYTES = 8192
# Deaths so far and the length of the path, which follows.
_HEAD = struct.Struct("<II")


class InHand:
    """The record of one run; `slots` photos are in hand at most."""

    def __init__(self, path: Path, slots: int) -> None:
        """Take over what a run that died left at `path`, in `left`: paths with their deaths.

        A record that cannot be written is done without: it must not keep anybody from reading.
        """
        self.left = left_in(path)
        self._path = path
        self._bytes: mmap.mmap | None = None
        with contextlib.suppress(OSError, ValueError):
            self._bytes = _map(path, slots)

    @contextlib.contextmanager
    def holding(self, slot: int, path: bytes) -> Iterator[None]:
        """Have `path` on record while this lasts."""
        if self._bytes is None or _HEAD.size + len(path) > _SLOT_BYTES:
            yield
            return
        start = slot * _SLOT_BYTES
        # The head last: a name without its length is none.
        name_at = start + _HEAD.size
        self._bytes[name_at : name_at + len(path)] = path
        _HEAD.pack_into(self._bytes, start, self.left.get(path, 0) + 1, len(path))
        try:
            yield
        finally:
            _HEAD.pack_into(self._bytes, start, 0, 0)

    def close(self) -> None:
        """The run has come to its end: nobody is to blame for anything."""
        if self._bytes is not None:
            self._bytes.close()
            self._bytes = None
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def left_in(path: Path) -> dict[bytes, int]:
    """The photos in hand by the record at `path`, of a run that died or still reads, each with the
    number of runs in a row that had it so."""
    try:
        data = path.read_bytes()
    except OSError:
        return {}
    left = {}
    for start in range(0, len(data) - _SLOT_BYTES + 1, _SLOT_BYTES):
        deaths, length = _HEAD.unpack_from(data, start)
        if deaths and 0 < length <= _SLOT_BYTES - _HEAD.size:
            left[data[start + _HEAD.size : start + _HEAD.size + length]] = deaths
    return left


def _map(path: Path, slots: int) -> mmap.mmap:
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        # Written, not only made longer: a mapped page that a full disk has no room for kills.
        size = slots * _SLOT_BYTES
        os.write(descriptor, bytes(size))
        # Refuses a file that is shorter.
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)
