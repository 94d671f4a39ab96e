"""Holding on to what a text tower knew: general prompts keep the embeddings they had."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# Prompts of one step: enough that the mean is not noise, few beside a batch of captions.
DRAWN = 256
# Prompts encoded at once before training, and of one step's prompts: a block is as wide as its
# longest prompt, and half of the everyday ones have half as many tokens as the longest.
_BLOCK = 256
_BLOCK_OF_STEP = 64


class TextAnchor:
    """The mean of 1 - cos(now, original) over prompts drawn anew for each step.

        L = 1/k * sum over drawn prompts p of (1 - t(p).t_0(p))

    t is the text tower in training, t_0 the original's, whose embeddings are computed once. Source:
    Li and Hoiem, "Learning without Forgetting", ECCV 2016, applied to embeddings. Without it a few
    hundred captions pull every other word along with them.
    """

    def __init__(self, tokens: Tensor, original: Tensor, drawn: int = DRAWN) -> None:
        """`tokens` [p, length] of the prompts, 0 where a row is padded; `original` [p, dim] their
        unit rows before."""
        by_length = (tokens != 0).sum(dim=1).argsort(stable=True)
        self._tokens, self._original = tokens[by_length], original[by_length.to(original.device)]
        self._drawn = drawn

    def loss(self, encode_text: Callable[[Tensor], Tensor]) -> Tensor:
        """A scalar in 0..2. Which prompts are drawn depends on torch's random numbers.

        They are encoded in blocks of like length: `encode_text` may leave out common padding.
        """
        device = self._original.device
        drawn = torch.randperm(len(self._tokens))[: self._drawn].sort().values
        blocks = torch.split(self._tokens[drawn].to(device), _BLOCK_OF_STEP)
        now = torch.cat([encode_text(block) for block in blocks])  # [k, dim]
        return 1 - (now * self._original[drawn.to(device)]).sum(dim=1).mean()


def anchor_to(
    prompts: Sequence[str],
    tokenize: Callable[[Sequence[str]], Tensor],
    encode_text: Callable[[Tensor], Tensor],
    device: torch.device,
    drawn: int = DRAWN,
) -> TextAnchor:
    """The anchor that holds `prompts` where `encode_text` has them now, `drawn` of them a step."""
    tokens = tokenize(list(prompts))
    with torch.no_grad():
        rows = [encode_text(block.to(device)) for block in torch.split(tokens, _BLOCK)]
    return TextAnchor(tokens, torch.cat(rows), drawn)
