"""Photos that optional packages decode: HEIC/HEIF through pillow-heif, RAW through rawpy."""

import io
from dataclasses import dataclass

from PIL import Image

from clipsearch.errors import DamagedPhoto
from clipsearch.photos import exif as exif_entries
from clipsearch.photos import formats
from clipsearch.photos.limits import ReadLimits
from clipsearch.photos.memory import require_affordable


@dataclass(frozen=True, slots=True)
class DecodedPhoto:
    """A photo upright and decoded, its full (width, height), and its EXIF entries."""

    image: Image.Image
    full_size: tuple[int, int]
    exif: Image.Exif


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
    require_affordable((width, height), bytes_per_pixel=14, data=data, limits=limits)
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
            require_affordable((width, height), bytes_per_pixel=10, data=data, limits=limits)
            pixels = raw.postprocess(use_camera_wb=True, half_size=True, output_bps=8)
    except rawpy.LibRawError as error:
        reason = error.args[0] if error.args else "cannot be decoded"
        text = reason.decode("ascii", "replace") if isinstance(reason, bytes) else str(reason)
        raise DamagedPhoto(f"damaged RAW photo: {text}") from error
    # LibRaw turns the picture upright; its stated size is the one before that when flip is 5 or 6.
    if sizes.flip in (5, 6):
        width, height = height, width
    return DecodedPhoto(Image.fromarray(pixels), (width, height), exif_entries.parse_exif(data))
