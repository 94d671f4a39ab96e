"""The sigmoid loss against plain Python and open_clip."""

import math

import pytest
import torch
from open_clip.loss import SigLipLoss

from clipsearch.training.losses import SigmoidLoss
from tests.training.losses.by_hand import COSINES, DIFFERENT, IDS, IMAGE, SCALE, TEXT, value


def slow(ids: list[int], bias: float) -> float:
    total = 0.0
    for i, row in enumerate(COSINES):
        for j, cosine in enumerate(row):
            sign = 1 if ids[i] == ids[j] else -1
            total -= math.log(1 / (1 + math.exp(-sign * (SCALE * cosine + bias))))
    return total / len(COSINES)


@pytest.mark.parametrize("ids", [IDS, DIFFERENT])
def test_equals_its_slow_twin(ids: list[int]) -> None:
    assert value(SigmoidLoss(), ids, bias=-2.0) == pytest.approx(slow(ids, -2.0), abs=1e-5)


def test_with_different_ids_it_is_open_clips_loss() -> None:
    image, text = torch.tensor(IMAGE), torch.tensor(TEXT)
    expected = SigLipLoss()(image, text, torch.tensor(SCALE), torch.tensor(-2.0))
    assert value(SigmoidLoss(), DIFFERENT, bias=-2.0) == pytest.approx(expected.item(), abs=1e-5)


def test_a_model_without_a_bias_uses_the_losss_own() -> None:
    loss = SigmoidLoss()
    assert value(loss, IDS) == pytest.approx(slow(IDS, -10.0), abs=1e-4)
    image, text = torch.tensor(IMAGE), torch.tensor(TEXT)
    loss(image, text, torch.tensor(IDS), torch.tensor(SCALE), None).backward()
    assert loss.bias.grad is not None
    assert loss.bias.grad.item() < 0  # more matches than a bias of -10 expects: it must rise


@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize("ids", [IDS, DIFFERENT])
def test_a_fitted_bias_expects_as_many_matches_as_there_are(ids: list[int], scale: float) -> None:
    loss = SigmoidLoss()
    loss.fit_bias(torch.tensor(IMAGE), torch.tensor(TEXT), torch.tensor(ids), torch.tensor(scale))
    bias = loss.bias.item()
    expected = sum(1 / (1 + math.exp(-scale * cosine - bias)) for row in COSINES for cosine in row)
    matches = sum(a == b for a in ids for b in ids)
    assert expected == pytest.approx(matches, abs=1e-3)


def test_one_pair_or_one_meaning_fits_a_finite_bias() -> None:
    for count in (1, 3):
        loss, rows = SigmoidLoss(), torch.eye(4)[:count]
        loss.fit_bias(rows, rows, torch.zeros(count, dtype=torch.int64), torch.tensor(100.0))
        assert math.isfinite(loss.bias.item())
