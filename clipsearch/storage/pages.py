"""The rows of a damaged catalogue, read page by page without SQLite.

SQLite finds a row by the pages above it, so that one damaged page hides all that lies below. Here
every leaf page of the file is read for what it is, wherever it hangs. The format is SQLite's own
(https://sqlite.org/fileformat2.html); the write-ahead log counts as far as SQLite would believe it.
"""

import errno
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from clipsearch.storage.faults import MAGIC

Value = None | int | float | bytes | str
# A row id and the columns as they are stored: an INTEGER PRIMARY KEY is None there.
StoredRow = tuple[int, tuple[Value, ...]]

_LEAF, _INTERIOR = 0x0D, 0x05
_INDEX_LEAF, _INDEX_INTERIOR = 0x0A, 0x02
_PAGE_SIZES = {512 << n for n in range(8)}
_LOG_MAGIC = 0x377F0682
_LOG_HEADER, _FRAME_HEADER = 32, 24
_INTEGER_SIZES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


class _UnreadableError(Exception):
    """These bytes are no row."""


@dataclass(frozen=True, slots=True)
class Leaves:
    """Leaf pages of tables, those that hang on another page first.

    `lost` are pages that hang on another one and hold no rows any more, nor lead to any.
    """

    numbers: list[int]
    lost: set[int]


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of a catalogue file, those in its log in place of older ones.

    `count` is the number of pages, the first one is 1. `usable` bytes of each hold content.
    """

    file: FileIO
    log: bytes
    frames: dict[int, int]
    size: int
    usable: int
    count: int

    def page(self, number: int) -> bytes:
        """The bytes of a page; b"" for one that is not there or cannot be read."""
        if number in self.frames:
            start = self.frames[number]
            return self.log[start : start + self.size]
        if not 1 <= number <= self.count:
            return b""
        page = _part(self.file, (number - 1) * self.size, self.size)
        return page if len(page) == self.size else b""

    def leaves(self) -> Leaves:
        """The leaf pages of tables that are in use.

        A page that was freed keeps its old rows. The list of free pages names them; where that
        list is damaged too, at least what lives comes first and keeps its place.
        """
        free = self._free_pages()
        leaves, claimed = [], set()
        for number in range(1, self.count + 1):
            page = self.page(number)
            kind = page[_start(number) : _start(number) + 1]
            if number in free or not kind:
                continue
            if kind[0] == _LEAF:
                leaves.append(number)
            elif kind[0] == _INTERIOR:
                claimed |= _children(page, _start(number))
        # A damaged page claims any number; one that was cut off is still counted in the header.
        most = max(self.count, _number(self.page(1), 28, 4))
        lost = {n for n in claimed - free if 1 <= n <= most and not self.is_of_table(n)}
        return Leaves(sorted(leaves, key=lambda number: (number not in claimed, number)), lost)

    def is_of_table(self, number: int) -> bool:
        """Whether a page holds rows, or leads to pages that do."""
        start = _start(number)
        return self.page(number)[start : start + 1] in (bytes([_LEAF]), bytes([_INTERIOR]))

    def rows(self, number: int) -> Iterator[StoredRow | None]:
        """The rows of a leaf page in their order; None for each one that cannot be read."""
        page, start = self.page(number), _start(number)
        most = (self.size - start - 8) // 2
        for position in range(min(_number(page, start + 3, 2), most)):
            try:
                yield self._row(page, _number(page, start + 8 + 2 * position, 2))
            except (_UnreadableError, UnicodeDecodeError):
                yield None

    def index_entries(self) -> Iterator[tuple[Value, ...]]:
        """The readable entries of all indexes: some columns of a row, and its id."""
        for number in range(1, self.count + 1):
            page = self.page(number)
            kind = page[0] if page else 0
            if kind not in (_INDEX_LEAF, _INDEX_INTERIOR):
                continue
            # An inner page has the number of one more page in its header, and one in each cell.
            extra = 4 if kind == _INDEX_INTERIOR else 0
            for position in range(min(_number(page, 3, 2), self.size // 2)):
                cell = _number(page, 8 + extra + 2 * position, 2) + extra
                try:
                    length, cell = _varint(page, cell)
                    most = (self.usable - 12) * 64 // 255 - 23
                    yield _values(self._payload(page, cell, length, most))
                except (_UnreadableError, UnicodeDecodeError):
                    continue

    def _row(self, page: bytes, start: int) -> StoredRow:
        length, start = _varint(page, start)
        row_id, start = _varint(page, start)
        return _signed(row_id), _values(self._payload(page, start, length, self.usable - 35))

    def _payload(self, page: bytes, start: int, length: int, most: int) -> bytes:
        """The content of a cell, also what did not fit the page (`most` bytes of a cell do)."""
        if length > self.count * self.size:
            raise _UnreadableError
        least = (self.usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (self.usable - 4)
        if length <= most:
            local = length
        elif local > most:
            local = least
        parts = [page[start : start + local]]
        following = _number(page, start + local, 4) if length > local else 0
        missing = length - local
        while missing > 0:
            overflow = self.page(following)
            if not overflow:
                raise _UnreadableError
            parts.append(overflow[4 : 4 + min(missing, self.usable - 4)])
            following = _number(overflow, 0, 4)
            missing -= self.usable - 4
        payload = b"".join(parts)
        if len(payload) != length:
            raise _UnreadableError
        return payload

    def _free_pages(self) -> set[int]:
        """The pages of the list of free pages; none of them when the list does not add up."""
        header = self.page(1)
        trunk, total = _number(header, 32, 4), _number(header, 36, 4)
        free: set[int] = set()
        while trunk and trunk not in free:
            page = self.page(trunk)
            free.add(trunk)
            entries = min(_number(page, 4, 4), self.size // 4)
            free.update(_number(page, 8 + 4 * entry, 4) for entry in range(entries))
            trunk = _number(page, 0, 4)
        return free if len(free) == total else set()


@contextmanager
def open_pages(path: Path, log: Path, page_size: int) -> Iterator[Pages]:
    """The pages of a catalogue file and its log, which need not exist.

    `page_size` is for a file that does not say it itself any more. The file must not be open in
    this process: closing it here would take SQLite's locks away. Raises OSError.
    """
    log_bytes = log.read_bytes() if log.exists() else b""
    with path.open("rb", buffering=0) as file:
        yield _pages(file, os.fstat(file.fileno()).st_size, log_bytes, page_size)


def _pages(file: FileIO, file_size: int, log: bytes, page_size: int) -> Pages:
    header = _part(file, 0, 100)
    reserved = 0
    stated = _number(header, 16, 2)
    stated = 65536 if stated == 1 else stated
    if header.startswith(MAGIC) and stated in _PAGE_SIZES:
        page_size, reserved = stated, header[20]
    frames, count = _committed_frames(log, page_size)
    return Pages(
        file, log, frames, page_size, page_size - reserved, count or file_size // page_size
    )


def _committed_frames(log: bytes, page_size: int) -> tuple[dict[int, int], int]:
    """Where in the log the newest committed version of each page starts, and the pages in all.

    As SQLite reads it: up to the first frame whose salt or checksum does not fit.
    """
    magic = _number(log, 0, 4)
    if len(log) < _LOG_HEADER or magic | 1 != _LOG_MAGIC | 1:
        return {}, 0
    order = ">" if magic & 1 else "<"
    state = _checksum(log[:24], order, (0, 0))
    stated = _number(log, 24, 4), _number(log, 28, 4)
    if state != stated or _number(log, 8, 4) != page_size:
        return {}, 0
    committed: dict[int, int] = {}
    waiting: dict[int, int] = {}
    count = 0
    for start in range(_LOG_HEADER, len(log), _FRAME_HEADER + page_size):
        body = start + _FRAME_HEADER
        if len(log) < body + page_size or log[start + 8 : start + 16] != log[16:24]:
            break
        state = _checksum(log[start : start + 8] + log[body : body + page_size], order, state)
        if state != (_number(log, start + 16, 4), _number(log, start + 20, 4)):
            break
        waiting[_number(log, start, 4)] = body
        pages_after_commit = _number(log, start + 4, 4)
        if pages_after_commit:
            committed |= waiting
            waiting.clear()
            count = pages_after_commit
    return {page: body for page, body in committed.items() if page <= count}, count


def _checksum(data: bytes, order: str, state: tuple[int, int]) -> tuple[int, int]:
    first, second = state
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second


def _start(number: int) -> int:
    """Where the page's own header begins: the first page has the file's before it."""
    return 100 if number == 1 else 0


def _children(page: bytes, start: int) -> set[int]:
    cells = min(_number(page, start + 3, 2), len(page) // 2)
    children = {_number(page, start + 8, 4)}
    for position in range(cells):
        cell = _number(page, start + 12 + 2 * position, 2)
        children.add(_number(page, cell, 4))
    return children


def _values(payload: bytes) -> tuple[Value, ...]:
    """The columns of a record. Raises _UnreadableError unless all of it makes sense."""
    header, position = _varint(payload, 0)
    types = []
    while position < header:
        code, position = _varint(payload, position)
        types.append(code)
    values, position = _columns(payload, position, types)
    if position != len(payload) or header > len(payload):
        raise _UnreadableError
    return values


def _columns(payload: bytes, position: int, types: Sequence[int]) -> tuple[tuple[Value, ...], int]:
    values: list[Value] = []
    for code in types:
        size = _INTEGER_SIZES.get(code, 8 if code == 7 else max(0, code - 12) // 2)
        part = payload[position : position + size]
        if len(part) != size or code in (10, 11):
            raise _UnreadableError
        position += size
        values.append(_value(code, part))
    return tuple(values), position


def _value(code: int, part: bytes) -> Value:
    match code:
        case 0:
            return None
        case 7:
            return float(struct.unpack(">d", part)[0])
        case 8 | 9:
            return code - 8
        case _ if code < 8:
            return int.from_bytes(part, "big", signed=True)
        case _:
            return part.decode("utf-8") if code % 2 else part


def _varint(data: bytes, start: int) -> tuple[int, int]:
    """A number of one to nine bytes, and where it ends."""
    value = 0
    for position in range(start, start + 8):
        if position >= len(data):
            raise _UnreadableError
        byte = data[position]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, position + 1
    if start + 8 >= len(data):
        raise _UnreadableError
    return value << 8 | data[start + 8], start + 9


def _part(file: FileIO, start: int, size: int) -> bytes:
    """A piece of a file; b"" where the disk cannot read it: a bad sector costs its pages only.

    Not mapped: there, it would cost the process.
    """
    try:
        file.seek(start)
        return file.read(size)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""


def _number(data: bytes, start: int, size: int) -> int:
    """An unsigned number in the order of SQLite's files; 0 where the bytes are not there."""
    return int.from_bytes(data[start : start + size], "big")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
