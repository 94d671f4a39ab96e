"""The recipe's near-duplicate search finds a photo made smaller, mirrored or brighter."""

from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.training.recipe import load_recipe


@pytest.fixture(scope="module")
def photo_sets() -> ModuleType:
    return load_recipe("photo_sets")


def scene(seed: int, side: int = 64) -> NDArray[np.uint8]:
    """Soft random colours, as uneven as a photo."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def test_only_other_versions_of_a_held_out_photo_are_found(photo_sets: ModuleType) -> None:
    held_out = scene(1)
    smaller = np.asarray(Image.fromarray(held_out).resize((64, 64)).rotate(0.5))
    brighter = np.minimum(held_out.astype(int) + 15, 255).astype(np.uint8)
    mirrored = np.ascontiguousarray(held_out[:, ::-1])
    train = np.stack([smaller, brighter, mirrored, scene(2), scene(3)])
    found = photo_sets.near_duplicates(
        photo_sets.thumbnails(train), photo_sets.thumbnails(np.stack([held_out, scene(9)]))
    )
    assert found.tolist() == [True, True, True, False, False]


def test_photos_of_one_colour_match_nothing(photo_sets: ModuleType) -> None:
    flat = np.full((2, 32, 32, 3), 90, dtype=np.uint8)
    found = photo_sets.near_duplicates(photo_sets.thumbnails(flat), photo_sets.thumbnails(flat))
    assert found.tolist() == [False, False]
