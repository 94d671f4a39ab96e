"""D6, D7: the real model sees the same photo in whatever colours and whichever way it is stored."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipsearch.encoders import install, load_towers
from clipsearch.photos.opening import decode
from clipsearch.types import Floats, Preprocess
from tests.e2e.conftest import _silent
from tests.photos.samples import encoded, noise, oriented

pytestmark = [pytest.mark.nightly, pytest.mark.real]
PHOTO = noise(320, 240, seed=11)


class Eye:
    """The starter model's image tower."""

    def __init__(self, models: Path) -> None:
        info = install("starter", models, _silent)
        self._tower = load_towers(info, models).image
        self._preprocess: Preprocess = info.preprocess

    def embed(self, data: bytes) -> Floats:
        _, pixels = decode(data, self._preprocess)
        row: Floats = self._tower.encode_image(pixels[None])[0]
        return row


@pytest.fixture(scope="module")
def eye(tmp_path_factory: pytest.TempPathFactory) -> Eye:
    return Eye(tmp_path_factory.mktemp("models"))


def sixteen_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def floats(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.float32) / 255)


def with_alpha(image: Image.Image) -> Image.Image:
    whole = image.convert("RGBA")
    whole.putalpha(255)
    return whole


STORED = {
    "CMYK JPEG": (encoded(PHOTO.convert("CMYK"), "JPEG", quality=95), PHOTO),
    "CMYK TIFF": (encoded(PHOTO.convert("CMYK"), "TIFF"), PHOTO),
    "YCbCr TIFF": (encoded(PHOTO.convert("YCbCr"), "TIFF"), PHOTO),
    "Lab TIFF": (encoded(PHOTO.convert("LAB"), "TIFF"), PHOTO),
    "palette": (encoded(PHOTO.quantize(256), "PNG"), PHOTO.quantize(256).convert("RGB")),
    "alpha": (encoded(with_alpha(PHOTO), "PNG"), PHOTO),
    "palette and alpha": (
        encoded(with_alpha(PHOTO).quantize(256), "PNG"),
        with_alpha(PHOTO).quantize(256).convert("RGB"),
    ),
    "grey and alpha": (encoded(PHOTO.convert("LA"), "PNG"), PHOTO.convert("L").convert("RGB")),
    "16 bits PNG": (encoded(sixteen_bits(PHOTO), "PNG"), PHOTO.convert("L").convert("RGB")),
    "16 bits TIFF": (encoded(sixteen_bits(PHOTO), "TIFF"), PHOTO.convert("L").convert("RGB")),
    "floats": (encoded(floats(PHOTO), "TIFF"), PHOTO.convert("L").convert("RGB")),
    "one bit": (encoded(PHOTO.convert("1"), "PNG"), PHOTO.convert("1").convert("RGB")),
}


@pytest.mark.row("D6")
@pytest.mark.parametrize("name", STORED)
def test_colours_are_those_of_the_plain_twin(eye: Eye, name: str) -> None:
    data, twin = STORED[name]
    assert eye.embed(data) @ eye.embed(encoded(twin, "PNG")) > 0.99


@pytest.mark.row("D7")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_are_one_embedding(eye: Eye, orientation: int) -> None:
    upright = eye.embed(encoded(PHOTO, "PNG"))
    assert eye.embed(oriented(PHOTO, orientation, "PNG")) @ upright > 0.999
