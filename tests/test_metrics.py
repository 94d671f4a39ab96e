import numpy as np
import pytest

from clipsearch.metrics import (
    Confusion,
    accuracy_at_k,
    confusion_matrix,
    expected_calibration_error,
    first_relevant_ranks,
    mean_class_accuracy,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
    wilson_interval,
    worst_confusions,
)
from clipsearch.types import Floats

# Three queries over four candidates.
SCORES = np.array([[0.9, 0.5, 0.4, 0.1], [0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.5, 0.5]], np.float32)
RELEVANT = np.array([[1, 0, 0, 1], [1, 1, 0, 0], [0, 0, 1, 0]], bool)


def test_first_relevant_rank_counts_ties_against() -> None:
    assert first_relevant_ranks(SCORES, RELEVANT).tolist() == [1, 3, 4]


def test_a_query_without_relevant_candidates_ranks_behind_all() -> None:
    assert first_relevant_ranks(SCORES, np.zeros((3, 4), bool)).tolist() == [5, 5, 5]


def test_recall_is_any_relevant_among_the_best_k() -> None:
    assert recall_at_k(SCORES, RELEVANT, 1) == pytest.approx(1 / 3)
    assert recall_at_k(SCORES, RELEVANT, 3) == pytest.approx(2 / 3)
    assert recall_at_k(SCORES, RELEVANT, 4) == 1.0


def test_precision_divides_by_k() -> None:
    # Row 0: 1 of the best 2; row 1: none; row 2: the tie is broken against it.
    assert precision_at_k(SCORES, RELEVANT, 2) == pytest.approx((0.5 + 0 + 0) / 3)
    assert precision_at_k(SCORES[:1], RELEVANT[:1], 4) == pytest.approx(0.5)


def test_ndcg_of_a_hand_computed_ranking() -> None:
    # Relevant at ranks 1 and 4 of 4; ideal would be 1 and 2.
    gained = 1 + 1 / np.log2(5)
    ideal = 1 + 1 / np.log2(3)
    assert ndcg_at_k(SCORES[:1], RELEVANT[:1], 4) == pytest.approx(gained / ideal)
    assert ndcg_at_k(SCORES[:1], np.zeros((1, 4), bool), 4) == 0.0


def test_accuracy_weighs_photos_or_classes() -> None:
    ranks = np.array([1, 1, 1, 2])
    truth = np.array([0, 0, 0, 1])
    assert accuracy_at_k(ranks, 1) == 0.75
    assert accuracy_at_k(ranks, 2) == 1.0
    assert mean_class_accuracy(ranks, truth) == 0.5


def test_confusion_rows_are_the_truth() -> None:
    counts = confusion_matrix(np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 0, 0]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [2, 0, 0]]
    assert worst_confusions(counts) == [Confusion(2, 0, 2), Confusion(0, 1, 1)]
    assert worst_confusions(counts, 1) == [Confusion(2, 0, 2)]


def test_calibration_error_of_two_bins() -> None:
    # Bin (0, 0.5]: mean confidence 0.4, accuracy 0.5; bin (0.5, 1]: 0.9 and 0.5.
    confidence: Floats = np.array([0.3, 0.5, 0.8, 1.0], np.float32)
    correct = np.array([True, False, True, False])
    expected = 0.5 * 0.1 + 0.5 * 0.4
    assert expected_calibration_error(confidence, correct, bins=2) == pytest.approx(expected)


def test_wilson_interval_stays_inside() -> None:
    low, high = wilson_interval(1.0, 10)
    assert high == 1.0
    assert low == pytest.approx(0.7225, abs=1e-3)
    assert wilson_interval(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-3)


def test_nothing_to_measure_is_no_number() -> None:
    empty = np.empty((0, 4), np.float32)
    for measure in (recall_at_k, precision_at_k, ndcg_at_k):
        with pytest.raises(ValueError, match="nothing to measure"):
            measure(empty, empty.astype(bool), 1)
    with pytest.raises(ValueError, match="nothing to measure"):
        accuracy_at_k(np.empty(0, np.int64), 1)
