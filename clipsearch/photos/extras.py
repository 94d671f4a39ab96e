"""Photos that optional packages decode: HEIC/HEIF through pillow-heif, RAW through rawpy."""

import io
from typing import Any

from PIL import Image

from clipsearch.errors import DamagedPhoto
from clipsearch.photos import exif as exif_entries
from clipsearch.photos import formats
from clipsearch.photos.decoded import DecodedPhoto
from clipsearch.photos.limits import ReadLimits
from clipsearch.photos.memory import require_memory, require_size

_WIDEST_VALUE = 65_535


def decode_heif(data: bytes, limits: ReadLimits) -> DecodedPhoto:
    """The primary picture of a HEIF file.

    libheif turns it upright by the file's own transformations; the EXIF orientation, which
    phones write as well, must then be left alone (HEIF specification, ISO/IEC 23008-12).
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise formats.missing_extra("HEIF") from error
    # Threads would only multiply the memory: the reader has its own worker for each core.
    pillow_heif.options.DECODE_THREADS = 1
    file = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
    width, height = file.size
    require_size((width, height), limits)
    require_memory((width, height), len(data) + 9.0 * width * height, limits)
    image: Image.Image = file.to_pillow()
    raw_exif = file.info.get("exif")
    exif = exif_entries.parse_exif(raw_exif) if raw_exif else Image.Exif()
    return DecodedPhoto(image, (width, height), exif)


def decode_raw(data: bytes, limits: ReadLimits) -> DecodedPhoto:
    """A RAW photo developed with the camera's white balance, never its embedded preview.

    Developed at half size where the file allows it: four sensor values make one pixel, which is
    both faster and freer of artefacts than guessing the missing two thirds of the colours.
    """
    try:
        import rawpy
    except ImportError as error:
        raise formats.missing_extra("RAW") from error
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            sizes = raw.sizes
            width, height = sizes.iwidth, sizes.iheight
            require_size((width, height), limits)
            require_memory((width, height), len(data) + 10.0 * width * height, limits)
            pixels = raw.postprocess(
                use_camera_wb=True, half_size=True, output_bps=8, user_sat=_white_level(raw)
            )
    except rawpy.LibRawError as error:
        reason = error.args[0] if error.args else "cannot be decoded"
        text = reason.decode("ascii", "replace") if isinstance(reason, bytes) else str(reason)
        raise DamagedPhoto(f"damaged RAW photo: {text}") from error
    image = Image.fromarray(pixels)
    # LibRaw turns the picture upright; its stated size is the one before that when flip is 5 or 6.
    stated = (height, width) if sizes.flip in (5, 6) else (width, height)
    return DecodedPhoto(image, _full_size(stated, image.size), exif_entries.parse_exif(data))


def _full_size(stated: tuple[int, int], developed: tuple[int, int]) -> tuple[int, int]:
    """The stated size, unless it is not a multiple of the developed one (turned sensors)."""
    factor = max(1, round(stated[0] / developed[0]))
    fits = all(abs(stated[i] - factor * developed[i]) <= factor for i in (0, 1))
    return stated if fits else developed


def _white_level(raw: Any) -> int | None:
    """The value to take for white where the one LibRaw states is wrong, else None.

    Film scanners' NEF files hold finished colours of 8 bits, which LibRaw widens to 16 without
    widening their white: everything above 1/256 would be white.
    """
    if raw.num_colors != 3 or raw.raw_image_visible.ndim != 3:
        return None
    return _WIDEST_VALUE if int(raw.raw_image_visible.max()) > raw.white_level else None
