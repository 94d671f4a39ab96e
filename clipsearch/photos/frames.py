"""Messages between the reader and its workers: a JSON header and raw bytes, never a pickle."""

import json
import struct
from typing import Any, BinaryIO

_LENGTHS = struct.Struct(">II")
_MOST_HEADER = 65_536
_MOST_BODY = 64_000_000

Header = dict[str, Any]


class BrokenFrameError(Exception):
    """The other side sent something that is no message, or ended in the middle of one."""


def send(stream: BinaryIO, header: Header, body: bytes | memoryview = b"") -> None:
    """Write one message and flush it. Raises OSError when the other side is gone."""
    text = json.dumps(header).encode("ascii")
    stream.write(_LENGTHS.pack(len(text), len(body)) + text)
    stream.write(body)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[Header, bytearray] | None:
    """The next message, None at the end of the stream. The body is writable."""
    first = stream.read(_LENGTHS.size)
    if not first:
        return None
    if len(first) < _LENGTHS.size:
        raise BrokenFrameError("a message without its lengths")
    header_length, body_length = _LENGTHS.unpack(first)
    if header_length > _MOST_HEADER or body_length > _MOST_BODY:
        raise BrokenFrameError("a message over the limit")
    try:
        header = json.loads(_exactly(stream, header_length))
    except ValueError as error:
        raise BrokenFrameError("a message without a header") from error
    if not isinstance(header, dict):
        raise BrokenFrameError("a message without a header")
    return header, _exactly(stream, body_length)


def _exactly(stream: BinaryIO, length: int) -> bytearray:
    data = bytearray(length)
    view = memoryview(data)
    filled = 0
    while filled < length:
        count = stream.readinto(view[filled:])  # type: ignore[attr-defined]
        if not count:
            raise BrokenFrameError("a message that ends early")
        filled += count
    return data
