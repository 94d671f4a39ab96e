"""The photos nearest to a query's vector, among those that pass a filter."""

import heapq

import numpy as np
from numpy.typing import NDArray

from clipsearch.library import Library
from clipsearch.storage.records import PhotoRow
from clipsearch.types import Floats, Ids, Lap, PhotoFilter

# Scores are compared to six decimals: below that, the order would be that of rounding errors.
_DECIMALS = 6


def best_photos(
    library: Library, vector: Floats, wanted: PhotoFilter, top_k: int, lap: Lap
) -> list[tuple[float, PhotoRow]]:
    """The best photos with their scores: by score, then by path."""
    k = top_k + 1
    while True:
        ids, cosines = library.nearest_passing(vector, k, wanted, lap)  # (m,) each
        scores = _rounded(cosines)
        # Every content has at least one photo, so k contents are enough, unless one that was cut
        # off scores as much as the last one kept: then the path decides, and all are needed.
        if len(ids) < k or scores[top_k - 1] > scores[-1]:
            break
        k *= 2
    best = heapq.nsmallest(top_k, _rows(library, ids, scores, wanted), key=_rank)
    lap("photo rows")
    return best


def _rows(
    library: Library, ids: Ids, scores: NDArray[np.float64], wanted: PhotoFilter
) -> list[tuple[float, PhotoRow]]:
    """The photos of these contents that pass the filter, with their scores."""
    photos = library.catalogue.photos_of(ids, wanted)
    return [
        (score, row)
        for content_id, score in zip(ids.tolist(), scores.tolist(), strict=True)
        for row in photos.get(content_id, [])
    ]


def _rounded(cosines: Floats) -> NDArray[np.float64]:
    scores = np.round(cosines.astype(np.float64), _DECIMALS).astype(np.float64)
    return np.add(scores, 0.0, dtype=np.float64)  # no -0.0


def _rank(found: tuple[float, PhotoRow]) -> tuple[float, bytes]:
    return -found[0], found[1].path
