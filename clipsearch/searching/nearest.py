"""The photos nearest to a query's vector, among those that pass a filter."""

import heapq

import numpy as np
from numpy.typing import NDArray

from clipsearch.library import Library
from clipsearch.storage.records import PhotoRow
from clipsearch.types import Floats, Ids, Lap, PhotoFilter

# Scores are compared to six decimals: below that, the order would be that of rounding errors.
_DECIMALS = 6
# With a filter, so many of the nearest photos are looked at for each one wanted, and then so many,
# before the filter is asked about all.
_TRIED_FOR_EACH = (4, 16)

# The score's negative, the path and the content: sorted, the best photo is the first.
_Candidate = tuple[float, bytes, int]


def best_photos(
    library: Library, vector: Floats, wanted: PhotoFilter, top_k: int, lap: Lap
) -> list[tuple[float, PhotoRow]]:
    """The best photos with their scores: by score, then by path."""
    if wanted == PhotoFilter():
        return _best_of(library, vector, None, wanted, top_k, lap)
    # A filter that is remembered let too few pass the last time.
    if library.remembered_contents(wanted) is None and library.has_snapshot():
        found = _best_of_all(library, vector, wanted, top_k, lap)
        if found is not None:
            return found
    allowed = library.contents_passing(wanted)
    lap("filters")
    return _best_of(library, vector, allowed, wanted, top_k, lap)


def _best_of_all(
    library: Library, vector: Floats, wanted: PhotoFilter, top_k: int, lap: Lap
) -> list[tuple[float, PhotoRow]] | None:
    """The best that pass the filter among the nearest of all; None when they are too few.

    A filter that lets many pass is asked about a few hundred photos this way, and not about all of
    the library. What is found is the beginning of the full ranking, filtered: photos further down
    score less than the last one that was looked at.
    """
    k = _TRIED_FOR_EACH[-1] * (top_k + 1)
    found, cosines = library.nearest(vector[None], k, None, lap)
    ids, scores = found[0], _rounded(cosines[0])
    best: list[_Candidate] = []
    candidates: list[_Candidate] = []
    looked_at = 0
    for tried in _TRIED_FOR_EACH:
        number = tried * (top_k + 1)
        part = slice(looked_at, number)
        candidates += _candidates(library, ids[part], scores[part], wanted)
        looked_at = number
        best = heapq.nsmallest(top_k, candidates)
        # Others score no more than the last one that was looked at; a tie with it would need them.
        enough = len(best) == top_k and -best[-1][0] > scores[:number][-1]
        if len(ids) < number or enough:
            break
    else:
        lap("photo rows")
        return None
    chosen = np.array([content_id for _, _, content_id in best], np.int64)
    photos = library.catalogue.photos_of(chosen, wanted).values()
    by_path = {row.path: row for rows in photos for row in rows}
    lap("photo rows")
    return [(-negative, by_path[path]) for negative, path, _ in best]


def _candidates(
    library: Library, ids: Ids, scores: NDArray[np.float64], wanted: PhotoFilter
) -> list[_Candidate]:
    """The photos of these contents that pass the filter, by their paths alone: that is cheap."""
    paths = library.catalogue.paths_of_all(ids, wanted)
    return [
        (-score, path, content_id)
        for content_id, score in zip(ids.tolist(), scores.tolist(), strict=True)
        for path in paths.get(content_id, [])
    ]


def _best_of(
    library: Library,
    vector: Floats,
    allowed: Ids | None,
    wanted: PhotoFilter,
    top_k: int,
    lap: Lap,
) -> list[tuple[float, PhotoRow]]:
    k = top_k + 1
    while True:
        found, cosines = library.nearest(vector[None], k, allowed, lap)  # (1, m) each
        ids, scores = found[0], _rounded(cosines[0])
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
