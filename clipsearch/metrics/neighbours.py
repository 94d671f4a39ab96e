"""Whether a fast search finds what an exact one does."""

import numpy as np

from clipsearch.types import Ids


def intersection_at_k(found: Ids, exact: Ids) -> float:
    """The mean share of the exact k nearest that a search found, order set aside: 0..1.

    `found` and `exact` are (q, k) ids; -1 stands for nothing, as FAISS fills up short answers.
    Source: faiss.contrib.evaluation.knn_intersection_measure. Traps: ids that repeat within a row
    count once; and among equal scores either answer is right, so it may be below 1 for an exact
    search with another rule for ties. Raises ValueError when the shapes differ.
    """
    if found.shape != exact.shape or found.ndim != 2:
        raise ValueError(f"answers of shape {found.shape} and {exact.shape} do not compare")
    wanted = np.count_nonzero(exact >= 0)
    if not wanted:
        return 1.0
    shared = sum(
        len(np.intersect1d(row, right[right >= 0])) for row, right in zip(found, exact, strict=True)
    )
    return float(shared / wanted)
