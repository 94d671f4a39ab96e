"""What a tokenizer makes of captions."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

# Captions are measured with so much more room than a model has.
_ROOM = 4


def tokenize_with(tokenizer: Any, context_length: int) -> Callable[[Sequence[str]], Tensor]:
    """Texts to token rows [n, context_length] int64, as open_clip's tokenizer makes them."""

    def tokenize(texts: Sequence[str]) -> Tensor:
        rows: Tensor = tokenizer(list(texts), context_length=context_length)
        return rows

    return tokenize


def too_long_for(tokenizer: Any, context_length: int) -> Callable[[Sequence[str]], Sequence[bool]]:
    """Which captions the context cuts: those that fill more of a longer one."""

    def too_long(texts: Sequence[str]) -> Sequence[bool]:
        if not texts:
            return []
        rows = torch.as_tensor(tokenizer(list(texts), context_length=_ROOM * context_length))
        used = (rows[:, context_length:] != _padding(tokenizer)).any(dim=1)
        return [bool(each) for each in used]

    return too_long


def _padding(tokenizer: Any) -> int:
    inner = getattr(tokenizer, "tokenizer", None)
    return int(getattr(inner, "pad_token_id", None) or 0)
