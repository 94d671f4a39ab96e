"""Photos and captions that find each other: ranks, recall@k, median rank, MRR.

Rank 1 is best. Ties count against the right answer: everything that does not score lower stands
before it. A model that gives every pair the same score thus earns nothing, and neither does one
whose scores are NaN. Traps: a caption that fits several photos (the same words twice) is a tie, so
recall@1 of such data is below 1 whatever the model; and numbers of two sets compare only when the
sets are equally large, because rank 5 of 1,000 is harder than rank 5 of 100.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipsearch.metrics.intervals import (
    DRAWS,
    SEED,
    Estimate,
    mean_estimate,
    median_estimate,
)
from clipsearch.types import Floats, Ids

CUTOFFS = (1, 5, 10)
# Scores of one block: 16 MB, whatever the numbers of photos and captions.
_MOST_SCORES = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class RetrievalRanks:
    """Where each right answer stands.

    `of_photo` (p,): for each photo with captions, the place of its best caption among the best
    caption of its own and all captions of others. `photos` (p,) are those photos' numbers.
    `of_caption` (m,): for each caption, the place of its photo among all photos. `owner` (m,).
    """

    photos: Ids
    of_photo: Ids
    owner: Ids
    of_caption: Ids


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction of retrieval over `queries` queries, with 95 % intervals by photo.

    `recall_at[k]` is the share of queries with a rank of at most k, in 0..1 (for photos with
    several captions: at least one of them is among the first k); `mean_reciprocal_rank` the mean
    of 1 / rank; `median_rank` the median of the ranks.
    """

    queries: int
    recall_at: Mapping[int, Estimate]
    median_rank: Estimate
    mean_reciprocal_rank: Estimate


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Both directions: `to_text` finds captions for a photo, `to_photo` the photo for a caption."""

    to_text: Direction
    to_photo: Direction


def retrieval(
    image: Floats, text: Floats, owner: Ids, *, seed: int = SEED, draws: int = DRAWS
) -> Retrieval:
    """Recall@1/5/10, median rank and MRR in both directions; see `retrieval_ranks`."""
    return summarise(retrieval_ranks(image, text, owner), seed=seed, draws=draws)


def retrieval_ranks(image: Floats, text: Floats, owner: Ids) -> RetrievalRanks:
    """Ranks of photos `image` (n, dim) and captions `text` (m, dim), both unit rows.

    Caption j belongs to photo `owner[j]` in 0..n-1; a photo may have several captions, or none: it
    is then only one more photo among which the others are to be found. Works in blocks: memory does
    not grow with n times m. Raises ValueError when shapes do not fit or an owner is no photo.
    """
    _check(image, text, owner)
    photos = np.unique(owner)
    of_photo = np.empty(len(photos), np.int64)
    for block in _row_blocks(len(photos), len(text)):
        scores = image[photos[block]] @ text.T  # (block, m)
        own = owner[None, :] == photos[block, None]  # (block, m)
        # A NaN among its own captions must not pass for the best of them, nor hide it.
        best = np.where(own, np.nan_to_num(scores, nan=-np.inf), -np.inf).max(axis=1)
        of_photo[block] = 1 + np.count_nonzero(~own & _not_below(scores, best), axis=1)
    return RetrievalRanks(photos, of_photo, owner, ranks_in_blocks(text, image, owner))


def ranks_in_blocks(queries: Floats, candidates: Floats, right: Ids) -> Ids:
    """The rank of candidate `right[i]` for each of (q, dim) queries among (c, dim) candidates.

    Ties and NaN count against it. Works in blocks. Returns (q,).
    """
    ranks = np.empty(len(queries), np.int64)
    for block in _row_blocks(len(queries), len(candidates)):
        scores = queries[block] @ candidates.T  # (block, c)
        # Taken from the same product: computed again it might differ in the last bit.
        own = scores[np.arange(len(scores)), right[block]]
        ranks[block] = np.count_nonzero(_not_below(scores, own), axis=1)
    return ranks


def summarise(ranks: RetrievalRanks, *, seed: int = SEED, draws: int = DRAWS) -> Retrieval:
    """The figures of some ranks, with intervals that draw each photo with all of its captions."""
    return Retrieval(
        to_text=_direction(ranks.of_photo, ranks.photos, seed, draws),
        to_photo=_direction(ranks.of_caption, ranks.owner, seed, draws),
    )


def recall_of_both(ranks: RetrievalRanks, k: int) -> NDArray[np.float64]:
    """One number for each photo with captions, (p,): how well photo and captions find each other.

    1/2 (a caption of it is among its first k) + 1/2 (share of its captions that have it among
    their first k). The mean over photos is recall@k averaged over both directions, every photo
    weighing the same.
    """
    numbers = np.searchsorted(ranks.photos, ranks.owner)
    found = np.bincount(numbers, ranks.of_caption <= k, minlength=len(ranks.photos))
    captions = np.bincount(numbers, minlength=len(ranks.photos))
    both: NDArray[np.float64] = ((ranks.of_photo <= k) + found / captions) / 2
    return both


def mean_recall_of_both(ranks: RetrievalRanks) -> NDArray[np.float64]:
    """The mean of `recall_of_both` at 1, 5 and 10, (p,): what two models are compared by.

    One number that neither a set of a few photos (where recall@5 is always 1) nor one of thousands
    (where recall@1 is nearly 0) makes useless.
    """
    recalls = [recall_of_both(ranks, k) for k in CUTOFFS]
    mean: NDArray[np.float64] = np.mean(recalls, axis=0)
    return mean


def _direction(ranks: Ids, groups: Ids, seed: int, draws: int) -> Direction:
    def mean(values: NDArray[np.bool_] | NDArray[np.float64]) -> Estimate:
        return mean_estimate(values, groups, seed=seed, draws=draws)

    return Direction(
        queries=len(ranks),
        recall_at={k: mean(ranks <= k) for k in CUTOFFS},
        median_rank=median_estimate(ranks, groups, seed=seed, draws=draws),
        mean_reciprocal_rank=mean(1 / ranks),
    )


def _not_below(scores: Floats, own: Floats) -> NDArray[np.bool_]:
    """(rows, n) and (rows,): what stands before or beside the right answer. True for NaN."""
    return ~(scores < own[:, None])


def _row_blocks(rows: int, width: int) -> Iterator[slice]:
    at_once = max(1, _MOST_SCORES // max(1, width))
    for start in range(0, rows, at_once):
        yield slice(start, start + at_once)


def _check(image: Floats, text: Floats, owner: Ids) -> None:
    if image.ndim != 2 or text.ndim != 2 or image.shape[1] != text.shape[1]:
        raise ValueError(f"photos {image.shape} and captions {text.shape} do not fit")
    if owner.shape != (len(text),):
        raise ValueError(f"{len(text)} captions have {owner.shape} owners")
    if len(owner) and not 0 <= owner.min() <= owner.max() < len(image):
        raise ValueError("a caption belongs to no photo")
