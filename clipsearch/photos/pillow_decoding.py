"""JPEG, PNG, WebP, GIF, TIFF, BMP and AVIF photos through Pillow, upright, at a sensible size."""

import io

from PIL import Image

from clipsearch.errors import DamagedPhoto, RefusedPhoto
from clipsearch.photos import exif, formats, webp
from clipsearch.photos.complaints import collect_complaints
from clipsearch.photos.decoded import DecodedPhoto
from clipsearch.photos.endings import require_end
from clipsearch.photos.limits import ReadLimits
from clipsearch.photos.memory import require_memory, require_size
from clipsearch.photos.resize import Box, resized_size
from clipsearch.types import Preprocess

# Scaled decoding keeps at least this many times the size that the photo is resized to, so that
# the resize still has enough to filter and the embedding stays what it would have been.
_DECODING_MARGIN = 2

# Photos below this are never shrunk before the resize, which then equals open_clip's to the bit.
_HUGE_PIXELS = 25_000_000
# What decoding holds of a WebP picture, in bytes a pixel.
_WEBP_BYTES = 12.0
# A progressive JPEG has some ten scans, and each of them goes over the whole photo: a small file
# with thousands would take minutes.
_MOST_SCANS = 200
_START_OF_SCAN = b"\xff\xda"
_REDUCIBLE_MODES = ("L", "RGB", "RGBA", "CMYK")

# What each way of turning does to the stored columns and rows, before it swaps them or not.
_MIRROR_COLUMNS = (
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_90,
    Image.Transpose.TRANSVERSE,
)
_MIRROR_ROWS = (
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
)


def decode_with_pillow(
    name: str, data: bytes, limits: ReadLimits, preprocess: Preprocess | None
) -> DecodedPhoto:
    """The first picture of a file of the format `name`; later frames and pages are not touched.

    With `preprocess`, at a fraction of its size where that is large enough for it. Raises
    PhotoError for what is over a limit, and whatever Pillow raises for damaged bytes.
    """
    formats.load_plugin(name)
    if name == "WEBP":
        _require_canvas(data, limits)
    with Image.open(io.BytesIO(data), formats=(name,)) as image:
        full_size = image.size
        require_size(full_size, limits)
        box: Box | None = None
        if preprocess is not None and name == "JPEG":
            box = _scale_decoding(image, exif.transposition(exif.read_exif(image)), preprocess)
        needed = _needed_bytes(image, name, full_size, whole=preprocess is None)
        require_memory(full_size, len(data) + needed, limits)
        if image.info.get("progressive") and data.count(_START_OF_SCAN) > _MOST_SCANS:
            raise RefusedPhoto(f"a progressive JPEG of over {_MOST_SCANS} scans")
        if name == "TIFF":
            _load_strictly(image)
        else:
            image.load()
        require_end(name, data)
        # Only now: of some formats Pillow decodes all there is when it is asked for EXIF data, and
        # what goes wrong then must not pass for damaged EXIF.
        entries = exif.read_exif(image)
    if name == "TIFF":
        # Pillow turns these upright while it loads them, and no others.
        turned, full_size = None, image.size
    else:
        turned = exif.transposition(entries)
    decoded: Image.Image = image
    if preprocess is not None:
        decoded = _shrink(decoded, turned, preprocess)
    if turned is not None:
        box = _turned_box(box, decoded.size, turned)
        decoded = decoded.transpose(turned)
        decoded.info = image.info
    upright_size = full_size[::-1] if _swaps_sides(turned) else full_size
    return DecodedPhoto(decoded, upright_size, entries, box)


def _require_canvas(data: bytes, limits: ReadLimits) -> None:
    """Refuse a WebP picture that is over a limit before libwebp reserves memory for it."""
    size = webp.declared_size(data)
    if size is not None:
        require_size(size, limits)
        require_memory(size, len(data) + _WEBP_BYTES * size[0] * size[1], limits)


def _load_strictly(image: Image.Image) -> None:
    """Load a TIFF file, and take libtiff's mere mention of damage for the failure that it is."""
    with collect_complaints() as complaints:
        image.load()
    damage = complaints.damage()
    if damage is not None:
        raise DamagedPhoto(f"damaged TIFF: {damage}")


def _swaps_sides(turned: Image.Transpose | None) -> bool:
    return turned in (
        Image.Transpose.TRANSPOSE,
        Image.Transpose.TRANSVERSE,
        Image.Transpose.ROTATE_90,
        Image.Transpose.ROTATE_270,
    )


def _scale_decoding(
    image: Image.Image, turned: Image.Transpose | None, preprocess: Preprocess
) -> Box | None:
    """Let libjpeg leave out detail that the resize would throw away (1/2, 1/4 or 1/8).

    Returns the part of the smaller picture that the photo takes up: its size was rounded up.
    """
    drafted = image.draft(None, _least_size(image.size, turned, preprocess))
    return drafted[1] if drafted else None


def _turned_box(box: Box | None, size: tuple[int, int], turned: Image.Transpose) -> Box | None:
    """Where `box` of a picture of `size` comes to lie when the picture is turned."""
    if box is None:
        return None
    left, top, right, bottom = box
    if turned in _MIRROR_COLUMNS:
        left, right = size[0] - right, size[0] - left
    if turned in _MIRROR_ROWS:
        top, bottom = size[1] - bottom, size[1] - top
    return (top, left, bottom, right) if _swaps_sides(turned) else (left, top, right, bottom)


def _shrink(
    image: Image.Image, turned: Image.Transpose | None, preprocess: Preprocess
) -> Image.Image:
    """The same for huge photos of other formats, so that what follows needs no more memory."""
    if image.width * image.height < _HUGE_PIXELS or image.mode not in _REDUCIBLE_MODES:
        return image
    width, height = _least_size(image.size, turned, preprocess)
    factor = min(image.width // width, image.height // height)
    if factor < 2 or "transparency" in image.info:
        return image
    # Not `reduce`: it rounds partial blocks up, which stretches the picture by up to a block.
    smaller = (image.width // factor, image.height // factor)
    reduced = image.resize(smaller, Image.Resampling.BOX)
    reduced.info = image.info
    return reduced


def _least_size(
    size: tuple[int, int], turned: Image.Transpose | None, preprocess: Preprocess
) -> tuple[int, int]:
    """The (width, height), as stored, below which a photo of `size` would lose what is needed."""
    swaps = _swaps_sides(turned)
    width, height = resized_size(size[::-1] if swaps else size, preprocess)
    if swaps:
        width, height = height, width
    return _DECODING_MARGIN * width, _DECODING_MARGIN * height


def _needed_bytes(
    image: Image.Image, name: str, full_size: tuple[int, int], *, whole: bool
) -> float:
    """What decoding and turning to upright RGB hold at once; Pillow keeps RGB in four bytes.

    Measured with photos of 20 to 100 megapixels, rounded up. `whole`: nothing is shrunk on the
    way.
    """
    pixels = image.width * image.height
    decoder = {"WEBP": _WEBP_BYTES, "AVIF": 5.0}.get(name, 0.5) * pixels
    if image.info.get("progressive"):
        # libjpeg keeps the coefficients of the whole photo until the last scan.
        decoder = 6.0 * full_size[0] * full_size[1]
    stored = {"1": 1.0, "L": 1.0, "P": 1.0}.get(image.mode, 4.0) * pixels
    if not whole and image.mode in _REDUCIBLE_MODES and "transparency" not in image.info:
        return decoder + (2.0 * stored if image.mode == "RGBA" else stored)
    return decoder + stored + (4.0 if image.mode == "RGB" else 9.0) * pixels
