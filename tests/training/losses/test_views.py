"""Losses between views against plain Python."""

import math

import pytest
import torch

from clipsearch.training.losses import LabelledViewsLoss, ViewsLoss
from tests.training.losses.by_hand import DIFFERENT, IDS, IMAGE, TEXT

TEMPERATURE = 0.5


def slow(ids: list[int]) -> float:
    views, labels = IMAGE + TEXT, ids + ids
    total = 0.0
    for i, anchor in enumerate(views):
        cosines = [sum(a * b for a, b in zip(anchor, other, strict=True)) for other in views]
        others = [j for j in range(len(views)) if j != i]
        everything = sum(math.exp(cosines[j] / TEMPERATURE) for j in others)
        matches = [j for j in others if labels[j] == labels[i]]
        for j in matches:
            total -= math.log(math.exp(cosines[j] / TEMPERATURE) / everything) / len(matches)
    return total / len(views)


def test_two_views_of_each_photo_equal_the_slow_twin() -> None:
    found = ViewsLoss(TEMPERATURE)(torch.tensor(IMAGE), torch.tensor(TEXT))
    assert found.item() == pytest.approx(slow(DIFFERENT), abs=1e-6)


def test_views_of_the_same_label_equal_the_slow_twin() -> None:
    loss = LabelledViewsLoss(TEMPERATURE)
    found = loss(torch.tensor(IMAGE), torch.tensor(TEXT), torch.tensor(IDS))
    assert found.item() == pytest.approx(slow(IDS), abs=1e-6)
    assert slow(IDS) != pytest.approx(slow(DIFFERENT), abs=1e-2)


def test_two_photos_by_hand() -> None:
    """Own view at cosine 1, two others at 0: each row is log(1 + 2 e^(-1/T))."""
    eye = torch.eye(2)
    assert ViewsLoss(0.5)(eye, eye).item() == pytest.approx(math.log(1 + 2 * math.exp(-2)))


@pytest.mark.parametrize("photos", [1, 3])
@pytest.mark.parametrize("temperature", [0.01, 0.1])
def test_identical_views_and_single_photos_have_finite_gradients(
    photos: int, temperature: float
) -> None:
    first = torch.ones(photos, 4, requires_grad=True)
    unit = torch.nn.functional.normalize(first, dim=1)
    ids = torch.zeros(photos, dtype=torch.int64)
    loss = ViewsLoss(temperature)(unit, unit) + LabelledViewsLoss(temperature)(unit, unit, ids)
    loss.backward()
    assert math.isfinite(loss.item())
    assert bool(torch.isfinite(first.grad).all())
