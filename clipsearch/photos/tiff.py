"""Tell a camera's RAW file from a TIFF picture: both are TIFF files, both hold a small preview.

Tag numbers and values: TIFF 6.0, TIFF/EP (ISO 12234-2) and Adobe's DNG specification.
"""

import struct
from collections.abc import Iterator

_COMPRESSION = 259
_PHOTOMETRIC = 262
_SUB_IFDS = 330
_DNG_VERSION = 50706

_COLOUR_FILTER_ARRAY = 32803
_LINEAR_RAW = 34892
# Sony, Nikon, Pentax, Kodak, Samsung: ways of packing sensor values, never of packing pictures.
_RAW_COMPRESSIONS = frozenset((32767, 32769, 32770, 34713, 65000, 65535))

_RAW_EXTENSIONS = (
    b".dng .nef .nrw .arw .srf .sr2 .cr2 .pef .srw .3fr .fff .iiq .erf .mef .mos .kdc .dcr .rwl"
    b" .gpr .raw"
).split()

# A RAW file has a handful of directories with some dozens of entries; a hostile file may loop.
_MOST_IFDS = 16
_MOST_ENTRIES = 512
_SIZES = {1: 1, 3: 2, 4: 4, 13: 4}


def is_raw(data: bytes, path: bytes) -> bool:
    """Whether the TIFF file `data`, named `path`, is a RAW photo.

    The content decides where it can. A TIFF file with a RAW format's name is taken for RAW too:
    decoding it as a picture would at best give its preview.
    """
    if path.lower().endswith(tuple(_RAW_EXTENSIONS)):
        return True
    return any(_describes_raw(ifd) for ifd in _ifds(data))


def _describes_raw(ifd: dict[int, tuple[int, ...]]) -> bool:
    if _DNG_VERSION in ifd:
        return True
    photometric = ifd.get(_PHOTOMETRIC, (0,))[0]
    compression = ifd.get(_COMPRESSION, (0,))[0]
    return photometric in (_COLOUR_FILTER_ARRAY, _LINEAR_RAW) or compression in _RAW_COMPRESSIONS


def _ifds(data: bytes) -> Iterator[dict[int, tuple[int, ...]]]:
    """The first directory of a classic TIFF file and those below it."""
    if data[:4] not in (b"II*\x00", b"MM\x00*") or len(data) < 8:
        return
    order = "<" if data[:2] == b"II" else ">"
    waiting = [struct.unpack_from(order + "I", data, 4)[0]]
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_IFDS:
        offset = waiting.pop(0)
        if offset in seen:
            continue
        seen.add(offset)
        ifd = _read_ifd(data, offset, order)
        waiting.extend(ifd.get(_SUB_IFDS, ()))
        yield ifd


def _read_ifd(data: bytes, offset: int, order: str) -> dict[int, tuple[int, ...]]:
    """The integer entries of one directory; what lies outside the file is left out."""
    entries: dict[int, tuple[int, ...]] = {}
    if offset + 2 > len(data):
        return entries
    (count,) = struct.unpack_from(order + "H", data, offset)
    for at in range(offset + 2, offset + 2 + 12 * min(count, _MOST_ENTRIES), 12):
        if at + 12 > len(data):
            break
        tag, kind, number = struct.unpack_from(order + "HHI", data, at)
        size = _SIZES.get(kind)
        if size is None or not 0 < number <= _MOST_IFDS:
            continue
        place = at + 8
        if size * number > 4:
            (place,) = struct.unpack_from(order + "I", data, at + 8)
        if place + size * number <= len(data):
            letter = {1: "B", 2: "H", 4: "I"}[size]
            entries[tag] = struct.unpack_from(f"{order}{number}{letter}", data, place)
    return entries
