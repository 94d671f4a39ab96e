"""InfoNCE and UniCL against plain Python, open_clip and each other."""

import math

import pytest
import torch
from open_clip.loss import ClipLoss

from clipsearch.training.losses import InfoNCELoss, UniCLLoss
from tests.training.losses.by_hand import (
    COSINES,
    DIFFERENT,
    IDS,
    IMAGE,
    SCALE,
    TEXT,
    transposed,
    value,
)


def slow_one_way(cosines: list[list[float]], ids: list[int]) -> float:
    total = 0.0
    for i, row in enumerate(cosines):
        everything = sum(math.exp(SCALE * cosine) for cosine in row)
        matches = [j for j in range(len(row)) if ids[j] == ids[i]]
        for j in matches:
            total -= math.log(math.exp(SCALE * row[j]) / everything) / len(matches)
    return total / len(cosines)


def slow(ids: list[int]) -> float:
    return (slow_one_way(COSINES, ids) + slow_one_way(transposed(COSINES), ids)) / 2


def test_the_cosines_typed_by_hand_are_those_of_the_vectors() -> None:
    assert torch.allclose(torch.tensor(IMAGE) @ torch.tensor(TEXT).T, torch.tensor(COSINES))


def test_infonce_equals_its_slow_twin() -> None:
    assert value(InfoNCELoss(), DIFFERENT) == pytest.approx(slow(DIFFERENT), abs=1e-6)


def test_infonce_looks_at_no_ids_and_no_bias() -> None:
    assert value(InfoNCELoss(), IDS, bias=-10.0) == value(InfoNCELoss(), DIFFERENT)


def test_unicl_equals_its_slow_twin() -> None:
    assert value(UniCLLoss(), IDS) == pytest.approx(slow(IDS), abs=1e-6)
    assert slow(IDS) != pytest.approx(slow(DIFFERENT), abs=1e-2)


def test_unicl_with_different_ids_is_open_clips_loss() -> None:
    expected = ClipLoss()(torch.tensor(IMAGE), torch.tensor(TEXT), torch.tensor(SCALE))
    assert value(UniCLLoss(), DIFFERENT) == pytest.approx(expected.item(), abs=1e-6)


def test_one_pair_among_two_by_hand() -> None:
    """Right cosines 1, wrong ones 0: each of the four rows is log(1 + e^-s)."""
    eye = torch.eye(2)
    for loss in (InfoNCELoss(), UniCLLoss()):
        found = loss(eye, eye, torch.tensor([0, 1]), torch.tensor(2.0), None)
        assert found.item() == pytest.approx(math.log(1 + math.exp(-2)), abs=1e-6)
