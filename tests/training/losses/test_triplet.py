"""Triplets: which wrong match is taken, and what it costs."""

import pytest
import torch

from clipsearch.training.losses import TripletLoss, hardest, semi_hard
from clipsearch.training.losses.triplet import Mining
from tests.training.losses.by_hand import COSINES, DIFFERENT, IDS, transposed, value


def slow_one_way(cosines: list[list[float]], ids: list[int], margin: float, hard: bool) -> float:
    total = 0.0
    for i, row in enumerate(cosines):
        own = row[i]
        wrong = [cosine for j, cosine in enumerate(row) if ids[j] != ids[i]]
        if not wrong:
            continue
        below = [cosine for cosine in wrong if cosine < own]
        if hard:
            taken = max(wrong)
        elif below:
            taken = max(below)
        else:
            taken = min(wrong)
        total += max(0.0, margin - own + taken)
    return total / len(cosines)


@pytest.mark.parametrize("ids", [IDS, DIFFERENT, [0, 0, 0, 1], [7, 7, 7, 7]])
@pytest.mark.parametrize("margin", [0.1, 0.2, 0.5])
@pytest.mark.parametrize(("mine", "hard"), [(hardest, True), (semi_hard, False)])
def test_equals_its_slow_twin(ids: list[int], margin: float, mine: Mining, hard: bool) -> None:
    expected = slow_one_way(COSINES, ids, margin, hard)
    expected += slow_one_way(transposed(COSINES), ids, margin, hard)
    assert value(TripletLoss(margin, mine), ids) == pytest.approx(expected, abs=1e-6)


SCORES = torch.tensor([[0.5, 0.9, 0.4, 0.1], [0.7, 0.2, 0.8, 0.9]])
OWN = torch.tensor([0.5, 0.2])
NEGATIVE = torch.tensor([[False, True, True, True], [True, False, True, True]])


def test_the_hardest_is_the_most_similar() -> None:
    assert hardest(SCORES, OWN, NEGATIVE).tolist() == pytest.approx([0.9, 0.9])


def test_semi_hard_is_the_most_similar_below_the_match_or_else_the_least_similar() -> None:
    assert semi_hard(SCORES, OWN, NEGATIVE).tolist() == pytest.approx([0.4, 0.7])


def test_a_pair_of_the_same_id_is_never_the_wrong_match() -> None:
    """Photo 0 is as close to text 1 as to its own; with the same id that costs nothing."""
    image = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    text = image.clone()
    same, different = torch.tensor([4, 4, 5]), torch.tensor([4, 6, 5])
    for mine in (hardest, semi_hard):
        loss = TripletLoss(0.2, mine)
        assert loss(image, text, same, torch.tensor(1.0), None).item() == 0.0
    hard = TripletLoss(0.2, hardest)(image, text, different, torch.tensor(1.0), None)
    assert hard.item() == pytest.approx(2 * (0.2 + 0.2) / 3)
