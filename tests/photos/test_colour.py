import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from clipsearch.photos.colour import to_rgb


def pixel(image: Image.Image, at: tuple[int, int] = (0, 0)) -> object:
    converted = to_rgb(image)
    assert converted.mode == "RGB"
    return converted.getpixel(at)


@pytest.mark.parametrize(
    ("value", "level"), [(0, 0), (255, 0), (256, 1), (32768, 128), (65535, 255)]
)
def test_16_bits_are_scaled_not_clipped(value: int, level: int) -> None:
    image = Image.fromarray(np.array([[value]], dtype=np.uint16))
    assert image.mode == "I;16"
    assert pixel(image) == (level, level, level)


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.0, 200.0], [0, 100, 200]),
        ([0.0, 257.0, 65535.0], [0, 1, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([float("nan"), 0.0, 1.0], [0, 0, 255]),
        ([-5.0, -5.0, -5.0], [0, 0, 0]),
    ],
)
def test_floats_without_a_stated_range(values: list[float], levels: list[int]) -> None:
    image = to_rgb(Image.fromarray(np.array([values], dtype=np.float32)))
    assert np.asarray(image)[0, :, 0].tolist() == levels


def test_transparent_is_white_and_half_transparent_is_half_white() -> None:
    assert pixel(Image.new("RGBA", (1, 1), (255, 0, 0, 0))) == (255, 255, 255)
    assert pixel(Image.new("RGBA", (1, 1), (255, 0, 0, 255))) == (255, 0, 0)
    assert pixel(Image.new("LA", (1, 1), (0, 0))) == (255, 255, 255)
    half = pixel(Image.new("RGBA", (1, 1), (0, 0, 0, 128)))
    assert half == (127, 127, 127)


def test_a_transparent_palette_colour_is_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    image.info["transparency"] = 0
    assert pixel(image, (0, 0)) == (255, 255, 255)
    assert pixel(image, (1, 0)) == (0, 0, 255)


def test_opaque_pictures_with_an_alpha_channel_keep_every_value() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    rgb = Image.merge("RGB", [Image.fromarray(values)] * 3)
    assert to_rgb(rgb.convert("RGBA")).tobytes() == rgb.tobytes()


def test_grey_bilevel_and_cmyk() -> None:
    assert pixel(Image.new("L", (1, 1), 77)) == (77, 77, 77)
    assert pixel(Image.new("1", (1, 1), 1)) == (255, 255, 255)
    assert pixel(Image.new("CMYK", (1, 1), (0, 255, 255, 0))) == (255, 0, 0)
    assert pixel(Image.new("CMYK", (1, 1), (0, 0, 0, 255))) == (0, 0, 0)


@pytest.mark.parametrize("profile", [b"not a profile", b"\x00" * 200])
def test_cmyk_with_a_damaged_profile_falls_back_to_the_formula(profile: bytes) -> None:
    image = Image.new("CMYK", (1, 1), (0, 255, 255, 0))
    image.info["icc_profile"] = profile
    assert pixel(image) == (255, 0, 0)


def test_cmyk_with_the_profile_of_another_colour_space_falls_back_too() -> None:
    stream = io.BytesIO(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    image = Image.new("CMYK", (1, 1), (0, 255, 255, 0))
    image.info["icc_profile"] = stream.getvalue()
    assert pixel(image) == (255, 0, 0)
