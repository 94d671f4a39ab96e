"""The pairwise margin loss against plain Python."""

import math

import pytest
import torch

from clipsearch.training.losses import MarginLoss
from tests.training.losses.by_hand import COSINES, DIFFERENT, IDS, value


def slow(ids: list[int], margin: float) -> float:
    total = 0.0
    for i, row in enumerate(COSINES):
        for j, cosine in enumerate(row):
            distance = math.sqrt(2 - 2 * cosine)
            if ids[i] == ids[j]:
                total += distance**2 / 2
            else:
                total += max(0.0, margin - distance) ** 2 / 2
    return total / len(COSINES)


@pytest.mark.parametrize("ids", [IDS, DIFFERENT])
@pytest.mark.parametrize("margin", [0.5, 1.0, 1.5])
def test_equals_its_slow_twin(ids: list[int], margin: float) -> None:
    # A wrong match at cosine 1 counts as 0.001 away, hence no closer than that.
    assert value(MarginLoss(margin), ids) == pytest.approx(slow(ids, margin), abs=3e-3)


def test_far_wrong_matches_cost_nothing() -> None:
    eye = torch.eye(2)  # wrong matches at distance sqrt(2)
    near = MarginLoss(1.0)(eye, eye, torch.tensor([0, 1]), torch.tensor(1.0), None)
    wide = MarginLoss(2.0)(eye, eye, torch.tensor([0, 1]), torch.tensor(1.0), None)
    assert near.item() == 0.0
    assert wide.item() == pytest.approx((2 - math.sqrt(2)) ** 2 / 2, abs=1e-5)


def test_a_touching_wrong_match_pulls_nowhere() -> None:
    """What is left is the right match's own pull: minus the text, over n."""
    image = torch.nn.functional.normalize(torch.ones(2, 8), dim=1).requires_grad_(True)
    text = image.detach().clone()
    MarginLoss()(image, text, torch.tensor([0, 1]), torch.tensor(1.0), None).backward()
    assert torch.allclose(image.grad, -text / 2)
