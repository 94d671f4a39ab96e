"""The bytes of one photo to its facts and the pixels of an image tower."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from clipsearch.errors import DamagedPhoto, PhotoError, RefusedPhoto
from clipsearch.photos import colour, exif, formats, tiff
from clipsearch.photos.decoded import DecodedPhoto
from clipsearch.photos.extras import decode_heif, decode_raw
from clipsearch.photos.limits import ReadLimits
from clipsearch.photos.pillow_decoding import decode_with_pillow
from clipsearch.photos.resize import to_pixels
from clipsearch.types import PhotoFacts, Pixels, Preprocess

_STANDARD_LIMITS = ReadLimits()


def decode(
    data: bytes,
    preprocess: Preprocess,
    *,
    path: bytes = b"",
    limits: ReadLimits = _STANDARD_LIMITS,
) -> tuple[PhotoFacts, Pixels]:
    """The facts of a photo and its (height, width, 3) uint8 pixels for the tower.

    `data` is the whole file; `path` only matters where a name decides (see formats and tiff).
    Large JPEGs are decoded at a fraction of their size. Raises PhotoError.
    """
    name = _format_of(data, path)
    with _decoding(name, limits):
        photo = _decode_as(name, data, limits, preprocess)
        image = colour.to_rgb(photo.image)
        pixels = to_pixels(image, preprocess, full_size=photo.full_size, box=photo.box)
        return _facts(photo, name), pixels


def open_photo(
    data: bytes, *, path: bytes = b"", limits: ReadLimits = _STANDARD_LIMITS
) -> Image.Image:
    """The whole photo, upright, RGB, at full size (RAW photos at half). Raises PhotoError."""
    name = _format_of(data, path)
    with _decoding(name, limits):
        return colour.to_rgb(_decode_as(name, data, limits, None).image)


def _format_of(data: bytes, path: bytes) -> str:
    if not data:
        raise DamagedPhoto("empty file")
    name = formats.require_photo(data[:4096], path)
    if name == "TIFF" and tiff.is_raw(data, path):
        formats.require_extra("RAW")
        return "RAW"
    return name


@contextmanager
def _decoding(name: str, limits: ReadLimits) -> Iterator[None]:
    """Translate what decoders raise and keep their warnings: Pillow warns of odd metadata."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except PhotoError:
        raise
    except MemoryError as error:
        most = limits.memory_bytes / 1_000_000
        raise RefusedPhoto(f"decoding needs more than {most:.0f} MB") from error
    except Image.DecompressionBombError as error:
        raise RefusedPhoto(_plain(error)) from error
    except UnidentifiedImageError as error:
        raise DamagedPhoto(f"damaged {name}: its header cannot be read") from error
    except Exception as error:
        if "MAX_TEXT_CHUNK" in str(error):
            raise RefusedPhoto("a text in the PNG is over Pillow's limit of 1 MB") from error
        if "MAX_TEXT_MEMORY" in str(error):
            raise RefusedPhoto("the texts in the PNG are over Pillow's limit of 64 MB") from error
        # Decoders answer damaged bytes with nearly every exception there is. None of them may
        # cost more than this photo, and all of them mean the same.
        raise DamagedPhoto(f"damaged {name}: {_plain(error)}") from error


def _decode_as(
    name: str, data: bytes, limits: ReadLimits, preprocess: Preprocess | None
) -> DecodedPhoto:
    if name == "HEIF":
        return decode_heif(data, limits)
    if name == "RAW":
        return decode_raw(data, limits)
    return decode_with_pillow(name, data, limits, preprocess)


def _facts(photo: DecodedPhoto, name: str) -> PhotoFacts:
    place = exif.position(photo.exif)
    return PhotoFacts(
        format=name,
        width=photo.full_size[0],
        height=photo.full_size[1],
        taken_at=exif.taken_at(photo.exif),
        camera=exif.camera(photo.exif),
        latitude=place[0] if place else None,
        longitude=place[1] if place else None,
    )


def _plain(error: Exception) -> str:
    """The error's words on one line, without addresses of objects: they differ on every run."""
    text = re.sub(r"<[^>]* at 0x[0-9a-f]+>", "the file", str(error)) or type(error).__name__
    return " ".join(text.split())[:200]
