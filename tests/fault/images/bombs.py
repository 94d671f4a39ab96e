"""Small files, or large ones, that would cost a careless reader gigabytes or minutes."""

import io
import struct
import zlib
from collections.abc import Callable

from PIL import Image

from tests.photos.samples import encoded, noise

MANY = 100_000


def chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk (ISO/IEC 15948, section 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, data: bytes | None = None) -> bytes:
    """A grey PNG of one bit a pixel; `data` are the filtered rows, else all black."""
    if data is None:
        data = zeros(height * (1 + (width + 7) // 8))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    parts = [b"\x89PNG\r\n\x1a\n", head, *chunks, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"".join(parts)


def zeros(length: int) -> bytes:
    """So many zero bytes, compressed as far as they go."""
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    parts = [packer.compress(block) for _ in range(length >> 20)]
    parts.append(packer.compress(bytes(length & ((1 << 20) - 1))))
    return b"".join([*parts, packer.flush()])


def vast_png() -> bytes:
    return png(60_000, 60_000)


def vast_rgba_png() -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 15_000, 16_000, 16, 6, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zeros(1 << 20)) + chunk(b"IEND", b"")


def vast_gif() -> bytes:
    data = bytearray(encoded(Image.new("L", (8, 8)), "GIF"))
    data[6:10] = struct.pack("<HH", 65_535, 65_535)
    return bytes(data)


def gif_with_a_vast_frame() -> bytes:
    data = bytearray(encoded(Image.new("L", (8, 8)), "GIF"))
    at = data.index(b"\x2c\0\0\0\0\x08\0\x08\0")
    data[at + 5 : at + 9] = struct.pack("<HH", 65_535, 65_535)
    return bytes(data)


def gif_of_many_frames() -> bytes:
    data = encoded(Image.new("L", (8, 8)), "GIF")
    start = data.index(b"\x2c\0\0\0\0\x08\0\x08\0")
    frame = data[start:-1]
    return data[:start] + frame * MANY + b";"


def apng_of_many_frames() -> bytes:
    control = chunk(b"acTL", struct.pack(">II", MANY, 0))
    pixels = zlib.compress(bytes(8 * 2))
    frames = [control]
    for number in range(0, 2 * MANY, 2):
        place = struct.pack(">IIIIIHHBB", number, 8, 8, 0, 0, 1, 10, 0, 0)
        frames.append(chunk(b"fcTL", place))
        frames.append(chunk(b"fdAT", struct.pack(">I", number + 1) + pixels))
    whole = png(8, 8, data=pixels)
    at = whole.index(b"IEND") - 4
    return whole[:33] + frames[0] + whole[33:at] + b"".join(frames[1:]) + whole[at:]


def vast_apng_frames() -> bytes:
    control = chunk(b"acTL", struct.pack(">II", 0xFFFFFFF, 0))
    place = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 60_000, 60_000, 0, 0, 1, 10, 0, 0))
    return png(8, 8, control, place, data=zlib.compress(bytes(8 * 2)))


def ifd(entries: list[tuple[int, int, int, int]], following: int) -> bytes:
    """A little-endian TIFF directory of (tag, type, count, value) entries."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return struct.pack("<H", len(entries)) + body + struct.pack("<I", following)


def tiff_entries(width: int, height: int, offset: int) -> list[tuple[int, int, int, int]]:
    """A grey strip of 8 bits a pixel at `offset`."""
    strip = [(273, 4, 1, offset), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, width * height)]
    return [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1),
            (262, 3, 1, 1), *strip]  # fmt: skip


def tiff(*directories: bytes) -> bytes:
    """A TIFF file: 64 grey pixels, then the directories, of which the first is the photo's."""
    return b"II*\0" + struct.pack("<I", 72) + bytes(range(64)) + b"".join(directories)


def vast_tiff() -> bytes:
    return tiff(ifd(tiff_entries(60_000, 60_000, 8), 0))


def tiff_of_many_pages() -> bytes:
    length = 2 + 9 * 12 + 4
    pages = [ifd(tiff_entries(8, 8, 8), 72 + length * (page + 1)) for page in range(MANY)]
    return tiff(*pages, ifd(tiff_entries(8, 8, 8), 0))


def tiff_that_leads_back() -> bytes:
    return tiff(ifd(tiff_entries(8, 8, 8), 72))


def tiff_with_itself_inside() -> bytes:
    inside = [(330, 4, 1, 72), (34665, 4, 1, 72), (34853, 4, 1, 72)]
    return tiff(ifd([*tiff_entries(8, 8, 8), *inside], 72))


def tiff_of_nested_directories() -> bytes:
    length = 2 + 10 * 12 + 4
    deep = [
        ifd([*tiff_entries(8, 8, 8), (330, 4, 1, 72 + length * (depth + 1))], 0)
        for depth in range(MANY)
    ]
    return tiff(*deep, ifd(tiff_entries(8, 8, 8), 0))


def tiff_with_vast_entry() -> bytes:
    return tiff(ifd([*tiff_entries(8, 8, 8), (270, 2, 0xFFFFFFF0, 8)], 0))


def png_with_long_text() -> bytes:
    return png(8, 8, chunk(b"tEXt", b"Comment\0" + b"a" * 100_000_000))


def png_with_packed_text() -> bytes:
    return png(8, 8, chunk(b"zTXt", b"Comment\0\0" + zeros(300_000_000)))


def png_with_many_texts() -> bytes:
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1_000_000), 9))
    return png(8, 8, *[text] * 5000)


def png_with_packed_profile() -> bytes:
    return png(8, 8, chunk(b"iCCP", b"profile\0\0" + zeros(300_000_000)))


def png_with_long_exif() -> bytes:
    nonsense = b"II*\0\x08\0\0\0" + struct.pack("<H", 0xFFFF) + b"\x0f\x01" * 50_000_000
    return png(8, 8, chunk(b"eXIf", nonsense))


def jpeg_with_many_profiles() -> bytes:
    data = encoded(noise(16, 16), "JPEG")
    segments = [
        b"\xff\xe2" + struct.pack(">H", 65_535) + b"ICC_PROFILE\0" + bytes([i, 255]) + bytes(65_519)
        for i in range(1, 256)
    ]
    return data[:2] + b"".join(segments * 6) + data[2:]


def vast_jpeg() -> bytes:
    data = bytearray(encoded(noise(16, 16), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 65_500, 65_500)
    return bytes(data)


def jpeg_of_endless_scans() -> bytes:
    """A progressive JPEG whose last scan comes again and again, over many pixels."""
    stream = io.BytesIO()
    Image.new("L", (4000, 4000)).save(stream, "JPEG", progressive=True, quality=1)
    data = stream.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * 2000 + data[-2:]


def vast_webp() -> bytes:
    lossless = struct.pack("<BI", 0x2F, (16_383 - 1) | (16_383 - 1) << 14) + bytes(4000)
    body = b"VP8L" + struct.pack("<I", len(lossless)) + lossless + b"\0"
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def vast_bmp() -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head + bytes(4000)


def packed_bmp() -> bytes:
    """Run-length encoded: a few bytes stand for 10,800,000,000 pixels."""
    head = struct.pack("<IiiHHIIiiII", 40, 60_000, 60_000, 1, 8, 1, 0, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54 + 1024) + head + bytes(1024) + b"\xff\0" * 4000


def vast_avif() -> bytes:
    data = encoded(noise(64, 48), "AVIF")
    return data.replace(struct.pack(">II", 64, 48), struct.pack(">II", 60_000, 60_000))


# Must be refused before anything is decoded.
REFUSED: dict[str, Callable[[], bytes]] = {
    "vast.png": vast_png,
    "vast-rgba.png": vast_rgba_png,
    "vast.gif": vast_gif,
    "vast-frame.gif": gif_with_a_vast_frame,
    "vast.tiff": vast_tiff,
    "vast.jpg": vast_jpeg,
    "vast.webp": vast_webp,
    "vast.bmp": vast_bmp,
    "packed.bmp": packed_bmp,
    "long-text.png": png_with_long_text,
    "packed-text.png": png_with_packed_text,
    "many-texts.png": png_with_many_texts,
    "packed-profile.png": png_with_packed_profile,
    "endless-scans.jpg": jpeg_of_endless_scans,
}
# Refused or damaged, or their first picture is read and what is beyond it costs nothing.
HARMLESS: dict[str, Callable[[], bytes]] = {
    "many-frames.gif": gif_of_many_frames,
    "many-frames.png": apng_of_many_frames,
    "vast-frames.png": vast_apng_frames,
    "many-pages.tiff": tiff_of_many_pages,
    "leads-back.tiff": tiff_that_leads_back,
    "itself-inside.tiff": tiff_with_itself_inside,
    "nested.tiff": tiff_of_nested_directories,
    "vast-entry.tiff": tiff_with_vast_entry,
    "long-exif.png": png_with_long_exif,
    "many-profiles.jpg": jpeg_with_many_profiles,
    "vast.avif": vast_avif,
}
