"""Contrastive losses in which a photo may match several texts, and a text several photos."""

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid

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


def pairwise_sigmoid(logits: Tensor, positive: Tensor, ignored: Tensor) -> Tensor:
    """Each pair judged alone: is this text true of this photo? Mean over photos of

        sum over texts j not ignored of -log sigmoid(z_ij * logits[i, j]),  z = +1 or -1

    Source: Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023, equation 1.
    Used for kinds-of texts, where several are true at once ("a dog", "an animal").

    `logits` [n, m] float; `positive`, `ignored` [n, m] bool. Returns a scalar >= 0.
    """
    sign = torch.where(positive, 1.0, -1.0)  # [n, m]
    per_pair = -logsigmoid(sign * logits).masked_fill(ignored, 0.0)  # [n, m]
    return per_pair.sum(dim=1).mean()
