"""What every contrastive loss takes and gives back."""

from abc import abstractmethod

from torch import Tensor, nn


class ContrastiveLoss(nn.Module):
    """How well photos and texts of one batch agree; lower is better.

    To be called outside autocast, on float32 features: at a scale of 100 the 8 bits of bfloat16
    leave a logit no better than 0.1.
    """

    @abstractmethod
    def forward(
        self,
        image: Tensor,
        text: Tensor,
        ids: Tensor,
        logit_scale: Tensor,
        logit_bias: Tensor | None,
    ) -> Tensor:
        """A scalar >= 0.

        `image`, `text` [n, d] float32 unit rows, row i of both being one pair; `ids` [n] integers,
        equal where two pairs mean the same thing (same caption, same label); `logit_scale` the
        factor itself, not its logarithm (`model.logit_scale.exp()`); `logit_bias` the model's, or
        None. Both are scalars or have one element.
        """


def same_meaning(ids: Tensor) -> Tensor:
    """Which pairs [n, n] bool have equal `ids` [n]; true on the diagonal."""
    return ids[:, None] == ids[None, :]
