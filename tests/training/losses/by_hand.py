"""Four pairs of unit vectors that can be multiplied in the head, and plain Python's arithmetic."""

import torch
from torch import Tensor

from clipsearch.training.losses import ContrastiveLoss

IMAGE = [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]]
TEXT = [[0.8, 0.6], [0.6, 0.8], [-0.6, 0.8], [0.0, 1.0]]
IDS = [0, 1, 0, 2]  # the first and the third pair mean the same
DIFFERENT = [0, 1, 2, 3]
# IMAGE times TEXT, by hand: photos down, texts across.
COSINES = [
    [0.80, 0.60, -0.60, 0.00],
    [0.96, 1.00, 0.28, 0.80],
    [0.60, 0.80, 0.80, 1.00],
    [0.00, 0.28, 1.00, 0.80],
]
SCALE = 5.0


def transposed(matrix: list[list[float]]) -> list[list[float]]:
    return [list(column) for column in zip(*matrix, strict=True)]


def value(loss: ContrastiveLoss, ids: list[int], bias: float | None = None) -> float:
    """The loss of the four pairs."""
    logit_bias = None if bias is None else torch.tensor(bias)
    found: Tensor = loss(
        torch.tensor(IMAGE), torch.tensor(TEXT), torch.tensor(ids), torch.tensor(SCALE), logit_bias
    )
    assert found.shape == ()
    return found.item()
