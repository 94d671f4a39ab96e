"""Lists of a FAISS index, compared with queries: one thread for each query."""

from typing import Any

import numpy as np

from clipsearch.storage.snapshot_file import SnapshotFile
from clipsearch.types import Floats, Ids

# Queries are spread over threads. One alone is not: on a busy machine the threads would wait for
# each other longer than it takes.
_THREAD_FOR_EACH_QUERY = 3
_FETCHED_AT_ONCE = 4096


def scan_lists(
    index: Any, queries: Floats, number: int, near: Ids, closeness: Floats, selector: Any = None
) -> tuple[Floats, Ids]:
    """The best rows of the lists `near` (q, lists) of an IVF index, as selected.

    (q, number) float32 scores and positions, best first, -1 for none.
    """
    faiss = _faiss()
    lists = near.shape[1]
    index.nprobe = lists
    index.parallel_mode = _THREAD_FOR_EACH_QUERY
    scores = np.empty((len(queries), number), np.float32)
    positions = np.empty((len(queries), number), np.int64)
    pointer = faiss.swig_ptr
    index.search_preassigned_c(
        len(queries),
        pointer(queries),
        number,
        pointer(near),
        pointer(closeness),
        pointer(scores),
        pointer(positions),
        False,
        faiss.SearchParametersIVF(sel=selector, nprobe=lists) if selector else None,
    )
    return scores, positions


class FetchedRows:
    """Rows fetched from all over a snapshot, and checked: a list of their own in memory."""

    def __init__(self, file: SnapshotFile, positions: Ids) -> None:
        """Raises UnusableSnapshot when a row is damaged."""
        faiss = _faiss()
        self.positions = positions
        dim = file.header.dim
        # FAISS wants something to choose lists by; the only one is not chosen.
        self._quantizer = faiss.IndexFlatIP(dim)
        half = faiss.ScalarQuantizer.QT_fp16
        self._index = faiss.IndexIVFScalarQuantizer(
            self._quantizer, dim, 1, half, faiss.METRIC_INNER_PRODUCT, False
        )
        self._index.is_trained = True
        for start in range(0, len(positions), _FETCHED_AT_ONCE):
            places = np.arange(start, min(start + _FETCHED_AT_ONCE, len(positions)))
            rows = file.rows_at(positions[places]).view(np.uint8)
            self._index.invlists.add_entries(
                0, len(places), faiss.swig_ptr(places), faiss.swig_ptr(rows)
            )
        self._index.ntotal = len(positions)

    def nearest(self, queries: Floats, number: int) -> tuple[Floats, Ids]:
        """The best rows for each query: (q, number) float32 scores and positions, -1 for none."""
        only = np.zeros((len(queries), 1), np.int64)
        scores, places = scan_lists(self._index, queries, number, only, only.astype(np.float32))
        return scores, np.where(places < 0, places, self.positions[places])


def _faiss() -> Any:
    """FAISS, which takes 0.1 s to import and whose stubs lack half of what is used here."""
    import faiss

    return faiss
