"""What a camera wrote into a photo. Damaged or odd entries count as not there."""

import math
import struct
from datetime import datetime
from typing import Any

from PIL import ExifTags, Image

# What Pillow raises over damaged EXIF data, which says nothing about the picture itself.
_BAD_EXIF = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    ArithmeticError,
    SyntaxError,
    EOFError,
    RuntimeError,
    struct.error,
)
_TEXT_LENGTH = 100

_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_exif(image: Image.Image) -> Image.Exif:
    """The EXIF entries of an opened photo, none when they cannot be read."""
    try:
        return image.getexif()
    except _BAD_EXIF:
        return Image.Exif()


def parse_exif(data: bytes) -> Image.Exif:
    """The EXIF entries of raw EXIF bytes or of a whole TIFF-like file, none when unreadable."""
    exif = Image.Exif()
    try:
        exif.load(data)
    except _BAD_EXIF:
        return Image.Exif()
    return exif


def transposition(exif: Image.Exif) -> Image.Transpose | None:
    """What turns the stored picture upright, None when nothing does or the entry is invalid."""
    value = _entry(exif, ExifTags.Base.Orientation)
    return _TRANSPOSITIONS.get(value) if isinstance(value, int) else None


def taken_at(exif: Image.Exif) -> datetime | None:
    """When the shutter was pressed, as the camera's clock showed it: local time, no zone."""
    original = _sub_entry(exif, ExifTags.IFD.Exif, ExifTags.Base.DateTimeOriginal)
    return _moment(original) or _moment(_entry(exif, ExifTags.Base.DateTime))


def camera(exif: Image.Exif) -> str | None:
    """Maker and model as one name, the maker only once: "Canon EOS R5", not "Canon Canon ..."."""
    make = _text(_entry(exif, ExifTags.Base.Make))
    model = _text(_entry(exif, ExifTags.Base.Model))
    if not make or not model:
        return make or model or None
    # "NIKON CORPORATION" makes a "NIKON D700".
    if model.lower().split()[0] == make.lower().split()[0]:
        return model
    return f"{make} {model}"


def position(exif: Image.Exif) -> tuple[float, float] | None:
    """(latitude, longitude) in decimal degrees, north and east positive."""
    gps = ExifTags.IFD.GPSInfo
    latitude = _degrees(
        _sub_entry(exif, gps, ExifTags.GPS.GPSLatitude),
        _sub_entry(exif, gps, ExifTags.GPS.GPSLatitudeRef),
        most=90.0,
    )
    longitude = _degrees(
        _sub_entry(exif, gps, ExifTags.GPS.GPSLongitude),
        _sub_entry(exif, gps, ExifTags.GPS.GPSLongitudeRef),
        most=180.0,
    )
    if latitude is None or longitude is None:
        return None
    return latitude, longitude


def _entry(exif: Image.Exif, tag: int) -> Any:
    try:
        return exif.get(tag)
    except _BAD_EXIF:
        return None


def _sub_entry(exif: Image.Exif, ifd: int, tag: int) -> Any:
    try:
        return exif.get_ifd(ifd).get(tag)
    except _BAD_EXIF:
        return None


def _text(value: Any) -> str:
    """An EXIF text on one line without control characters, at most 100 characters long."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return ""
    value = value.partition("\x00")[0]
    printable = "".join(letter if letter.isprintable() else " " for letter in value)
    return " ".join(printable.split())[:_TEXT_LENGTH].rstrip()


def _moment(value: Any) -> datetime | None:
    """EXIF's "2023:06:01 17:30:00"; some programs write dashes, slashes or a T instead."""
    text = _text(value).replace("-", ":").replace("/", ":").replace("T", " ")
    try:
        return datetime.strptime(text[:19], "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None


def _degrees(value: Any, reference: Any, most: float) -> float | None:
    """Degrees, minutes and seconds (any of the last two may be absent) as one number."""
    try:
        parts = [float(part) for part in value]
    except _BAD_EXIF:
        return None
    if not 1 <= len(parts) <= 3:
        return None
    degrees: float = sum(part / 60**place for place, part in enumerate(parts))
    if not math.isfinite(degrees) or not 0.0 <= degrees <= most:
        return None
    return -degrees if _text(reference).upper()[:1] in ("S", "W") else degrees
