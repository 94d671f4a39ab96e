"""A learned direction for every concept, beside the captions that name it.

Learned with captions alone, the captions of 500 things stayed in about 35 of their 128 dimensions,
and the photos with them; a classifier on the same features told photos apart better. So the photo
tower also learns against one free vector a concept, and the text tower learns those vectors last
(recipes/polish.py).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


class Prototypes(nn.Module):
    """One unit vector a concept and a `logit_scale` of their own, for training only.

    A normalised softmax: Zhai and Wu, "Classification is a strong baseline for deep metric
    learning", BMVC 2019.
    """

    def __init__(self, concepts: int, embed_dim: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(concepts, embed_dim) * 0.02)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(20.0)))

    def start_from(self, vectors: Tensor, logit_scale: float) -> None:
        """Begin with these directions [concepts, embed_dim] instead of random ones."""
        with torch.no_grad():
            self.vectors.copy_(vectors)
            self.logit_scale.fill_(math.log(logit_scale))

    def unit(self) -> Tensor:
        """The directions [concepts, embed_dim], each of length 1."""
        return normalize(self.vectors, dim=-1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, concepts] of unit image embeddings [n, embed_dim]."""
        return images @ self.unit().T * self.logit_scale.exp()
