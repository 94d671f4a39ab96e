"""Whether the end of a file is there, where its decoder never looks for it.

Pillow stops reading at the last pixel it wants. A GIF or PNG file that was cut behind that would
pass for whole, and so would an animation that lost most of its frames.
Layout: GIF89a specification, sections 17 to 27; ISO/IEC 15948 (PNG), section 5.3.
"""

from clipsearch.errors import DamagedPhoto

_GIF_HEADER = 13
_GIF_FRAME = 10
_EXTENSION, _FRAME, _TRAILER = 0x21, 0x2C, 0x3B
_PNG_SIGNATURE = 8
# Length, type and checksum around the data of a chunk.
_PNG_AROUND = 12


def require_end(name: str, data: bytes) -> None:
    """Raise DamagedPhoto when a GIF or PNG file (`name` is the format) breaks off."""
    is_cut = {"GIF": _is_cut_gif, "PNG": _is_cut_png}.get(name)
    if is_cut is not None and is_cut(data):
        raise DamagedPhoto(f"damaged {name}: the end of the file is missing")


def _is_cut_png(data: bytes) -> bool:
    position = _PNG_SIGNATURE
    while position + _PNG_AROUND <= len(data):
        if data[position + 4 : position + 8] == b"IEND":
            return False
        position += _PNG_AROUND + int.from_bytes(data[position : position + 4], "big")
    return True


def _is_cut_gif(data: bytes) -> bool:
    position = _GIF_HEADER + _table_size(data[10:11])
    while position < len(data):
        kind = data[position]
        if kind == _TRAILER:
            return False
        if kind == _EXTENSION:
            position = _after_blocks(data, position + 2)
        elif kind == _FRAME:
            table = _table_size(data[position + 9 : position + 10])
            position = _after_blocks(data, position + _GIF_FRAME + table + 1)
        else:
            # Some programs leave bytes between the blocks; decoders go over them.
            position += 1
    return True


def _table_size(flags: bytes) -> int:
    """The length of the colour table that a flags byte announces."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _after_blocks(data: bytes, position: int) -> int:
    """Where a chain of blocks ends: each begins with its length, the last one is empty."""
    while position < len(data) and data[position]:
        position += data[position] + 1
    return position + 1
