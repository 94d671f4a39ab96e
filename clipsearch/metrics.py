"""How good an answer is. numpy, pure; every definition, and its trap, is in the docstring.

Labels and classes are integers 0..classes-1. `scores` are (queries, candidates), higher is better.
Ties always count against the answer: a model that gives everything the same score earns nothing.
An empty set of queries has no value: these functions raise ValueError rather than return 0 or NaN.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from clipsearch.types import Floats, Ids

Relevance = NDArray[np.bool_]
Array = TypeVar("Array", bound=NDArray[np.generic])


def first_relevant_ranks(scores: Floats, relevant: Relevance) -> Ids:
    """For each query the 1-based rank of its best relevant candidate; candidates + 1 without one.

    `scores` and `relevant` are (queries, candidates). Irrelevant candidates of the same score come
    first.
    """
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)  # (queries, 1)
    ahead = (~relevant & (scores >= best)).sum(axis=1)
    without = ~relevant.any(axis=1)
    ranks: Ids = np.where(without, scores.shape[1] + 1, ahead + 1).astype(np.int64)
    return ranks


def recall_at_k(scores: Floats, relevant: Relevance, k: int) -> float:
    """Share of queries with at least one relevant candidate among the k best, 0..1.

    This is recall@k as retrieval papers since CLIP report it ("any correct item in the top k"), not
    the share of all relevant items found: with five captions per photo, photo-to-text recall counts
    a photo once. Compare only over candidate sets of the same size.
    """
    ranks = first_relevant_ranks(scores, relevant)
    return float((_some(ranks) <= k).mean())


def precision_at_k(scores: Floats, relevant: Relevance, k: int) -> float:
    """Mean over queries of the share of the k best candidates that are relevant, 0..1.

    The divisor is k even when fewer are relevant, so 1.0 may be out of reach; ties count against.
    """
    _some(scores)
    # Among equal scores, irrelevant ones first: sort by (-score, relevant).
    order = np.lexsort((relevant, -scores), axis=1)[:, :k]  # (queries, k)
    return float(np.take_along_axis(relevant, order, axis=1).sum(axis=1).mean() / k)


def ndcg_at_k(scores: Floats, relevant: Relevance, k: int) -> float:
    """Mean over queries of DCG@k / ideal DCG@k with binary gains, 0..1; ties count against.

    DCG@k = sum over the k best of relevant_i / log2(i + 1), i from 1 (Järvelin and Kekäläinen,
    2002). A query without any relevant candidate counts 0.
    """
    _some(scores)
    order = np.lexsort((relevant, -scores), axis=1)[:, :k]
    discounts = 1 / np.log2(np.arange(2, order.shape[1] + 2))
    gained = (np.take_along_axis(relevant, order, axis=1) * discounts).sum(axis=1)
    ideal = np.array([discounts[:n].sum() for n in relevant.sum(axis=1)])
    return float(np.divide(gained, ideal, out=np.zeros_like(gained), where=ideal > 0).mean())


def accuracy_at_k(ranks: Ids, k: int) -> float:
    """Top-k accuracy: share of photos whose true class is among the k highest scores, 0..1.

    `ranks` (photos,) is the 1-based rank of each photo's true class (`ranking.ranks_of`). Every
    photo weighs the same, so a large class weighs more: see `mean_class_accuracy`.
    """
    return float((_some(ranks) <= k).mean())


def mean_class_accuracy(ranks: Ids, truth: Ids, k: int = 1) -> float:
    """Top-k accuracy within each class, averaged over the classes that occur in `truth`, 0..1."""
    _some(ranks)
    return float(np.mean([(ranks[truth == label] <= k).mean() for label in np.unique(truth)]))


def confusion_matrix(truth: Ids, predicted: Ids, classes: int) -> Ids:
    """(classes, classes) counts: entry [t, p] is the number of photos of class t taken for p."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (truth, predicted), 1)
    return counts


@dataclass(frozen=True, slots=True)
class Confusion:
    """`count` photos of class `truth` were taken for class `predicted`."""

    truth: int
    predicted: int
    count: int


def worst_confusions(counts: Ids, limit: int | None = None) -> list[Confusion]:
    """The off-diagonal entries of a confusion matrix, most frequent first, then by class."""
    wrong = counts * (1 - np.eye(len(counts), dtype=np.int64))
    truths, predicted = np.nonzero(wrong)
    order = np.lexsort((predicted, truths, -wrong[truths, predicted]))[:limit]
    return [
        Confusion(int(t), int(p), int(wrong[t, p]))
        for t, p in zip(truths[order], predicted[order], strict=True)
    ]


def expected_calibration_error(confidence: Floats, correct: Relevance, bins: int = 15) -> float:
    """ECE: sum over bins of (share of photos in it) * |accuracy - mean confidence|, 0..1.

    `confidence` (photos,) is the probability given to the predicted class, `correct` (photos,)
    whether it was right. Bins are equally wide over (0, 1], as in Guo et al. 2017; the value
    depends on their number, so compare only at the same `bins`.
    """
    _some(confidence)
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=correct.astype(np.float64) - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def wilson_interval(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Confidence interval of a share measured on n independent cases (Wilson, 1927); 95 % for 1.96.

    Unlike the normal interval it stays inside 0..1 and is not empty at 0 or 1.
    """
    if n < 1:
        raise ValueError("nothing to measure")
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return max(0.0, centre - half), min(1.0, centre + half)


def _some(values: Array) -> Array:
    if len(values) == 0:
        raise ValueError("nothing to measure")
    return values
