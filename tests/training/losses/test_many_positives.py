"""Losses of logits with several matches a row, against slow twins on matrices typed by hand."""

import math

import pytest
import torch

from clipsearch.training.losses import (
    multi_positive_softmax,
    pairwise_sigmoid,
    symmetric_multi_positive_softmax,
)

LOGITS = torch.tensor([[2.0, 0.0, 1.0], [0.5, 1.5, -1.0], [0.0, 0.0, 3.0], [1.0, 1.0, 1.0]])
POSITIVE = torch.tensor([[1, 0, 1], [0, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=torch.bool)
IGNORED = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=torch.bool)


def slow_softmax(logits: torch.Tensor, positive: torch.Tensor, ignored: torch.Tensor) -> float:
    rows = []
    for i in range(len(logits)):
        matches = [j for j in range(logits.shape[1]) if positive[i, j]]
        if not matches:
            continue
        total = sum(
            math.exp(logits[i, j].item()) for j in range(logits.shape[1]) if not ignored[i, j]
        )
        terms = [math.log(math.exp(logits[i, j].item()) / total) for j in matches]
        rows.append(-sum(terms) / len(matches))
    return sum(rows) / len(rows) if rows else 0.0


def slow_sigmoid(logits: torch.Tensor, positive: torch.Tensor, ignored: torch.Tensor) -> float:
    total = 0.0
    for i in range(len(logits)):
        for j in range(logits.shape[1]):
            if not ignored[i, j]:
                z = 1.0 if positive[i, j] else -1.0
                total -= math.log(1 / (1 + math.exp(-z * logits[i, j].item())))
    return total / len(logits)


def test_softmax_equals_its_slow_twin() -> None:
    found = multi_positive_softmax(LOGITS, POSITIVE, IGNORED).item()
    assert found == pytest.approx(slow_softmax(LOGITS, POSITIVE, IGNORED), abs=1e-5)


def test_both_directions_are_weighted() -> None:
    found = symmetric_multi_positive_softmax(LOGITS, POSITIVE, IGNORED, 0.5).item()
    rows = slow_softmax(LOGITS, POSITIVE, IGNORED)
    columns = slow_softmax(LOGITS.T, POSITIVE.T, IGNORED.T)
    assert found == pytest.approx((rows + 0.5 * columns) / 1.5, abs=1e-5)


def test_with_the_diagonal_as_positives_it_is_info_nce() -> None:
    logits = LOGITS[:3]
    nothing = torch.zeros(3, 3, dtype=torch.bool)
    found = multi_positive_softmax(logits, torch.eye(3, dtype=torch.bool), nothing)
    expected = torch.nn.functional.cross_entropy(logits, torch.arange(3))
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)


def test_a_second_photo_of_the_same_thing_is_not_punished() -> None:
    logits = torch.tensor([[5.0, 5.0, -5.0]])
    nothing = torch.zeros(1, 3, dtype=torch.bool)
    both = torch.tensor([[True, True, False]])
    one = torch.tensor([[True, False, False]])
    swapped = logits[:, [2, 1, 0]]
    assert multi_positive_softmax(logits, both, nothing) < multi_positive_softmax(
        swapped, both, nothing
    )
    assert multi_positive_softmax(logits, one, nothing).item() == pytest.approx(
        math.log(2), abs=1e-3
    )


def test_an_ignored_pair_changes_nothing() -> None:
    louder = LOGITS.clone()
    louder[1, 0] = 50.0
    louder[2, 1] = 50.0
    for loss in (multi_positive_softmax, pairwise_sigmoid):
        assert loss(louder, POSITIVE, IGNORED).item() == pytest.approx(
            loss(LOGITS, POSITIVE, IGNORED).item(), abs=1e-5
        )


def test_no_positive_at_all_gives_zero_and_a_finite_gradient() -> None:
    logits = LOGITS.clone().requires_grad_(True)
    nothing = torch.zeros_like(POSITIVE)
    loss = multi_positive_softmax(logits, nothing, ~nothing)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())


def test_sigmoid_equals_its_slow_twin() -> None:
    found = pairwise_sigmoid(LOGITS, POSITIVE, IGNORED).item()
    assert found == pytest.approx(slow_sigmoid(LOGITS, POSITIVE, IGNORED), abs=1e-5)


def test_sigmoid_at_zero_logits_is_log_two_for_each_text() -> None:
    nothing = torch.zeros(2, 5, dtype=torch.bool)
    found = pairwise_sigmoid(torch.zeros(2, 5), nothing, nothing)
    assert found.item() == pytest.approx(5 * math.log(2), abs=1e-5)
