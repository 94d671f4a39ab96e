"""Compact tokens: order, the end token, and zeros for what was never trained."""

import pytest
import torch
from torch import nn

from clipsearch.training.vocabulary import CompactTokens, trimmed, used_tokens

ROWS = torch.tensor([[90, 5, 99, 0, 0], [90, 5, 7, 99, 0]])


def test_used_tokens_are_sorted_distinct_and_hold_the_padding() -> None:
    assert used_tokens(ROWS).tolist() == [0, 5, 7, 90, 99]


def test_compacting_keeps_the_end_token_the_largest() -> None:
    compact = CompactTokens(used_tokens(ROWS), 100).compact(ROWS)
    assert compact.tolist() == [[3, 1, 4, 0, 0], [3, 1, 2, 4, 0]]
    assert compact.argmax(dim=1).tolist() == ROWS.argmax(dim=1).tolist()


@pytest.mark.parametrize("stranger", [6, 100])
def test_an_unknown_token_is_refused(stranger: int) -> None:
    with pytest.raises(ValueError, match="outside the training vocabulary"):
        CompactTokens(used_tokens(ROWS), 100).compact(torch.tensor([[stranger]]))


def test_expanding_undoes_shrinking_and_leaves_zeros() -> None:
    tokens = CompactTokens(used_tokens(ROWS), 100)
    full = nn.Embedding(100, 4)
    small = tokens.shrink(full)
    expanded = tokens.expand(small.weight)
    assert torch.equal(expanded[tokens.used], full.weight[tokens.used])
    assert expanded.abs().sum(dim=1).count_nonzero() == 5


def test_trimming_stops_after_the_longest_text() -> None:
    assert trimmed(ROWS, 99).tolist() == ROWS[:, :4].tolist()
