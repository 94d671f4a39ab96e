"""Captions without their padding: half of the text tower's work is on columns that say nothing."""

from collections.abc import Callable
from typing import Any

import open_clip
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import normalize as to_unit_length


def short_text_encoder(model: nn.Module) -> Callable[[Tensor], Tensor] | None:
    """A faster `encode_text(tokens, normalize=True)` with the same result; None without one.

    It is for open_clip's own text tower: attention is causal, a text is read off at its end token,
    and rows are padded with 0, so that nothing after the longest text of a batch is ever looked at.
    """
    if type(model) is not open_clip.CLIP or model.text_pool_type != "argmax":
        return None
    if not isinstance(model.text_projection, Tensor) or model.attn_mask is None:
        return None

    def encode(tokens: Tensor) -> Tensor:
        longest = int(tokens.argmax(dim=1).max()) + 1  # the end token has the highest number
        return encode_short_text(model, tokens[:, :longest])

    return encode


def encode_short_text(clip: nn.Module, tokens: Tensor) -> Tensor:
    """Unit embeddings [n, embed_dim] of `tokens` [n, length], length up to the context length.

    Equal to open_clip's `encode_text(..., normalize=True)` on the same rows padded to the full
    context length, which is the only length that one takes: attention is causal, and what follows
    the end token is never looked at.
    """
    model: Any = clip
    length = tokens.shape[1]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]  # [n, length, width]
    # The fused attention's backward pass is five times slower than plain products on short texts.
    with sdpa_kernel(SDPBackend.MATH):
        x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = model.ln_final(x)
    end = x[torch.arange(len(x)), tokens.argmax(dim=1)]  # [n, width]
    return to_unit_length(end @ model.text_projection, dim=-1)
