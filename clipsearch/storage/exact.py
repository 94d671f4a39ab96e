"""Exact top-k by cosine, the same to the last bit however the candidates were found.

Fast arithmetic (float32, FAISS) proposes candidates with a known error; the score that counts is
computed again for those alone, row by row in float64. Equal scores are ordered by id.
"""

import numpy as np
from numpy.typing import NDArray

from clipsearch.types import Floats, Ids

# Summing up to a few thousand products of unit vectors in float32, whatever the order.
FLOAT_ERROR = 1e-5


def scores_of(rows: Floats, query: Floats) -> Floats:
    """Unit rows (n, dim) and a query (dim,) -> (n,) cosines that depend on no other row."""
    products: NDArray[np.float64] = np.einsum(
        "ij,j->i", rows.astype(np.float64), query.astype(np.float64)
    )
    return products.astype(np.float32)


def best(ids: Ids, scores: Floats, k: int) -> tuple[Ids, Floats]:
    """The k best of (n,) ids and scores: highest score first, then lowest id."""
    order = np.lexsort((ids, -scores))[:k]
    return ids[order], scores[order]


def top_k(ids: Ids, rows: Floats, query: Floats, k: int) -> tuple[Ids, Floats]:
    """The k rows (n, dim) nearest to a query (dim,), as (min(k, n),) ids and cosines."""
    if len(ids) > k:
        # Not `@`: waking BLAS threads for so little takes longer than the sums do.
        rough: Floats = np.einsum("ij,j->i", rows, query)  # (n,)
        limit = np.partition(rough, len(ids) - k)[len(ids) - k]
        near = np.flatnonzero(rough >= limit - 2 * FLOAT_ERROR * np.linalg.norm(query))
        ids, rows = ids[near], rows[near]
    return best(ids, scores_of(rows, query), k)


def nothing(queries: int) -> tuple[Ids, Floats]:
    """The empty answer to some queries: (q, 0) ids and cosines."""
    return np.empty((queries, 0), np.int64), np.empty((queries, 0), np.float32)


def merge(first: tuple[Ids, Floats], second: tuple[Ids, Floats], k: int) -> tuple[Ids, Floats]:
    """The best k of two answers (q, m) and (q, n) to the same queries."""
    ids = np.concatenate([first[0], second[0]], axis=1)
    scores = np.concatenate([first[1], second[1]], axis=1)
    merged = [best(i, s, k) for i, s in zip(ids, scores, strict=True)]
    return np.stack([m[0] for m in merged]), np.stack([m[1] for m in merged])
