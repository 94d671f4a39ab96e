"""The size of a WebP picture, told before its decoder reserves memory for it.

libwebp reserves the whole canvas when a file is opened: one over the limit would pass for damaged.
Layout: WebP container and lossless bitstream specifications; RFC 6386, section 9.1.
"""

_CANVAS = b"VP8X"
_LOSSLESS = b"VP8L"
_LOSSY = b"VP8 "


def declared_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) as the header of a WebP file states them, None where it states none."""
    kind, head = data[12:16], data[20:30]
    if len(head) < 10:
        return None
    if kind == _CANVAS:
        return 1 + _number(head[4:7]), 1 + _number(head[7:10])
    if kind == _LOSSLESS:
        packed = _number(head[1:5])
        return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    if kind == _LOSSY:
        return _number(head[6:8]) & 0x3FFF, _number(head[8:10]) & 0x3FFF
    return None


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")
