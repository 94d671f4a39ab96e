"""The pairwise margin loss: matches close together, everything else at least a margin apart."""

import torch
from torch import Tensor

from clipsearch.training.losses.contrastive import ContrastiveLoss, same_meaning

# Squared distances below this are rounding; the root's slope is infinite at 0.
_TOUCHING = 1e-6


class MarginLoss(ContrastiveLoss):
    """Hadsell's contrastive loss over all pairs of photo and text in the batch.

        L = 1/n * sum over i, j of  1/2 * D_ij^2              when the ids are equal
                                    1/2 * max(0, m - D_ij)^2  when they differ
        D_ij = |v_i - t_j| = sqrt(2 - 2 * v_i.t_j)

    Source: Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant
    Mapping", CVPR 2006, equation 4. A wrong match at distance 0 gives no gradient: it has no
    direction to leave in.

    Choose it when distances themselves will be thresholded (same or not), or batches are tiny:
    a pair's loss does not depend on the rest of the batch.
    """

    def __init__(self, margin: float = 1.0) -> None:
        """`margin` is a distance between unit vectors, 0 .. 2; 1 is a cosine of 0.5."""
        super().__init__()
        self.margin = margin

    def forward(
        self,
        image: Tensor,
        text: Tensor,
        ids: Tensor,
        logit_scale: Tensor,  # noqa: ARG002 - margins are distances
        logit_bias: Tensor | None,  # noqa: ARG002
    ) -> Tensor:
        """See ContrastiveLoss. The temperature has no part in it."""
        squared = (2 - 2 * image @ text.T).clamp(min=0)  # [n, n]
        distance = squared.clamp(min=_TOUCHING).sqrt()  # [n, n]
        apart = (self.margin - distance).clamp(min=0) ** 2  # [n, n]
        per_pair = torch.where(same_meaning(ids), squared, apart) / 2  # [n, n]
        return per_pair.sum() / len(image)
