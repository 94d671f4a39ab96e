"""A photo after decoding, whoever decoded it."""

from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True, slots=True)
class DecodedPhoto:
    """A photo upright and decoded, perhaps at a fraction of its size, and its EXIF entries.

    `full_size` is the photo's own (width, height), upright. `box` is (left, top, right, bottom) of
    the photo in `image` where the decoder rounded the size up and filled the rest, else None.
    """

    image: Image.Image
    full_size: tuple[int, int]
    exif: Image.Exif
    box: tuple[float, float, float, float] | None = None
