"""Where the files inside a tar archive are, read from its headers alone.

Nothing is ever unpacked, and no name in the archive becomes a path. Formats: ustar, and the long
names of GNU tar and of pax. Links, devices and folders are passed over.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from clipsearch.errors import UsageError

BLOCK = 512
MAX_MEMBERS = 10_000_000

_FILE_TYPES = (b"0", b"\0", b"7")
_WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")
_MAX_EXTENSION_BYTES = 1_000_000  # a pax header or a GNU long name
_PAX_RECORD = re.compile(rb"([0-9]{1,7}) ")


@dataclass(frozen=True, slots=True)
class TarMember:
    """A file in an archive: `size` bytes from `offset` on. `name` is only a name."""

    name: str
    offset: int
    size: int


def tar_members(archive: str) -> Iterator[TarMember]:
    """The regular files of an uncompressed tar archive, in order.

    Raises UsageError for what is not one: compressed, damaged, cut off, over 10 million members.
    """
    try:
        with open(archive, "rb") as file:
            yield from _members(file, os.fstat(file.fileno()).st_size, archive)
    except OSError as error:
        raise UsageError(f"cannot read {archive}: {error.strerror}", "Check the path") from error


def _members(file: BinaryIO, end: int, archive: str) -> Iterator[TarMember]:
    position = 0
    count = 0
    long_name: str | None = None
    long_size: int | None = None
    while position + BLOCK <= end:
        file.seek(position)
        header = file.read(BLOCK)
        if header == bytes(BLOCK):
            return
        _require_checksum(header, archive, position)
        kind = header[156:157]
        size = _number(header[124:136], archive, position)
        count += 1
        if count > MAX_MEMBERS:
            raise UsageError(f"{archive} has over {MAX_MEMBERS:,} members", "Split the archive")
        if kind in _FILE_TYPES and long_size is not None:
            size = long_size
        data = position + BLOCK
        position = data if kind in _WITHOUT_DATA else data + -(-size // BLOCK) * BLOCK
        if kind not in _WITHOUT_DATA and data + size > end:
            raise UsageError(
                f"{archive} ends inside of a file, at byte {end:,}", "Download it again"
            )
        if kind in (b"L", b"x", b"g", b"K"):
            extension = _extension(file, size, archive, data)
            if kind == b"L":
                long_name = _text(extension.split(b"\0")[0])
            elif kind == b"x":
                records = _pax_records(extension, archive, data)
                long_name = _text(records[b"path"]) if b"path" in records else long_name
                long_size = _pax_size(records, archive, data)
            continue
        if kind in _FILE_TYPES:
            name = long_name if long_name is not None else _name(header)
            if not name.endswith("/"):  # how the first tar programs wrote a folder
                yield TarMember(name, data, size)
        long_name, long_size = None, None
    if position == 0:
        raise UsageError(f"{archive} is not a tar archive", "Is the file complete?")


def _require_checksum(header: bytes, archive: str, position: int) -> None:
    """The sum of all bytes, the sum's own counted as spaces."""
    stated = re.match(rb"[ \0]*([0-7]+)[ \0]", header[148:156])
    actual = sum(header[:148]) + 8 * ord(" ") + sum(header[156:])
    if stated is None or int(stated[1], 8) != actual:
        raise _damaged(archive, position)


def _number(field: bytes, archive: str, position: int) -> int:
    """A number in octal digits or, with the highest bit set, in base 256."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if re.fullmatch(rb"[0-7]*", digits) is None:
        raise _damaged(archive, position)
    return int(digits or b"0", 8)


def _extension(file: BinaryIO, size: int, archive: str, position: int) -> bytes:
    if size > _MAX_EXTENSION_BYTES:
        raise _damaged(archive, position)
    file.seek(position)
    return file.read(size)


def _pax_records(data: bytes, archive: str, position: int) -> dict[bytes, bytes]:
    """`length key=value` lines, where length counts the whole line."""
    records: dict[bytes, bytes] = {}
    start = 0
    while start < len(data) and data[start] != 0:
        match = _PAX_RECORD.match(data, start)
        end = start + int(match[1]) if match else 0
        if match is None or data[end - 1 : end] != b"\n":
            raise _damaged(archive, position)
        key, _, value = data[match.end() : end - 1].partition(b"=")
        records[key] = value
        start = end
    return records


def _pax_size(records: dict[bytes, bytes], archive: str, position: int) -> int | None:
    stated = records.get(b"size")
    if stated is None:
        return None
    if re.fullmatch(rb"[0-9]{1,18}", stated) is None:
        raise _damaged(archive, position)
    return int(stated)


def _name(header: bytes) -> str:
    name = header[:100].split(b"\0")[0]
    prefix = header[345:500].split(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return _text(prefix + b"/" + name if prefix else name)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _damaged(archive: str, position: int) -> UsageError:
    if position == 0:
        return UsageError(
            f"{archive} is not a tar archive", "Compressed archives have to be uncompressed first"
        )
    return UsageError(f"{archive} is damaged at byte {position:,}", "Download it again")
