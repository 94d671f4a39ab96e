"""Small photos made on the spot, all of them computable by hand."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from clipsearch.types import Preprocess

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def preprocess(
    size: int = 8,
    resize_mode: str = "shortest",
    interpolation: str = "bicubic",
    fill_color: int = 0,
) -> Preprocess:
    return Preprocess(
        size=(size, size),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        interpolation=interpolation,  # type: ignore[arg-type]
        resize_mode=resize_mode,  # type: ignore[arg-type]
        fill_color=fill_color,
    )


def plain(colour: tuple[int, ...], size: tuple[int, int] = (16, 12), mode: str = "RGB") -> bytes:
    """A PNG of one colour."""
    return encoded(Image.new(mode, size, colour), "PNG")


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture without any symmetry, smooth enough to survive JPEG."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (max(2, height // 8), max(2, width // 8), 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, name: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=name, **options)  # type: ignore[arg-type]
    return stream.getvalue()


def oriented(image: Image.Image, orientation: int, name: str = "JPEG", **options: object) -> bytes:
    """`image` stored so that EXIF `orientation` turns it back upright."""
    undo: dict[int, Callable[[Image.Image], Image.Image]] = {
        1: lambda picture: picture,
        2: lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda picture: picture.transpose(Image.Transpose.ROTATE_180),
        4: lambda picture: picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda picture: picture.transpose(Image.Transpose.TRANSPOSE),
        6: lambda picture: picture.transpose(Image.Transpose.ROTATE_90),
        7: lambda picture: picture.transpose(Image.Transpose.TRANSVERSE),
        8: lambda picture: picture.transpose(Image.Transpose.ROTATE_270),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(undo[orientation](image), name, exif=exif, **options)
