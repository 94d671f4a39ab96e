"""The sigmoid loss: is this text true of this photo, each pair judged alone."""

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from clipsearch.training.losses.contrastive import ContrastiveLoss, same_meaning


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


class SigmoidLoss(ContrastiveLoss):
    """SigLIP's loss, in which all pairs with the same id are matches.

        L = 1/n * sum over i, j of -log sigmoid( z_ij * (s * v_i.t_j + b) ),
        z_ij = +1 when the ids of i and j are equal, else -1

    Source: Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023, equation 1;
    equal to open_clip's SigLipLoss, which knows only the diagonal, when all ids differ.

    Choose it for models pretrained with it (SigLIP, SigLIP 2), and when several texts may be true
    of one photo; a model pretrained with softmax learns better with UniCLLoss.
    """

    def __init__(self) -> None:
        super().__init__()
        # For models without one. SigLIP starts here: n - 1 of n pairs are no match.
        self.bias = nn.Parameter(torch.tensor(-10.0))

    @torch.no_grad()
    def fit_bias(self, image: Tensor, text: Tensor, ids: Tensor, logit_scale: Tensor) -> None:
        """Start this loss's own bias where the model stands; arguments as in `forward`.

        SigLIP's -10 goes with its initial scale of 10. At the scale of a model pretrained with
        softmax, 50 to 100, it would call every pair a match, and the first thing to be learned
        would be to forget. Set instead so that as many matches are expected as there are: the
        mean of sigmoid(s * v_i.t_j + b) is the share of matches, at most one half. Only for
        models without a `logit_bias`, once, on a batch seen by the model as it was.
        """
        logits = (logit_scale * image @ text.T).double()  # [n, n]
        share = same_meaning(ids).double().mean().clamp(max=0.5)
        low, high = -logits.max() - 50, -logits.min() + 50  # expect next to none, next to all
        for _ in range(60):  # halved until the float32 bias no longer changes
            middle = (low + high) / 2
            if torch.sigmoid(logits + middle).mean() < share:
                low = middle
            else:
                high = middle
        self.bias.copy_(high)

    def forward(
        self,
        image: Tensor,
        text: Tensor,
        ids: Tensor,
        logit_scale: Tensor,
        logit_bias: Tensor | None,
    ) -> Tensor:
        """See ContrastiveLoss. A model without `logit_bias` uses this loss's own."""
        bias = self.bias if logit_bias is None else logit_bias
        logits = logit_scale * image @ text.T + bias  # [n, n]
        positive = same_meaning(ids)  # [n, n]
        return pairwise_sigmoid(logits, positive, torch.zeros_like(positive))
