"""Training with only the tokens that captions use.

The CLIP tokenizer knows 49408 tokens; captions made from labels use a few hundred. Training the
others would cost time and memory, and leave noise behind: rows that were never trained are shipped
as zeros, so that an unknown word says nothing instead of something random.
"""

import torch
from torch import Tensor, nn


def used_tokens(token_rows: Tensor) -> Tensor:
    """The sorted distinct token ids in `token_rows` [n, context_length], with the padding id 0."""
    with_padding = torch.cat([token_rows.flatten(), torch.zeros(1, dtype=token_rows.dtype)])
    distinct: Tensor = torch.unique(with_padding)
    return distinct


class CompactTokens:
    """Renumbers tokens by rank among `used`. Order is kept: open_clip finds the end of a text as
    its largest id, and the end token stays the largest."""

    def __init__(self, used: Tensor, vocabulary_size: int) -> None:
        """`used` [k] sorted distinct ids below `vocabulary_size`."""
        self.used = used
        self.vocabulary_size = vocabulary_size

    def compact(self, token_rows: Tensor) -> Tensor:
        """Rank of each id, same shape. Raises ValueError for an id that is not in `used`."""
        ranks = torch.searchsorted(self.used, token_rows).clamp(max=len(self.used) - 1)
        if not bool((self.used[ranks] == token_rows).all()):
            raise ValueError("a caption uses a token outside the training vocabulary")
        return ranks

    def shrink(self, embedding: nn.Embedding) -> nn.Embedding:
        """A new embedding [k, width] with the rows of the used tokens."""
        rows = embedding.weight.detach()[self.used]
        return nn.Embedding(rows.shape[0], rows.shape[1], _weight=rows)

    def expand(self, compact_weight: Tensor) -> Tensor:
        """The full table [vocabulary_size, width]: trained rows in place, zeros elsewhere."""
        full = torch.zeros(self.vocabulary_size, compact_weight.shape[1])
        full[self.used] = compact_weight.float()
        return full


def trimmed(token_rows: Tensor, end_token: int) -> Tensor:
    """Drop the columns after the longest text; attention is causal, so nothing else changes.

    `token_rows` [n, context_length]; returns [n, longest].
    """
    longest = int((token_rows == end_token).int().argmax(dim=1).max()) + 1
    return token_rows[:, :longest]
