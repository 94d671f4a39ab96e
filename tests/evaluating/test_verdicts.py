import numpy as np

from clipsearch.evaluating import verdict
from clipsearch.metrics import PairedDifference, paired_difference


def test_better_worse_and_neither() -> None:
    better = PairedDifference(0.0421, 0.011, 0.0734, 0.00234, 700)
    assert verdict("A", "B", better, "recall@5") == (
        "B is better than A: +4.2 points of recall@5, 95 % interval +1.1 to +7.3, p = 0.002, "
        "700 photos"
    )
    worse = PairedDifference(-0.04, -0.07, -0.01, 0.0004, 700)
    assert verdict("A", "B", worse, "recall@5").startswith("B is worse than A: -4.0 points")
    assert "p = 0.0004" in verdict("A", "B", worse, "recall@5")
    unsure = PairedDifference(0.008, -0.01, 0.026, 0.4, 1)
    assert verdict("A", "B", unsure, "recall@5") == (
        "no sure difference between A and B: +0.8 points of recall@5, 95 % interval -1.0 to +2.6, "
        "p = 0.400, 1 photo"
    )


def test_a_handful_of_photos_is_no_proof() -> None:
    few = paired_difference(np.zeros(4), np.ones(4), np.arange(4))
    assert verdict("A", "B", few, "recall@5").startswith("no sure difference")


def test_equal_models() -> None:
    same = paired_difference(np.ones(9), np.ones(9), np.arange(9))
    assert verdict("A", "B", same, "recall@5").startswith("B and A are equal: 0.0 points")
