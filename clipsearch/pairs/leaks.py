"""Photos that are on both sides of a split, or nearly: judged photos must not be learned ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from clipsearch.types import CaptionedPhoto, Floats

Embed = Callable[[Sequence[CaptionedPhoto]], Floats]

_BLOCK_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Leak:
    """Photo `first` of one list is photo `second` of another, or nearly: `cosine` 1 is the same."""

    first: int
    second: int
    cosine: float


def same_content(first: Sequence[bytes], second: Sequence[bytes]) -> list[Leak]:
    """Photos whose content hash is in both lists, by their numbers."""
    known: dict[bytes, list[int]] = {}
    for i, content_hash in enumerate(first):
        known.setdefault(content_hash, []).append(i)
    return [Leak(i, j, 1.0) for j, content in enumerate(second) for i in known.get(content, ())]


def near_duplicates(first: Floats, second: Floats, threshold: float) -> list[Leak]:
    """Pairs of a row of `first` [n, dim] and one of `second` [m, dim], unit rows, that are alike.

    Alike: their cosine is at least `threshold`. In order of `first`, then `second`. Memory for
    1,024 rows of cosines at a time.
    """
    found: list[Leak] = []
    for start in range(0, len(first), _BLOCK_ROWS):
        cosines = first[start : start + _BLOCK_ROWS] @ second.T  # [block, m]
        for i, j in np.argwhere(cosines >= threshold):
            found.append(Leak(start + int(i), int(j), float(cosines[i, j])))
    return found


def pairs_alike(embeddings: Floats, threshold: float) -> list[tuple[int, int]]:
    """Pairs i < j of near-duplicates within one list [n, dim] of unit rows, for `split`."""
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(embeddings), _BLOCK_ROWS):
        cosines = embeddings[start : start + _BLOCK_ROWS] @ embeddings[start:].T  # [block, n']
        above = np.argwhere(np.triu(cosines >= threshold, 1)) + start
        pairs += [(int(i), int(j)) for i, j in above]
    return pairs


def leaks_between(
    first: Sequence[CaptionedPhoto],
    first_hashes: Sequence[bytes],
    second: Sequence[CaptionedPhoto],
    second_hashes: Sequence[bytes],
    embed: Embed,
    threshold: float,
) -> list[Leak]:
    """All photos of `first` that are in `second` too, by content or by embedding.

    `embed` gives unit rows [n, dim] for photos. Sorted by number; each pair once.
    """
    same = same_content(first_hashes, second_hashes)
    by_pair = {(leak.first, leak.second): leak for leak in same}
    for leak in near_duplicates(embed(first), embed(second), threshold):
        by_pair.setdefault((leak.first, leak.second), leak)
    return [by_pair[pair] for pair in sorted(by_pair)]
