"""Photos blended or pasted into one another, so that a small set is harder to learn by heart."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clipsearch.training.batches import ConceptTruth
from clipsearch.training.losses import multi_positive_softmax


@dataclass(frozen=True)
class Mixture:
    """What was mixed: `partner` [n], the number of the photo mixed into each; `share` in 0..1, how
    much of a mixed photo is still its own."""

    partner: Tensor
    share: float


def mix_photos(pixels: Tensor, rng: np.random.Generator) -> tuple[Tensor, Mixture]:
    """Mix every photo of `pixels` [n, 3, height, width] with another one, all in the same way.

    Half the time they are blended (Zhang et al., "mixup: Beyond empirical risk minimization", ICLR
    2018), otherwise a rectangle is pasted (Yun et al., "CutMix", ICCV 2019, whose share is that of
    the area). The share is drawn evenly from 0..1. Returns the mixed photos and what was mixed.
    """
    partner = torch.from_numpy(rng.permutation(len(pixels)))
    share = float(rng.random())
    if rng.random() < 0.5:
        return share * pixels + (1 - share) * pixels[partner], Mixture(partner, share)
    height, width = pixels.shape[2:]
    side = (1 - share) ** 0.5
    box_height, box_width = round(side * height), round(side * width)
    top = int(rng.integers(height - box_height + 1))
    left = int(rng.integers(width - box_width + 1))
    box = (..., slice(top, top + box_height), slice(left, left + box_width))
    mixed = pixels.clone()
    mixed[box] = pixels[partner][box]
    return mixed, Mixture(partner, 1 - box_height * box_width / (height * width))


def mixed_softmax(logits: Tensor, shown: ConceptTruth, mixture: Mixture) -> Tensor:
    """`multi_positive_softmax` for mixed photos, a scalar >= 0: both photos of each are right, as
    much as there is of them.

    `logits` [n, concepts]; `shown` [n, concepts] before mixing.
    """
    own = multi_positive_softmax(logits, shown.positive, shown.ignored)
    partner = mixture.partner
    other = multi_positive_softmax(logits, shown.positive[partner], shown.ignored[partner])
    return mixture.share * own + (1 - mixture.share) * other
