"""Photos that are nearly the same: such photos belong on one side of a split, see `split`."""

import numpy as np

from clipsearch.types import Floats

_BLOCK_ROWS = 1024


def pairs_alike(embeddings: Floats, threshold: float) -> list[tuple[int, int]]:
    """Pairs i < j of near-duplicates within one list [n, dim] of unit rows, for `split`."""
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(embeddings), _BLOCK_ROWS):
        cosines = embeddings[start : start + _BLOCK_ROWS] @ embeddings[start:].T  # [block, n']
        above = np.argwhere(np.triu(cosines >= threshold, 1)) + start
        pairs += [(int(i), int(j)) for i, j in above]
    return pairs
