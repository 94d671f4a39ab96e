"""Prototypes are unit directions with a bounded temperature, compared by cosine."""

import math

import pytest
import torch

from clipsearch.training.losses import MAX_LOGIT_SCALE, clamp_temperature
from clipsearch.training.prototypes import Prototypes


def test_logits_are_cosines_times_the_scale() -> None:
    prototypes = Prototypes(2, 2)
    prototypes.vectors.data = torch.tensor([[3.0, 0.0], [0.0, -0.1]])
    prototypes.logit_scale.data = torch.tensor(math.log(10.0))
    logits = prototypes(torch.tensor([[0.6, 0.8]]))
    assert logits.tolist()[0] == pytest.approx([6.0, -8.0])


def test_the_scale_is_kept_in_its_range() -> None:
    prototypes = Prototypes(2, 2)
    prototypes.logit_scale.data = torch.tensor(99.0)
    clamp_temperature(prototypes)
    assert prototypes.logit_scale.item() == pytest.approx(MAX_LOGIT_SCALE)
