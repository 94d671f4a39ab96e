"""Search a library: a `Query` in, the photos that fit it best out."""

import heapq
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from clipsearch.concepts.known import KnownConcept, known_thing
from clipsearch.encoders import Towers
from clipsearch.errors import ModelMismatchError, QueryError, StorageError, UsageError
from clipsearch.library import Library
from clipsearch.photos.files import file_stat
from clipsearch.photos.reading import PhotoReader, nothing_known
from clipsearch.query import Query, Term
from clipsearch.ranking import combine, unit
from clipsearch.storage.records import PhotoRow
from clipsearch.types import (
    FileStat,
    Floats,
    Ids,
    Lap,
    PhotoFacts,
    PhotoFilter,
    PhotoProblem,
    Pixels,
    no_lap,
    same_file,
)

# Scores are compared to six decimals: below that, the order would be that of rounding errors.
_DECIMALS = 6
_BLOCK = 4096
# With a filter, so many of the nearest photos are looked at for each one wanted, and then so many,
# before the filter is asked about all.
_TRIED_FOR_EACH = (4, 16)


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

    Raises QueryError for an example that is no photo, UsageError for a concept that was not taught,
    StorageError for a library without photos,
    ModelMismatchError when the towers are not those of the library's model.
    """
    if top_k < 1:
        raise UsageError(f"cannot find {top_k} photos", "Ask for at least 1")
    wanted = _located(query.filter)
    with library.catalogue.reading():
        if not query.terms:
            return SearchAnswer(_numbered(_newest(library, wanted, top_k)))
        vector, warnings = query_vector(library, towers, query.terms, lap)
        own = None if min_score is not None else _least_score(library, towers, query.terms)
        least = own if min_score is None else min_score
        found = _best(library, vector, wanted, top_k, lap)
        kept = [(score, row) for score, row in found if least is None or score >= least]
        if own is not None and len(kept) < len(found):
            warnings += (
                "photos that are more likely something else are left out; to see them, "
                "add --min-score -1",
            )
        return SearchAnswer(_numbered(kept), warnings)


def query_vector(
    library: Library, towers: Towers, terms: tuple[Term, ...], lap: Lap = no_lap
) -> tuple[Floats, tuple[str, ...]]:
    """The unit vector (dim,) of some terms (see `ranking.combine`), and warnings about them.

    Raises as `search` does.
    """
    _require_same_model(library, towers)
    vectors = np.empty((len(terms), towers.info.embed_dim), np.float32)
    texts = [i for i, term in enumerate(terms) if term.kind == "text"]
    concepts = [i for i, term in enumerate(terms) if term.kind == "concept"]
    photos = [i for i, term in enumerate(terms) if term.kind == "photo"]
    warnings: list[str] = []
    if texts:
        values = [terms[i].value for i in texts]
        tower = towers.text
        lap("text tower open")
        vectors[texts] = unit(tower.encode_text(values))
        warnings.extend(_text_warnings(towers, values))
        lap("text tower run")
    for i in concepts:
        known = _known(library, towers, terms[i].value)
        vectors[i] = unit(known.classifiers[0].weights)
        warnings.extend(known.warnings)
    if photos:
        values = [terms[i].value for i in photos]
        vectors[photos], about = _photo_vectors(library, towers, values)
        warnings.extend(about)
        lap("example photos")
    weights = np.array([term.weight for term in terms], np.float32)
    return combine(vectors, weights), tuple(warnings)


def _known(library: Library, towers: Towers, name: str) -> KnownConcept:
    model_id = library.catalogue.active_model_id()
    if model_id is None:
        raise StorageError(
            f"the library {library.directory} has no photos yet", "Run: clipsearch index FOLDER"
        )
    # The text tower is opened only when words are needed to learn it again.
    return known_thing(library.catalogue, name, model_id, lambda t: towers.text.encode_text(t))


def _least_score(library: Library, towers: Towers, terms: tuple[Term, ...]) -> float | None:
    """The cosine from which a photo is more likely the concept than not, for a query of one."""
    if len(terms) != 1 or terms[0].kind != "concept":
        return None
    return _known(library, towers, terms[0].value).classifiers[0].even_cosine


def _require_same_model(library: Library, towers: Towers) -> None:
    model = library.model
    if model is not None and model.fingerprint != towers.info.fingerprint:
        raise ModelMismatchError(
            f"the library was made with {model.name}, the query with {towers.info.name}",
            f"Use {model.name}, or run: clipsearch index --model {towers.info.name}",
        )


def _text_warnings(towers: Towers, texts: list[str]) -> list[str]:
    warnings = [
        f"only the beginning of {_shortened(text)} was read: the model reads about "
        f"{towers.info.context_length} word parts"
        for text, cut in zip(texts, towers.text.truncated(texts), strict=True)
        if cut
    ]
    unknown = dict.fromkeys(word for text in texts for word in towers.text.unknown_words(text))
    if unknown:
        words = ", ".join(_shortened(word) for word in list(unknown)[:10])
        warnings.append(
            f"the model {towers.info.name} was never shown {words}: expect poor results for it"
        )
    return warnings


def _shortened(text: str) -> str:
    return f'"{text}"' if len(text) <= 40 else f'"{text[:40]}..."'


def _photo_vectors(library: Library, towers: Towers, typed: list[str]) -> tuple[Floats, list[str]]:
    """(len(typed), dim) unit rows of example photos: stored ones where they are still true."""
    vectors = np.empty((len(typed), towers.info.embed_dim), np.float32)
    unread: dict[bytes, list[int]] = {}
    warnings = []
    for i, path_typed in enumerate(typed):
        path = _absolute(path_typed)
        row = _stored(library, path, _stat(path, path_typed))
        if row is None:
            unread.setdefault(path, []).append(i)
            continue
        ids = np.array([row.content_id], np.int64)
        vectors[i] = library.vectors_of(ids)[0]
        copies = len(library.catalogue.photos_of(ids).get(row.content_id, []))
        if copies > 1:
            warnings.append(f"{path_typed} is in the library {copies} times")
    for path, pixels in _decoded(towers, list(unread)):
        vectors[unread[path]] = unit(towers.image.encode_image(pixels[None]))[0]
    return vectors, warnings


def _decoded(towers: Towers, paths: list[bytes]) -> Iterator[tuple[bytes, Pixels]]:
    """The pixels of photos that are not indexed. Raises QueryError for what is no photo."""
    if not paths:
        return
    with PhotoReader(towers.info.preprocess, 1) as reader:
        for outcome in reader.read(paths, nothing_known):
            if isinstance(outcome, PhotoProblem):
                reason = f"{os.fsdecode(outcome.path)} cannot be an example: {outcome.reason}"
                raise QueryError(reason, "Give a photo")
            assert outcome.pixels is not None  # nothing was declared known
            yield outcome.path, outcome.pixels


def _absolute(typed: str) -> bytes:
    # A library knows photos by their real path; a link to one is followed on request.
    return os.path.realpath(os.fsencode(os.path.expanduser(typed)))


def _stat(path: bytes, typed: str) -> FileStat | None:
    """The file's facts, or None when it cannot be reached. Raises QueryError for a folder."""
    if os.path.isdir(path):
        raise QueryError(
            f"{typed} is a folder", f"Give a photo; for photos inside it write in:{typed}"
        )
    try:
        return file_stat(os.lstat(path))
    except OSError:
        return None


def _stored(library: Library, path: bytes, stat: FileStat | None) -> PhotoRow | None:
    """The photo's row when its stored embedding can be used.

    A file that changed since it was indexed is read again; one that cannot be reached (a drive that
    is not there) still is what it was. Raises QueryError when there is neither file nor row.
    """
    row = library.catalogue.photo_at(path)
    model_id = library.catalogue.active_model_id()
    usable = (
        row is not None
        and model_id is not None
        and (stat is None or same_file(stat, row.stat))
        and library.catalogue.has_embedding(model_id, row.content_hash)
    )
    if not usable and stat is None:
        raise QueryError(
            f"there is no photo {os.fsdecode(path)}",
            "Check the path; if you meant the words, write text: before them",
        )
    return row if usable else None


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


def _best(
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
    answer = None
    for tried in _TRIED_FOR_EACH:
        number = tried * (top_k + 1)
        rows = _rows(library, ids[:number], scores[:number], wanted)
        best = heapq.nsmallest(top_k, rows, key=_rank)
        # Others score no more than the last one that was looked at; a tie with it would need them.
        enough = len(best) == top_k and best[-1][0] > scores[:number][-1]
        if len(ids) < number or enough:
            answer = best
            break
    lap("photo rows")
    return answer


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
