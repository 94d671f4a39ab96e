"""Real photos through our preprocessing and through open_clip's."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipsearch.photos.opening import decode, open_photo
from clipsearch.photos.resize import to_pixels
from clipsearch.types import Pixels
from tests.photos.samples import preprocess

SHARED = Path(__file__).parents[2].parent / "shared" / "data"

pytestmark = [
    pytest.mark.real,
    pytest.mark.shared,
    pytest.mark.skipif(
        not (SHARED / "album").is_dir(), reason="needs the photos in ../shared/data"
    ),
]


@pytest.fixture(scope="module")
def photos() -> list[bytes]:
    """Every fortieth photo of the album and of the captioned ones."""
    paths = sorted((SHARED / "album").rglob("*.*")) + sorted(
        (SHARED / "captioned" / "photos").iterdir()
    )
    return [os.fsencode(path) for path in paths[::40]]


def of_open_clip(image: Image.Image, size: int, mode: str, interpolation: str) -> Pixels:
    from open_clip.transform import image_transform

    transform = image_transform(
        size,
        is_train=False,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        resize_mode=mode,
        interpolation=interpolation,
    )
    pixels: Pixels = transform(image).mul(255).round().byte().permute(1, 2, 0).numpy()
    return pixels


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_fully_decoded_photos_equal_open_clip_to_the_bit(
    photos: list[bytes], mode: str, interpolation: str
) -> None:
    for size in (64, 224):
        for path in photos:
            image = open_photo(Path(os.fsdecode(path)).read_bytes())
            ours = to_pixels(image, preprocess(size, mode, interpolation))
            assert np.array_equal(ours, of_open_clip(image, size, mode, interpolation)), path


def test_ordinary_photos_at_224_are_not_decoded_at_a_fraction(photos: list[bytes]) -> None:
    """500 x 375 is less than twice 298 x 224: the pixels are open_clip's, not merely close."""
    for path in photos:
        data = Path(os.fsdecode(path)).read_bytes()
        with Image.open(os.fsdecode(path)) as image:
            if min(image.size) < 448:
                theirs = of_open_clip(image.convert("RGB"), 224, "shortest", "bicubic")
                assert np.array_equal(decode(data, preprocess(224))[1], theirs), path


def test_scaled_decoding_of_real_photos_stays_close(photos: list[bytes]) -> None:
    differences = []
    for path in photos:
        data = Path(os.fsdecode(path)).read_bytes()
        full = to_pixels(open_photo(data), preprocess(64)).astype(int)
        differences.append(np.abs(decode(data, preprocess(64))[1] - full).mean())
    # Of 255. Without the fraction of a pixel (see to_pixels) the worst was 17.
    assert np.median(differences) < 0.8
    assert max(differences) < 2.0
