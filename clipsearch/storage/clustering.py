"""Lists for an inverted file: which rows lie close together."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipsearch.storage.half_floats import Halves, unit_rows
from clipsearch.types import Floats, Ids

ListNumbers = NDArray[np.int32]

# Rounds of k-means, and rows for each list in it: more of either finds hardly better lists.
_ROUNDS = 8
ROWS_TO_LEARN_A_LIST = 40
_BLOCK_ROWS = 8192


def lists_for(rows: int) -> int:
    """How many lists: a power of two near 2 sqrt(rows), so that both steps of search are short."""
    return 1 << round(math.log2(2 * math.sqrt(max(rows, 1))))


def sample(rows: int, lists: int) -> Ids:
    """Positions of the rows to learn from, the same for every call."""
    number = min(rows, ROWS_TO_LEARN_A_LIST * lists)
    drawn: Ids = np.random.default_rng(rows).choice(rows, number, replace=False).astype(np.int64)
    return np.sort(drawn)


def learn_centroids(rows: Floats, lists: int) -> Floats:
    """Spherical k-means over unit rows (n, dim) -> (lists, dim); n must be at least `lists`."""
    faiss = _faiss()
    parameters = faiss.ClusteringParameters()
    parameters.niter = _ROUNDS
    parameters.spherical = True
    parameters.min_points_per_centroid = 1
    parameters.max_points_per_centroid = len(rows)
    clustering = faiss.Clustering(rows.shape[1], lists, parameters)
    clustering.train(rows, faiss.IndexFlatIP(rows.shape[1]))
    centroids: Floats = faiss.vector_to_array(clustering.centroids).reshape(lists, -1)
    return centroids


def nearest_lists(centroids: Floats, rows: int, take: Callable[[Ids], Halves]) -> ListNumbers:
    """(rows,) the list of each row, in blocks: `take(positions)` gives the stored rows."""
    faiss = _faiss()
    index = faiss.IndexFlatIP(centroids.shape[1])
    index.add(centroids)
    numbers = np.empty(rows, np.int32)
    for start in range(0, rows, _BLOCK_ROWS):
        positions = np.arange(start, min(start + _BLOCK_ROWS, rows))
        numbers[positions] = index.search(unit_rows(take(positions)), 1)[1][:, 0]
    return numbers


def _faiss() -> Any:
    import faiss

    return faiss
