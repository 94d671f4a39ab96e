"""A photo after decoding, whoever decoded it."""

from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True, slots=True)
class DecodedPhoto:
    """A photo upright and decoded, its full (width, height) upright, and its EXIF entries."""

    image: Image.Image
    full_size: tuple[int, int]
    exif: Image.Exif
