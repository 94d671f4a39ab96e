"""How far a measured number can be trusted, and whether two models differ.

Items that belong together are drawn together: five captions of one photo are not five independent
observations, and intervals that treat them so are too narrow (cluster bootstrap, Davison & Hinkley
1997, section 3.8). `groups` names for each item what it belongs to, here always the photo.

Everything is drawn from a fixed seed: the same numbers give the same interval on every run.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipsearch.types import Ids

SEED = 20211
DRAWS = 2_000
# p values below about 1/FLIPS cannot be told apart.
FLIPS = 10_000
# Weights of one block of draws: 32 MB.
_MOST_WEIGHTS = 4_000_000

Values = NDArray[np.floating] | NDArray[np.bool_] | Ids


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval (percentile bootstrap). NaN throughout without items.

    Trap: where every item has the same value the interval has no width, however few there are.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Second minus first on the same items, with its 95 % interval.

    `p_value` is that of a two-sided sign-flip test: how often a difference at least as large turns
    up when the two models' results are exchanged at random, photo by photo. `groups` photos were
    compared.
    """

    difference: float
    low: float
    high: float
    p_value: float
    groups: int

    @property
    def is_sure(self) -> bool:
        """Whether both agree: the interval leaves 0 out and p < 0.05.

        With fewer than six photos never: the sign-flip test cannot give less than 2 / 2^5. The
        bootstrap alone would be sure of two photos.
        """
        return self.p_value < 0.05 and (self.low > 0 or self.high < 0)


def mean_estimate(values: Values, groups: Ids, *, seed: int = SEED, draws: int = DRAWS) -> Estimate:
    """The mean of `values` (n,), each drawn with all others of its group (n,).

    Every item weighs the same, so a photo with more captions weighs more.
    """
    if not len(values):
        return Estimate(np.nan, np.nan, np.nan)
    totals, sizes = _by_group(values, groups)  # (groups,) each
    means = [(weights @ totals) / (weights @ sizes) for weights in _draws(len(totals), draws, seed)]
    low, high = _middle(np.concatenate(means))
    return Estimate(float(np.mean(values)), low, high)


def median_estimate(
    values: Values, groups: Ids, *, seed: int = SEED, draws: int = DRAWS
) -> Estimate:
    """The median of `values` (n,); of an even number the mean of the two in the middle."""
    if not len(values):
        return Estimate(np.nan, np.nan, np.nan)
    group_of, count = _numbered(groups)
    order = np.argsort(values, kind="stable")
    ordered, owners = np.asarray(values, np.float64)[order], group_of[order]
    medians: list[float] = []
    for weights in _draws(count, draws, seed, cells=len(values)):
        # How often each item was drawn, summed up: (block, n). The median's place follows from it.
        drawn_until = np.cumsum(weights[:, owners], axis=1)
        for until in drawn_until:
            places = ((until[-1] - 1) // 2 + 1, until[-1] // 2 + 1)  # 1-based, both middles
            medians.append(float(ordered[np.searchsorted(until, places)].mean()))
    low, high = _middle(np.array(medians))
    return Estimate(float(np.median(values)), low, high)


def paired_difference(
    first: Values,
    second: Values,
    groups: Ids,
    *,
    seed: int = SEED,
    draws: int = DRAWS,
    flips: int = FLIPS,
) -> PairedDifference:
    """How much higher `second` (n,) is on average than `first` (n,), item by item.

    Item i is the same question put to both models. The interval is that of the mean difference,
    groups drawn together; the p value comes from exchanging the two models group by group (Fisher's
    sign-flip test), (1 + as large) / (1 + flips), so it is never 0.
    """
    difference = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    if not len(difference):
        return PairedDifference(np.nan, np.nan, np.nan, 1.0, 0)
    estimate = mean_estimate(difference, groups, seed=seed, draws=draws)
    totals, _ = _by_group(difference, groups)
    # Rounding must not make a difference smaller than its own mirror image.
    reached = abs(totals.sum()) - 1e-9
    rng = np.random.default_rng(seed)
    as_large = 0
    for block in _blocks(flips, len(totals)):
        signs = rng.integers(0, 2, (block, len(totals)), dtype=np.int8) * 2 - 1
        as_large += int(np.count_nonzero(np.abs(signs @ totals) >= reached))
    return PairedDifference(
        estimate.value, estimate.low, estimate.high, (1 + as_large) / (1 + flips), len(totals)
    )


def _by_group(values: Values, groups: Ids) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The sum of each group's values and how many there are, (groups,) each."""
    numbers, count = _numbered(groups)
    weights = np.asarray(values, np.float64)
    totals = np.bincount(numbers, weights, minlength=count).astype(np.float64)
    return totals, np.bincount(numbers, minlength=count).astype(np.float64)


def _numbered(groups: Ids) -> tuple[Ids, int]:
    """Each item's group as a number from 0, (n,), and how many groups there are."""
    names, numbers = np.unique(groups, return_inverse=True)
    return numbers.astype(np.int64), len(names)


def _draws(
    groups: int, draws: int, seed: int, cells: int | None = None
) -> Iterator[NDArray[np.int64]]:
    """Bootstrap draws in blocks (block, groups): how often each group was drawn.

    The same draws whatever the size of the blocks, which shrink to at most `cells` a draw.
    """
    rng = np.random.default_rng(seed)
    for block in _blocks(draws, max(groups, cells or 0)):
        yield np.stack(
            [np.bincount(rng.integers(0, groups, groups), minlength=groups) for _ in range(block)]
        )


def _blocks(total: int, width: int) -> Iterator[int]:
    """Numbers of rows that add up to `total`, each block of at most _MOST_WEIGHTS cells."""
    most = max(1, _MOST_WEIGHTS // max(1, width))
    for start in range(0, total, most):
        yield min(most, total - start)


def _middle(values: NDArray[np.float64]) -> tuple[float, float]:
    """The middle 95 % of `values`."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
