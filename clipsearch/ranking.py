"""From vectors to an order: combine, top-k, probabilities. numpy, pure, exact."""

import numpy as np
from numpy.typing import NDArray

from clipsearch.errors import ClipsearchError, QueryError
from clipsearch.types import Floats, Ids

# Below this length a combined vector is rounding noise, and its direction means nothing.
SHORTEST = 1e-4
# Up to so many of a row are found one by one.
_FEW = 8


def unit(vectors: Floats) -> Floats:
    """Scale rows (..., dim) to length 1. Raises ClipsearchError on a zero or non-finite row."""
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not np.isfinite(lengths).all() or (lengths < SHORTEST).any():
        raise ClipsearchError(
            "the model gave a vector without direction", "Check the model: clipsearch doctor"
        )
    rows: Floats = (vectors / lengths).astype(np.float32)
    return rows


def combine(vectors: Floats, weights: Floats) -> Floats:
    """One unit vector for several terms: q = normalise(sum_i w_i v_i / sum_i |w_i|).

    `vectors` is (terms, dim) with unit rows, `weights` (terms,), negative for what is left out.
    Because q has length 1 again, the product with a photo's unit vector stays a cosine in [-1, 1].
    Raises QueryError when the terms cancel out, ClipsearchError when a vector is not finite.
    """
    if not np.isfinite(vectors).all():
        raise ClipsearchError(
            "the model gave a vector that is not finite", "Check the model: clipsearch doctor"
        )
    mixed = weights.astype(np.float64) @ vectors.astype(np.float64) / np.abs(weights).sum()
    length = np.linalg.norm(mixed)
    if length < SHORTEST:
        raise QueryError("the query's terms cancel each other out", "Leave out something else")
    combined: Floats = (mixed / length).astype(np.float32)
    return combined


def top_k(scores: Floats, k: int, keys: Ids | None = None) -> Ids:
    """Positions of the k highest of `scores` (n,), best first; equal scores by ascending key.

    `keys` (n,) default to the positions. Exact: among equal scores at the edge the lowest keys are
    taken. NaN and -inf are never returned, so the answer may be shorter than k.
    """
    order_by = np.arange(len(scores)) if keys is None else keys
    candidates = np.flatnonzero(scores > -np.inf)  # False for NaN
    if 0 < k < len(candidates):
        usable = scores[candidates]
        edge = np.partition(usable, len(usable) - k)[len(usable) - k]
        candidates = candidates[usable >= edge]  # k of them, and all ties at the edge
    order = np.lexsort((order_by[candidates], -scores[candidates]))
    return candidates[order][: max(k, 0)].astype(np.int64)


def top_k_rows(scores: Floats, k: int) -> Ids:
    """For each row of `scores` (rows, n): columns of its k highest, best first, ties by column.

    Returns (rows, min(k, n)). Scores must not be NaN. The twin of `top_k` for many rows at once.
    """
    n = scores.shape[1]
    k = min(k, n)
    if k <= _FEW and k < n:
        return _few_best(scores, k)
    if k == n:
        return np.argsort(-scores, axis=1, kind="stable").astype(np.int64)
    best = np.sort(
        np.argpartition(scores, n - k, axis=1)[:, n - k :], axis=1
    )  # (rows, k) by column
    picked = np.take_along_axis(scores, best, axis=1)
    order = np.argsort(-picked, axis=1, kind="stable")
    columns: Ids = np.take_along_axis(best, order, axis=1).astype(np.int64)
    # argpartition keeps any of the columns that tie at the edge: do those rare rows slowly.
    edge = picked.min(axis=1, keepdims=True)
    for row in np.flatnonzero((scores >= edge).sum(axis=1) > k):
        columns[row] = top_k(scores[row], k)
    return columns


def _few_best(scores: Floats, k: int) -> Ids:
    """The highest one, k times over: for small k faster than partitioning every row."""
    left = scores.copy()
    columns = np.empty((len(scores), k), np.int64)
    rows = np.arange(len(scores))
    for place in range(k):
        # Of equal ones argmax takes the first.
        columns[:, place] = left.argmax(axis=1)
        left[rows, columns[:, place]] = -np.inf
    # Where fewer than k are above -inf, columns were taken twice: do those rare rows slowly.
    for row in np.flatnonzero(scores[rows, columns[:, -1]] == -np.inf) if k else ():
        columns[row] = np.argsort(-scores[row], kind="stable")[:k]
    return columns


def ranks_of(scores: Floats, columns: Ids) -> Ids:
    """For each row of `scores` (rows, n), the 1-based rank of its entry in column `columns[row]`.

    Ties count against it (the worst rank among equals), so that a constant score earns nothing.
    """
    wanted = scores[np.arange(len(scores)), columns][:, None]
    ranks: Ids = (scores >= wanted).sum(axis=1).astype(np.int64)
    return ranks


def softmax(logits: NDArray[np.floating]) -> Floats:
    """exp(x_i) / sum_j exp(x_j) along the last axis; stable, rows sum to 1."""
    shares: Floats = (logits - logits.max(axis=-1, keepdims=True)).astype(np.float32, copy=False)
    np.exp(shares, out=shares)
    shares /= shares.sum(axis=-1, keepdims=True)
    return shares


def sigmoid(logits: NDArray[np.floating]) -> Floats:
    """1 / (1 + exp(-x)), without overflow for large negative x."""
    small = np.exp(-np.abs(logits))  # in (0, 1]
    values: Floats = np.where(logits >= 0, 1 / (1 + small), small / (1 + small)).astype(np.float32)
    return values
