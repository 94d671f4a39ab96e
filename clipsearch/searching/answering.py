"""A `Query` is answered: what fits it best, or without terms what is newest."""

import heapq
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from clipsearch.encoders import Towers
from clipsearch.errors import UsageError
from clipsearch.library import Library
from clipsearch.query import Query
from clipsearch.searching.nearest import best_photos
from clipsearch.searching.query_vectors import query_vector
from clipsearch.storage.records import PhotoRow
from clipsearch.types import Lap, PhotoFacts, PhotoFilter, no_lap

_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One photo that was found; a photo in two places is two results.

    `rank` counts from 1. `score` is the cosine between query and photo, in [-1, 1], higher is
    better; None when the query has only filters. `path` is absolute.
    """

    rank: int
    score: float | None
    path: bytes
    facts: PhotoFacts
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """The results, best first, and what a person should know about them."""

    results: tuple[SearchResult, ...]
    warnings: tuple[str, ...] = ()


def search(
    library: Library,
    towers: Towers,
    query: Query,
    *,
    top_k: int = 20,
    min_score: float | None = None,
    lap: Lap = no_lap,
) -> SearchAnswer:
    """The `top_k` photos of the library that fit the query best; equal scores by path.

    Exact: the same photos as scoring every photo and sorting. Photos scoring below `min_score`
    are left out; when the query is one concept and no `min_score` is given, those that are more
    likely something else, so that nothing may be found. A query of filters only lists photos by the
    date taken, newest first, undated ones last, and leaves `min_score` unused.

    `lap` is told which stage is over.

    Raises QueryError for an example that is no photo, UsageError for a concept that was not taught
    and for a NaN as `min_score`, StorageError for a library without photos,
    ModelMismatchError when the towers are not those of the library's model.
    """
    if top_k < 1:
        raise UsageError(f"cannot find {top_k} photos", "Ask for at least 1")
    if min_score is not None and math.isnan(min_score):
        # No photo scores as much: it would look as if nothing fitted.
        raise UsageError(f"{min_score} is no score", "Give a number from -1 to 1")
    wanted = _located(query.filter)
    with library.catalogue.reading():
        if not query.terms:
            return SearchAnswer(_numbered(_newest(library, wanted, top_k)))
        asked = query_vector(library, towers, query.terms, lap)
        least = asked.least_score if min_score is None else min_score
        found = best_photos(library, asked.vector, wanted, top_k, lap)
        kept = [(score, row) for score, row in found if least is None or score >= least]
        warnings = asked.warnings
        if min_score is None and len(kept) < len(found):
            warnings += (
                "photos that are more likely something else are left out; to see them, "
                "add --min-score -1",
            )
        return SearchAnswer(_numbered(kept), warnings)


def _located(wanted: PhotoFilter) -> PhotoFilter:
    """The filter with `~`, `./` and `../` folders made absolute, as the catalogue compares them."""
    return replace(
        wanted,
        folders=tuple(map(_located_folder, wanted.folders)),
        not_folders=tuple(map(_located_folder, wanted.not_folders)),
    )


def _located_folder(typed: str) -> str:
    folder = os.path.expanduser(typed)
    if os.path.isabs(folder) or folder.split("/")[0].split(os.sep)[0] in (".", ".."):
        return os.path.realpath(folder)
    return folder


def _newest(library: Library, wanted: PhotoFilter, top_k: int) -> list[tuple[None, PhotoRow]]:
    """Photos by the date taken, newest first, undated ones last; by path within a second."""
    ids = library.catalogue.live_contents(wanted)
    rows = (
        row
        for start in range(0, len(ids), _BLOCK)
        for photos in library.catalogue.photos_of(ids[start : start + _BLOCK], wanted).values()
        for row in photos
    )
    return [(None, row) for row in heapq.nsmallest(top_k, rows, key=_age)]


def _age(row: PhotoRow) -> tuple[bool, float, bytes]:
    taken = row.facts.taken_at
    seconds = (taken - datetime.min).total_seconds() if taken else 0.0
    return taken is None, -seconds, row.path


def _numbered(
    found: Iterable[tuple[float | None, PhotoRow]],
) -> tuple[SearchResult, ...]:
    return tuple(
        SearchResult(rank, score, row.path, row.facts, row.content_hash)
        for rank, (score, row) in enumerate(found, 1)
    )
