"""Augmentation: the same draws for the same (seed, epoch, index), and only small changes."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from clipsearch.training.augment import (
    MEAN,
    STD,
    augment,
    change_light,
    crop_box,
    normalise,
    uniforms,
)


def photos(count: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (40, 30, 3), dtype=np.uint8) for _ in range(count)]


def test_the_same_seed_epoch_and_index_give_the_same_pixels() -> None:
    indices = np.array([3, 900, 5])
    first = augment(photos(3), 16, seed=1, epoch=2, indices=indices)
    assert torch.equal(first, augment(photos(3), 16, seed=1, epoch=2, indices=indices))


def test_a_photo_looks_the_same_in_any_batch() -> None:
    three = photos(3)
    together = augment(three, 16, 1, 2, np.array([3, 900, 5]))
    alone = augment(three[1:2], 16, 1, 2, np.array([900]))
    assert torch.equal(together[1], alone[0])


@pytest.mark.parametrize(("seed", "epoch", "index"), [(2, 2, 3), (1, 3, 3), (1, 2, 4)])
def test_another_seed_epoch_or_index_gives_other_pixels(seed: int, epoch: int, index: int) -> None:
    first = augment(photos(1), 16, 1, 2, np.array([3]))
    assert not torch.equal(first, augment(photos(1), 16, seed, epoch, np.array([index])))


def test_shape_range_and_layout() -> None:
    batch = augment(photos(2), 24, 1, 1, np.array([0, 1]))
    assert batch.shape == (2, 3, 24, 24)
    assert batch.dtype == torch.float32
    assert 0 <= batch.min() <= batch.max() <= 1
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_uniforms_fill_the_unit_interval_evenly() -> None:
    draws = uniforms(5, 0, np.arange(20000), 3)
    assert 0 <= draws.min() < draws.max() < 1
    histogram = np.histogram(draws, bins=10, range=(0, 1))[0] / draws.size
    assert np.abs(histogram - 0.1).max() < 0.01
    assert abs(np.corrcoef(draws[:, 0], draws[:, 1])[0, 1]) < 0.03


def test_crops_stay_inside_and_keep_the_area_asked_for() -> None:
    for draws in uniforms(1, 1, np.arange(500), 4):
        top, left, height, width = crop_box(60, 80, draws, 0.35)
        assert top >= 0
        assert left >= 0
        assert top + height <= 60
        assert left + width <= 80
        assert height * width >= 0.3 * 60 * 80


def test_light_that_changes_nothing() -> None:
    pixels = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    same = change_light(pixels, torch.ones(2), torch.ones(2))
    assert torch.allclose(same, pixels, atol=1e-6)


def test_normalise_maps_the_mean_to_zero() -> None:
    grey = torch.tensor(MEAN)[None, :, None, None].expand(1, 3, 2, 2)
    assert torch.allclose(normalise(grey), torch.zeros(1, 3, 2, 2), atol=1e-6)
    one_up = grey + torch.tensor(STD)[None, :, None, None]
    assert torch.allclose(normalise(one_up), torch.ones(1, 3, 2, 2), atol=1e-5)
