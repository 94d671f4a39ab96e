"""The bytes of one photo to its facts and the pixels of an image tower."""

import io
import re
import warnings

from PIL import Image, UnidentifiedImageError

from clipsearch.errors import DamagedPhoto, PhotoError, RefusedPhoto
from clipsearch.photos import colour, exif, formats, tiff
from clipsearch.photos.extras import DecodedPhoto, decode_heif, decode_raw
from clipsearch.photos.limits import ReadLimits
from clipsearch.photos.memory import require_affordable
from clipsearch.photos.resize import resized_size, to_pixels
from clipsearch.types import PhotoFacts, Pixels, Preprocess

# Scaled decoding keeps at least this many times the size that the photo is resized to, so that
# the resize still has enough to filter and the embedding stays what it would have been.
_DECODING_MARGIN = 2

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
    photo, name = _open(data, path, limits, preprocess)
    pixels = to_pixels(photo.image, preprocess)
    return _facts(photo, name), pixels


def open_photo(
    data: bytes, *, path: bytes = b"", limits: ReadLimits = _STANDARD_LIMITS
) -> Image.Image:
    """The whole photo, upright, RGB, at full size (RAW photos at half). Raises PhotoError."""
    photo, _ = _open(data, path, limits, None)
    return photo.image


def _open(
    data: bytes, path: bytes, limits: ReadLimits, preprocess: Preprocess | None
) -> tuple[DecodedPhoto, str]:
    if not data:
        raise DamagedPhoto("empty file")
    name = formats.require_photo(data[:4096], path)
    if name == "TIFF" and tiff.is_raw(data, path):
        name = "RAW"
        formats.require_extra(name)
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata and of large photos; neither is for the user to read.
            warnings.simplefilter("ignore")
            photo = _decode_as(name, data, limits, preprocess)
            return DecodedPhoto(colour.to_rgb(photo.image), photo.full_size, photo.exif), name
    except PhotoError:
        raise
    except (MemoryError, Image.DecompressionBombError) as error:
        reason = str(error) or f"decoding needs over {limits.memory_bytes // 1_000_000} MB"
        raise RefusedPhoto(reason[0].lower() + reason[1:]) from error
    except UnidentifiedImageError as error:
        raise DamagedPhoto(f"damaged {name}: its header cannot be read") from error
    except Exception as error:
        if "MAX_TEXT_CHUNK" in str(error):
            raise RefusedPhoto("a text in the PNG is over Pillow's limit of 1 MB") from error
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
    return _decode_with_pillow(name, data, limits, preprocess)


def _decode_with_pillow(
    name: str, data: bytes, limits: ReadLimits, preprocess: Preprocess | None
) -> DecodedPhoto:
    """The first picture of the file; Pillow gives no other unless it is asked to seek."""
    formats.load_plugin(name)
    with Image.open(io.BytesIO(data), formats=(name,)) as image:
        require_affordable(image.size, bytes_per_pixel=0, data=data, limits=limits)
        full_size = image.size
        if preprocess is not None and name == "JPEG":
            _scale_decoding(image, exif.transposition(exif.read_exif(image)), preprocess)
        require_affordable(
            image.size, bytes_per_pixel=_bytes_per_pixel(image), data=data, limits=limits
        )
        image.load()
        # Only now: of some formats Pillow decodes all there is when it is asked for EXIF data, and
        # what goes wrong then must not pass for damaged EXIF.
        entries = exif.read_exif(image)
        turned = exif.transposition(entries)
    if name == "TIFF":
        # Pillow turns TIFF photos upright while it loads them, and no others.
        return DecodedPhoto(image, image.size, entries)
    if turned is None:
        return DecodedPhoto(image, full_size, entries)
    upright = image.transpose(turned)
    upright.info = image.info
    return DecodedPhoto(upright, full_size[::-1] if _swaps_sides(turned) else full_size, entries)


def _swaps_sides(turned: Image.Transpose | None) -> bool:
    return turned in (
        Image.Transpose.TRANSPOSE,
        Image.Transpose.TRANSVERSE,
        Image.Transpose.ROTATE_90,
        Image.Transpose.ROTATE_270,
    )


def _scale_decoding(
    image: Image.Image, turned: Image.Transpose | None, preprocess: Preprocess
) -> None:
    """Let libjpeg leave out detail that the resize would throw away (1/2, 1/4 or 1/8)."""
    upright = image.size[::-1] if _swaps_sides(turned) else image.size
    width, height = resized_size(upright, preprocess)
    if _swaps_sides(turned):
        width, height = height, width
    image.draft(None, (_DECODING_MARGIN * width, _DECODING_MARGIN * height))


def _bytes_per_pixel(image: Image.Image) -> float:
    """What decoding and turning to upright RGB hold at once; Pillow keeps RGB in four bytes."""
    if image.mode in ("1", "L"):
        return 6
    if image.mode == "RGB" and "transparency" not in image.info:
        return 8
    return 10


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
