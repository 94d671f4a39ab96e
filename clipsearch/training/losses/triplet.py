"""Triplet losses: a pair must be closer than the pair's best wrong match, by a margin."""

from collections.abc import Callable

import torch
from torch import Tensor

from clipsearch.training.losses.contrastive import ContrastiveLoss, same_meaning

Mining = Callable[[Tensor, Tensor, Tensor], Tensor]


def hardest(scores: Tensor, own: Tensor, negative: Tensor) -> Tensor:  # noqa: ARG001
    """The score [n] of each row's most similar wrong match (VSE++'s "max of hinges").

    `scores` [n, n]; `own` [n] each row's score with its match; `negative` [n, n] bool. Rows
    without a negative give -inf.
    """
    return scores.masked_fill(~negative, -torch.inf).amax(dim=1)


def semi_hard(scores: Tensor, own: Tensor, negative: Tensor) -> Tensor:
    """The score [n] of the most similar wrong match that is less similar than the match.

    FaceNet's semi-hard negatives, section 3.2: further than the positive, yet inside the margin
    if any is. Where every wrong match is at least as similar as the right one, the least similar
    of them (as TensorFlow's triplet_semihard_loss does), so that a bad row still learns.
    `scores`, `own`, `negative` as in `hardest`; rows without a negative give -inf.
    """
    below = negative & (scores < own[:, None])  # [n, n]
    semi = scores.masked_fill(~below, -torch.inf).amax(dim=1)  # [n]
    easiest = scores.masked_fill(~negative, torch.inf).amin(dim=1)  # [n]
    found = torch.where(below.any(dim=1), semi, easiest)
    return torch.where(negative.any(dim=1), found, torch.full_like(found, -torch.inf))


class TripletLoss(ContrastiveLoss):
    """Hinge on each pair against one wrong match of its batch, in both directions.

        L = 1/n * sum over i of  max(0, m - v_i.t_i + v_i.t_neg(i))
                               + max(0, m - v_i.t_i + v_neg(i).t_i)

    where neg(i) has another id than i and is chosen by `mine`. Source: Faghri et al., "VSE++:
    Improving Visual-Semantic Embeddings with Hard Negatives", BMVC 2018, equation 6 (`hardest`,
    and there a sum instead of the mean); Schroff et al., "FaceNet", CVPR 2015, section 3.2
    (`semi_hard`). Rows without a wrong match count as 0.

    Choose it to rank clean captions with a small model trained on little else; one wrong match
    per row uses less of a batch than a softmax, and the hardest one is often a mislabelled pair
    or leads to collapse early on, which semi-hard avoids.
    """

    def __init__(self, margin: float = 0.2, mine: Mining = semi_hard) -> None:
        """`margin` in cosine, 0 .. 2; `mine`: `semi_hard` or `hardest`."""
        super().__init__()
        self.margin = margin
        self.mine = mine

    def forward(
        self,
        image: Tensor,
        text: Tensor,
        ids: Tensor,
        logit_scale: Tensor,  # noqa: ARG002 - margins are in cosines
        logit_bias: Tensor | None,  # noqa: ARG002
    ) -> Tensor:
        """See ContrastiveLoss. The temperature has no part in it."""
        cosines = image @ text.T  # [n, n]
        negative = ~same_meaning(ids)  # [n, n]
        return self._one_way(cosines, negative) + self._one_way(cosines.T, negative)

    def _one_way(self, cosines: Tensor, negative: Tensor) -> Tensor:
        own = cosines.diagonal()  # [n]
        wrong = self.mine(cosines, own, negative)  # [n]
        return (self.margin - own + wrong).clamp(min=0).mean()
