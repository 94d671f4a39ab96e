"""Labels given and labels right: accuracy, mean per class, calibration."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipsearch.types import Floats, Ids

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ClassAccuracy:
    """One label's photos and how many of them were right."""

    label: str
    photos: int
    top_1: int
    top_5: int


@dataclass(frozen=True, slots=True)
class Confusion:
    """`count` photos of `truth` were taken for `predicted`."""

    truth: str
    predicted: str
    count: int


@dataclass(frozen=True, slots=True)
class LabelReport:
    """How often labels are right over `photos` photos whose true label is known.

    `top_1` and `top_5` are shares of `photos` (0..1, None without photos) whose true label has the
    highest score, or one of the five highest: every photo weighs the same, a tie counts as wrong.
    `mean_per_class` is the mean of the labels' own top-1: every label that has photos weighs the
    same. `by_label` is in order of the labels, `confusions` most frequent first.
    """

    photos: int
    top_1: float | None
    top_5: float | None
    mean_per_class: float | None
    by_label: tuple[ClassAccuracy, ...]
    confusions: tuple[Confusion, ...]


def label_report(names: Sequence[str], truth: Ids, predicted: Ids, ranks: Ids) -> LabelReport:
    """Photo i is a `names[truth[i]]`, which stands at place `ranks[i]` (1 is best, ties last);
    `names[predicted[i]]` has the highest score. All three are (n,)."""
    photos, first = _counts(truth, names), _counts(truth[ranks == 1], names)
    among_five = _counts(truth[ranks <= 5], names)
    wrong = predicted != truth
    pairs = Counter(zip(truth[wrong].tolist(), predicted[wrong].tolist(), strict=True))
    confusions = [Confusion(names[t], names[p], count) for (t, p), count in pairs.items()]
    confusions.sort(key=lambda each: (-each.count, each.truth, each.predicted))
    known = len(truth) > 0
    return LabelReport(
        photos=len(truth),
        top_1=top_k_accuracy(ranks, 1) if known else None,
        top_5=top_k_accuracy(ranks, 5) if known else None,
        mean_per_class=mean_per_class(ranks == 1, truth) if known else None,
        by_label=tuple(
            ClassAccuracy(name, photos[i], first[i], among_five[i])
            for i, name in enumerate(names)
            if photos[i]
        ),
        confusions=tuple(confusions),
    )


def top_k_accuracy(ranks: Ids, k: int) -> float:
    """The share of `ranks` (n,) that are at most k, 0..1; NaN without any.

    Trap: with k labels or fewer it is 1 for every model that gives distinct scores.
    """
    return float((ranks <= k).mean()) if len(ranks) else float("nan")


def mean_per_class(correct: Bools, truth: Ids) -> float:
    """The mean over classes of the share of right photos in each, 0..1; NaN without photos.

    `correct` and `truth` are (n,). Classes without photos do not count: their share is unknown.
    Unlike accuracy it does not rise by being good at the one class that has most photos.
    """
    if not len(truth):
        return float("nan")
    _, numbers = np.unique(truth, return_inverse=True)
    return float((np.bincount(numbers, correct) / np.bincount(numbers)).mean())


def expected_calibration_error(confidence: Floats, correct: Bools, bins: int = 15) -> float:
    """How far stated probabilities are from how often they are right, 0..1; NaN without photos.

    ECE = sum over bins of (photos in the bin / n) * |share right - mean confidence|, with bins of
    equal width over (0, 1]. `confidence` (n,) is the probability of the label that was chosen,
    `correct` (n,) whether it was right. Source: Guo et al., "On Calibration of Modern Neural
    Networks", ICML 2017, equation 3. Trap: it depends on the number of bins, and a model that
    always states its accuracy has 0 without telling photos apart.
    """
    if not len(confidence):
        return float("nan")
    sure = np.asarray(confidence, np.float64)
    bin_of = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)  # (n,)
    gaps = np.bincount(bin_of, correct, bins) - np.bincount(bin_of, sure, bins)  # (bins,)
    return float(np.abs(gaps).sum() / len(sure))


def _counts(numbers: Ids, names: Sequence[str]) -> list[int]:
    counts: list[int] = np.bincount(numbers, minlength=len(names)).tolist()
    return counts
