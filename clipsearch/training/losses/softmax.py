"""Softmax losses: of all texts in the batch, which belong to this photo, and the reverse."""

import torch
from open_clip.loss import ClipLoss
from torch import Tensor
from torch.nn.functional import log_softmax

from clipsearch.training.losses.contrastive import ContrastiveLoss, same_meaning

# Finite, so that a row in which everything is ignored gives 0 and not NaN.
_EXCLUDED = -1e4


def multi_positive_softmax(logits: Tensor, positive: Tensor, ignored: Tensor) -> Tensor:
    """Mean cross-entropy of each row against all of its positives (UniCL, one direction).

    For row i with positives P(i) and candidates A(i), everything not ignored:

        L_i = -1/|P(i)| * sum over k in P(i) of
              log( exp(logits[i, k]) / sum over j in A(i) of exp(logits[i, j]) )

    Source: Yang et al., "Unified Contrastive Learning in Image-Text-Label Space", CVPR 2022,
    equations 2-3; with the diagonal as the only positive it is InfoNCE. Plain InfoNCE would count
    a second photo of the same thing in the batch as a wrong match.

    `logits` [n, m] float; `positive`, `ignored` [n, m] bool, disjoint. Rows without a positive do
    not count; the result is a scalar >= 0, and 0 when no row has a positive.
    """
    log_probability = log_softmax(logits.masked_fill(ignored, _EXCLUDED), dim=1)  # [n, m]
    count = positive.sum(dim=1)  # [n]
    per_row = -(log_probability * positive).sum(dim=1) / count.clamp(min=1)  # [n]
    return per_row.sum() / (count > 0).sum().clamp(min=1)


def symmetric_multi_positive_softmax(
    logits: Tensor, positive: Tensor, ignored: Tensor, text_to_image_weight: float = 1.0
) -> Tensor:
    """Both directions of UniCL, (image_to_text + w * text_to_image) / (1 + w).

    `logits`, `positive`, `ignored` [images, texts]; `text_to_image_weight` w >= 0. Returns a
    scalar >= 0.
    """
    image_to_text = multi_positive_softmax(logits, positive, ignored)
    text_to_image = multi_positive_softmax(logits.T, positive.T, ignored.T)
    return (image_to_text + text_to_image_weight * text_to_image) / (1 + text_to_image_weight)


class InfoNCELoss(ContrastiveLoss):
    """Symmetric InfoNCE, the loss of CLIP: each photo must find its own text, and the reverse.

        L = 1/2n * sum over i of [ -log( exp(s * v_i.t_i) / sum over j of exp(s * v_i.t_j) )
                                   -log( exp(s * v_i.t_i) / sum over j of exp(s * v_j.t_i) ) ]

    Source: Radford et al., "Learning Transferable Visual Models from Natural Language
    Supervision", ICML 2021, figure 3, as open_clip's ClipLoss computes it.

    Choose it when every caption belongs to one photo alone; `ids` are not looked at, so that the
    same caption twice in a batch counts as a wrong match (UniCLLoss knows better).
    """

    def __init__(self) -> None:
        super().__init__()
        self._open_clip = ClipLoss()

    def forward(
        self,
        image: Tensor,
        text: Tensor,
        ids: Tensor,  # noqa: ARG002 - part of every loss's call
        logit_scale: Tensor,
        logit_bias: Tensor | None,  # noqa: ARG002 - a softmax is the same with any bias
    ) -> Tensor:
        """See ContrastiveLoss."""
        loss: Tensor = self._open_clip(image, text, logit_scale)
        return loss


class UniCLLoss(ContrastiveLoss):
    """InfoNCE in which all pairs with the same id are matches (UniCL; SupCon across towers).

        L = 1/2n * sum over i of 1/|P(i)| * sum over k in P(i) of
            [ -log softmax_j(s * v_i.t_j)[k] - log softmax_j(s * v_j.t_i)[k] ],
        P(i) = the pairs with the id of pair i, itself included

    Source: Yang et al., "Unified Contrastive Learning in Image-Text-Label Space", CVPR 2022,
    equations 2-4, halved so that it equals InfoNCE when all ids differ.

    Choose it first: for captions it is CLIP's loss without its false negatives, and for labelled
    photos the only one here in which ten photos of one class do not push each other away.
    """

    def forward(
        self,
        image: Tensor,
        text: Tensor,
        ids: Tensor,
        logit_scale: Tensor,
        logit_bias: Tensor | None,  # noqa: ARG002 - a softmax is the same with any bias
    ) -> Tensor:
        """See ContrastiveLoss."""
        logits = logit_scale * image @ text.T  # [n, n]
        positive = same_meaning(ids)  # [n, n]
        return symmetric_multi_positive_softmax(logits, positive, torch.zeros_like(positive))
