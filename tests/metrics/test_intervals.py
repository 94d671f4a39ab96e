import itertools
from collections.abc import Callable

import numpy as np
import pytest

from clipsearch.metrics import (
    Estimate,
    intervals,
    mean_estimate,
    median_estimate,
    paired_difference,
)


def numbers(*values: float) -> np.ndarray:
    return np.array(values)


def test_the_estimate_itself_is_the_plain_figure() -> None:
    groups = np.array([0, 0, 0, 1])
    assert mean_estimate(numbers(0, 0, 0, 1), groups).value == 0.25  # every item weighs the same
    assert median_estimate(numbers(1, 2, 9, 4), groups).value == 3


def test_every_possible_draw_of_two_groups() -> None:
    # Two photos, one with two captions: draws are (2,0), (1,1), (0,2), so means 0, 1/3 or 1.
    estimate = mean_estimate(numbers(0, 0, 1), np.array([7, 7, 3]))
    assert [estimate.low, estimate.value, estimate.high] == pytest.approx([0, 1 / 3, 1])
    # Medians of 5 5 5 5, of 5 5 9 and of 9 9.
    median = median_estimate(numbers(5, 5, 9), np.array([7, 7, 3]))
    assert (median.low, median.value, median.high) == (5, 5, 9)


@pytest.mark.parametrize(
    ("estimate_of", "figure"), [(mean_estimate, np.mean), (median_estimate, np.median)]
)
def test_intervals_equal_drawing_the_items_themselves(
    estimate_of: Callable[..., Estimate], figure: Callable[..., float]
) -> None:
    rng = np.random.default_rng(5)
    values, groups = rng.random(25), rng.integers(0, 8, 25)  # groups of unequal size
    names = np.unique(groups)
    figures = []
    draws = np.random.default_rng(11)
    for _ in range(200):
        drawn = names[draws.integers(0, len(names), len(names))]
        figures.append(figure(np.concatenate([values[groups == name] for name in drawn])))
    estimate = estimate_of(values, groups, seed=11, draws=200)
    assert [estimate.low, estimate.high] == pytest.approx(np.percentile(figures, [2.5, 97.5]))


def test_captions_of_one_photo_are_no_independent_observations() -> None:
    rng = np.random.default_rng(0)
    per_photo = rng.random(200) < 0.5
    five_each, photo = np.repeat(per_photo, 5), np.repeat(np.arange(200), 5)
    together = mean_estimate(five_each, photo)
    alone = mean_estimate(per_photo, np.arange(200))
    naive = mean_estimate(five_each, np.arange(1000))
    # Repeating an answer five times teaches nothing ...
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.01)
    # ... and 1.96 sqrt(1/4 / 200) to either side is what 200 photos allow.
    assert together.high - together.low == pytest.approx(2 * 1.96 * (0.25 / 200) ** 0.5, rel=0.1)
    assert naive.high - naive.low < 0.6 * (together.high - together.low)


def test_the_seed_decides_and_the_block_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    values, groups = np.random.default_rng(2).random(50), np.arange(50) // 2
    once = mean_estimate(values, groups), median_estimate(values, groups)
    monkeypatch.setattr(intervals, "_MOST_WEIGHTS", 60)
    assert (mean_estimate(values, groups), median_estimate(values, groups)) == once
    assert mean_estimate(values, groups, seed=1) != once[0]


def test_sign_flips_equal_all_of_them_counted() -> None:
    first, second = numbers(0, 0, 0, 1, 0, 0, 0), numbers(1, 1, 1, 0, 1, 0, 1)
    groups = np.array([0, 0, 1, 2, 3, 4, 5])
    totals = numbers(2, 1, -1, 1, 0, 1)  # by group
    every = [abs(np.dot(signs, totals)) >= 4 for signs in itertools.product((1, -1), repeat=6)]
    found = paired_difference(first, second, groups, flips=40_000)
    assert found.difference == pytest.approx(4 / 7)
    assert found.groups == 6
    assert found.p_value == pytest.approx(np.mean(every), abs=0.01)
    assert not found.is_sure


def test_a_model_does_not_differ_from_itself() -> None:
    values = np.random.default_rng(3).random(30)
    same = paired_difference(values, values, np.arange(30))
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    assert not same.is_sure


def test_pairing_finds_what_two_intervals_would_not() -> None:
    hard = np.random.default_rng(4).random(100)  # how hard each photo is, for both models alike
    found = paired_difference(hard, hard + 0.02, np.arange(100))
    assert found.is_sure
    assert found.low == pytest.approx(0.02)
    alone = mean_estimate(hard, np.arange(100)), mean_estimate(hard + 0.02, np.arange(100))
    assert alone[0].high > alone[1].low


@pytest.mark.parametrize("photos", [1, 2, 5])
def test_a_handful_of_photos_proves_nothing(photos: int) -> None:
    found = paired_difference(np.zeros(photos), np.ones(photos), np.arange(photos))
    assert found.low == 1  # the bootstrap alone would be sure
    assert not found.is_sure
    assert paired_difference(np.zeros(6), np.ones(6), np.arange(6)).is_sure


def test_nothing_measured_is_nan() -> None:
    nothing, no_groups = np.empty(0), np.empty(0, np.int64)
    assert np.isnan(mean_estimate(nothing, no_groups).value)
    assert np.isnan(median_estimate(nothing, no_groups).low)
    assert not paired_difference(nothing, nothing, no_groups).is_sure
