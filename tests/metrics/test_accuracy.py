import math

import numpy as np
import pytest

from clipsearch.metrics import (
    expected_calibration_error,
    intersection_at_k,
    label_report,
    mean_per_class,
    top_k_accuracy,
)
from clipsearch.types import Floats, Ids

# Four cats, one dog; a dog that is taken for a cat, a cat that is taken for a fish.
TRUTH = np.array([0, 0, 0, 0, 1])
PREDICTED = np.array([0, 0, 0, 2, 0])
RANKS = np.array([1, 1, 1, 2, 6])


def test_label_report_typed_by_hand() -> None:
    report = label_report(["cat", "dog", "fish"], TRUTH, PREDICTED, RANKS)
    assert (report.photos, report.top_1, report.top_5) == (5, 0.6, 0.8)
    assert report.mean_per_class == pytest.approx((3 / 4 + 0) / 2)
    assert [(c.label, c.photos, c.top_1, c.top_5) for c in report.by_label] == [
        ("cat", 4, 3, 4),
        ("dog", 1, 0, 0),
    ]
    confused = [(c.truth, c.predicted, c.count) for c in report.confusions]
    assert confused == [("cat", "fish", 1), ("dog", "cat", 1)]


def test_without_photos_nothing_is_claimed() -> None:
    none = np.empty(0, np.int64)
    report = label_report(["cat"], none, none, none)
    assert (report.photos, report.top_1, report.top_5, report.mean_per_class) == (
        0,
        None,
        None,
        None,
    )
    assert math.isnan(top_k_accuracy(none, 1))
    assert math.isnan(mean_per_class(none.astype(bool), none))
    assert math.isnan(expected_calibration_error(np.empty(0, np.float32), none.astype(bool)))


def test_a_tie_for_the_first_place_is_wrong() -> None:
    # The right label shares the highest score with another: its rank is 2, the worst among equals.
    report = label_report(["cat", "dog"], np.array([0]), np.array([0]), np.array([2]))
    assert report.top_1 == 0
    assert report.by_label[0].top_1 == 0


def test_mean_per_class_ignores_how_many_photos_a_class_has() -> None:
    correct = np.array([True] * 98 + [False, False])
    assert mean_per_class(correct, np.array([0] * 98 + [5, 5])) == 0.5


def confidences(*values: float) -> Floats:
    return np.array(values, np.float32)


def test_calibration_typed_by_hand() -> None:
    # Bins of 0.5: (0, 0.5] holds 0.3 and 0.5 (one right), (0.5, 1] holds 0.9 (wrong).
    error = expected_calibration_error(
        confidences(0.3, 0.5, 0.9), np.array([True, False, False]), bins=2
    )
    assert error == pytest.approx(2 / 3 * abs(0.5 - 0.4) + 1 / 3 * 0.9)


def test_calibration_of_the_sure() -> None:
    assert expected_calibration_error(confidences(1, 1), np.array([True, True])) == 0
    assert expected_calibration_error(confidences(1, 1), np.array([False, False])) == 1


def found(*rows: list[int]) -> Ids:
    return np.array(rows, np.int64)


def test_intersection_typed_by_hand() -> None:
    exact = found([1, 2, 3], [4, 5, 6])
    assert intersection_at_k(found([3, 2, 1], [4, 7, 8]), exact) == pytest.approx(4 / 6)
    assert intersection_at_k(exact, exact) == 1


def test_missing_and_repeated_answers_are_no_answers() -> None:
    exact = found([1, 2, 3])
    assert intersection_at_k(found([1, -1, -1]), exact) == pytest.approx(1 / 3)
    assert intersection_at_k(found([1, 1, 1]), exact) == pytest.approx(1 / 3)
    # Fewer rows than k exist: what is there was found.
    assert intersection_at_k(found([1, -1, -1]), found([1, -1, -1])) == 1
    with pytest.raises(ValueError, match="do not compare"):
        intersection_at_k(found([1, 2]), exact)
