"""Snapshots: a model's embeddings as a FAISS file that can be thrown away at any time.

The file is described in `snapshot_file`, how it is made in `snapshot_writing`. Here it is searched.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipsearch.storage.exact import FLOAT_ERROR, best, nothing, scores_of
from clipsearch.storage.half_floats import Halves, unit_rows
from clipsearch.storage.passing import Passing
from clipsearch.storage.scanning import FetchedRows, scan_lists
from clipsearch.storage.snapshot_file import (
    SnapshotFile,
    SnapshotHeader,
    UnusableSnapshot,
    identity_of,
    read_snapshot_file,
)
from clipsearch.types import Floats, Ids

# Rows fetched beyond k at first, so that one look is nearly always enough to prove the answer.
_MARGIN = 64
# The lists that are searched hold at least so many rows for each that is asked for.
_ROWS_FOR_EACH = 64
# When one row of so many is allowed, fetching those beats looking through lists.
_FEW = 64
# A filter is asked about so many of the nearest rows for each that is wanted, so many at a time.
_ASKED_FOR_EACH = 16
_ASKED_AT_ONCE = 4

# For (q, dim) queries the best so many rows: (q, number) float32 scores and positions, best first,
# -1 for none.
_Candidates = Callable[[Floats, int], tuple[Floats, Ids]]


class Snapshot:
    """An open snapshot, for one thread. Each row is checked before it is used."""

    def __init__(self, file: SnapshotFile) -> None:
        """Raises UnusableSnapshot when FAISS reads something else than the header says."""
        self.header = file.header
        self.content_ids = file.content_ids
        self._file = file
        self._index = _open_index(file)
        # FAISS opened the file by its name: after another took its place that was not checked.
        if identity_of(file.path) != file.identity:
            raise UnusableSnapshot("it was replaced while it was opened")
        self._checked = np.zeros(self.header.index.lists, np.bool_)
        self._by_content: NDArray[np.int32] | None = None
        self._fetched: FetchedRows | None = None

    def search(
        self,
        queries: Floats,
        k: int,
        allowed: Ids | None = None,
        excluded: Ids | None = None,
        probes: int | None = None,
    ) -> tuple[Ids, Floats]:
        """The k nearest rows to each query (q, dim): of `allowed` contents, without `excluded`.

        (q, m) content ids and cosines with m = min(k, rows that are allowed), highest cosine first,
        equal ones by id. The cosines are exact. An "exact" index finds what `exact.top_k` over the
        same rows of the catalogue does; an "ivf" one the best of the lists that are searched:
        `probes`, else as many as the header says, and in proportion more with fewer rows allowed.

        Raises UnusableSnapshot when a row is damaged.
        """
        chosen = self._chosen(allowed, excluded)
        available = self.header.rows if chosen is None else int(np.count_nonzero(chosen))
        k = min(k, available)
        if k <= 0 or not len(queries):
            return nothing(len(queries))
        if chosen is not None and available <= self.header.rows // _FEW:
            return self._among(np.flatnonzero(chosen), queries, k)
        lists = self._lists_for(k, available) if probes is None else probes
        return self._search_lists(queries, k, chosen, available, lists)

    def first_passing(self, query: Floats, k: int, passing: Passing) -> tuple[Ids, Floats] | None:
        """The k nearest rows to a query (dim,) of contents that pass a filter, as `search` gives.

        Only the nearest few hundred rows are asked about: None when fewer than k of those pass,
        None at once when it is known that too few do.

        Raises UnusableSnapshot when a row is damaged.
        """
        rows = self.header.rows
        few = passing.listed is not None and len(passing.listed) < rows // _ASKED_FOR_EACH
        if few or not rows:
            return None
        most = min(_ASKED_FOR_EACH * k, rows)
        one = np.ascontiguousarray(query[None], np.float32)
        rough, positions = self._scan(one, most, self._lists_for(most, rows), None)
        kept: Ids = positions[0, :0]
        for asked in range(0, most, _ASKED_AT_ONCE * k):
            some = positions[0, asked : asked + _ASKED_AT_ONCE * k]
            some = some[some >= 0]
            kept = np.concatenate([kept, some[passing.which(self.content_ids[some])]])
            if len(kept) < k:
                continue
            scores = scores_of(unit_rows(self._file.rows_at(kept)), query)
            ids, scores = best(self.content_ids[kept], scores, k)
            # No row that was not asked about may reach the k-th place.
            last = rough[0, min(asked + _ASKED_AT_ONCE * k, most) - 1]
            if scores[-1] > last + self._error(query):
                return ids, scores
        return None

    def stored(self, content_ids: Ids) -> tuple[Ids, Halves]:
        """Those of these contents that are here, in the order given, with their rows (n, dim).

        Raises UnusableSnapshot when one is damaged.
        """
        positions = self._positions(content_ids)
        return self.content_ids[positions], self._file.rows_at(positions)

    def check_rows(self) -> None:
        """Check every row, without FAISS. Raises UnusableSnapshot when one is damaged."""
        self._check_lists(np.arange(self.header.index.lists))

    def rows_at(self, positions: Ids) -> Halves:
        """The stored rows (n, dim) at some positions. Raises UnusableSnapshot for damaged ones."""
        return self._file.rows_at(positions)

    def lists(self) -> NDArray[np.int32]:
        """(rows,) the list that each position lies in."""
        counts = np.diff(self._file.starts)
        return np.repeat(np.arange(len(counts), dtype=np.int32), counts)

    @property
    def checks(self) -> NDArray[np.uint64]:
        """(rows,) the checks of all rows, by position."""
        return self._file.checks

    def centroids(self) -> Floats:
        """(lists, dim) the vectors by which lists are chosen."""
        rows: Floats = self._index.quantizer.reconstruct_n(0, self.header.index.lists)
        return rows

    def _check_lists(self, numbers: Ids) -> None:
        wanted = np.zeros(len(self._checked), np.bool_)
        wanted[numbers] = True
        for number in np.flatnonzero(wanted & ~self._checked).tolist():
            self._file.check_list(number)
            self._checked[number] = True

    def _lists_for(self, k: int, available: int) -> int:
        """How many lists hold enough rows that are allowed."""
        index, share = self.header.index, available / self.header.rows
        enough = max(index.probes, index.lists * _ROWS_FOR_EACH * k / self.header.rows)
        return min(index.lists, int(np.ceil(enough / share)))

    def _chosen(self, allowed: Ids | None, excluded: Ids | None) -> NDArray[np.bool_] | None:
        """(rows,) which positions may be found; None for all of them."""
        left_out = self._positions(excluded) if excluded is not None else np.empty(0, np.int64)
        if allowed is None and not len(left_out):
            return None
        chosen = np.full(self.header.rows, allowed is None)
        if allowed is not None:
            chosen[self._positions(allowed)] = True
        chosen[left_out] = False
        return chosen

    def _positions(self, content_ids: Ids) -> Ids:
        """Where these contents lie, of those that are here."""
        if not len(content_ids) or not self.header.rows:
            return np.empty(0, np.int64)
        if self._by_content is None:
            self._by_content = np.full(int(self.content_ids.max()) + 1, -1, np.int32)
            self._by_content[self.content_ids] = np.arange(self.header.rows, dtype=np.int32)
        known = content_ids[(content_ids >= 0) & (content_ids < len(self._by_content))]
        positions = self._by_content[known].astype(np.int64)
        return positions[positions >= 0]

    def _among(self, positions: Ids, queries: Floats, k: int) -> tuple[Ids, Floats]:
        """The k best of these rows: exact, whatever the index."""
        # A filter that is asked again allows the same rows.
        if self._fetched is None or not np.array_equal(self._fetched.positions, positions):
            self._fetched = FetchedRows(self._file, positions)
        return self._settled(queries, k, len(positions), self._fetched.nearest)

    def _search_lists(
        self,
        queries: Floats,
        k: int,
        chosen: NDArray[np.bool_] | None,
        available: int,
        lists: int,
    ) -> tuple[Ids, Floats]:
        selector = None
        if chosen is not None:
            faiss = _faiss()
            bits = np.packbits(chosen, bitorder="little")
            selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))

        def candidates(wanted: Floats, fetch: int) -> tuple[Floats, Ids]:
            number = lists
            while True:
                scores, positions = self._scan(wanted, fetch, number, selector)
                # Lists that hold fewer than k rows that are allowed were not enough.
                if number == self.header.index.lists or (positions[:, k - 1] >= 0).all():
                    return scores, positions
                number = min(4 * number, self.header.index.lists)

        return self._settled(queries, k, available, candidates)

    def _settled(
        self, queries: Floats, k: int, available: int, candidates: _Candidates
    ) -> tuple[Ids, Floats]:
        """The k best of what `candidates` finds, in exact cosines.

        More of them are fetched until no other can reach the k-th place.
        """
        ids = np.empty((len(queries), k), np.int64)
        scores = np.empty((len(queries), k), np.float32)
        waiting = np.arange(len(queries))
        fetch = min(k + _MARGIN, available)
        while len(waiting):
            rough, positions = candidates(np.ascontiguousarray(queries[waiting], np.float32), fetch)
            unproved = []
            for row, number in enumerate(waiting):
                found = positions[row][positions[row] >= 0]
                query = queries[number]
                exact = scores_of(unit_rows(self._file.rows_at(found)), query)  # (found,)
                ids[number], scores[number] = best(self.content_ids[found], exact, k)
                # A row that was not fetched scores at most this; it must not reach the k-th place.
                most = rough[row, -1] + self._error(query)
                complete = len(found) < fetch or fetch == available
                if not complete and scores[number, -1] <= most:
                    unproved.append(number)
            waiting = np.array(unproved, dtype=np.intp)
            fetch = min(4 * fetch, available)
        return ids, scores

    def _error(self, query: Floats) -> float:
        """How far a score that FAISS gives may be from the cosine."""
        length = float(np.linalg.norm(query))
        return (1.01 * self.header.norm_error + FLOAT_ERROR) * length

    def _scan(self, queries: Floats, fetch: int, lists: int, selector: Any) -> tuple[Floats, Ids]:
        """The `fetch` best rows of the nearest lists: (q, fetch) float32 scores and positions."""
        if lists == self.header.index.lists:
            near = np.tile(np.arange(lists, dtype=np.int64), (len(queries), 1))
            closeness = np.zeros(near.shape, np.float32)
        else:
            closeness, near = self._index.quantizer.search(queries, lists)
        self._check_lists(near.ravel())
        return scan_lists(self._index, queries, fetch, near, closeness, selector)


def open_snapshot(path: Path, library_id: str, fingerprint: str, dim: int) -> Snapshot:
    """A snapshot of this library and model. Raises UnusableSnapshot for any other."""
    return Snapshot(read_snapshot_file(path, library_id, fingerprint, dim))


def verify_snapshot(path: Path, library_id: str, fingerprint: str, dim: int) -> SnapshotHeader:
    """Check every byte of a snapshot file, without FAISS.

    Raises UnusableSnapshot when it is absent, damaged, or another library's or model's.
    """
    file = read_snapshot_file(path, library_id, fingerprint, dim)
    for number in range(file.header.index.lists):
        file.check_list(number)
    return file.header


def _faiss() -> Any:
    """FAISS, which takes 0.1 s to import and whose stubs lack half of what is used here."""
    import faiss

    return faiss


def _open_index(file: SnapshotFile) -> Any:
    """The index, its lists mapped. Raises UnusableSnapshot when it is not what the header says."""
    faiss = _faiss()
    # Where FAISS cannot map lists (Windows) it reads them.
    flags = faiss.IO_FLAG_MMAP if hasattr(faiss, "OnDiskInvertedLists") else 0
    try:
        index = faiss.read_index(str(file.path), flags)
    except RuntimeError as error:
        raise UnusableSnapshot(f"FAISS cannot read it: {error}") from error
    header = file.header
    if type(index) is not faiss.IndexIVFScalarQuantizer or (
        type(faiss.downcast_index(index.quantizer)) is not faiss.IndexFlatIP
    ):
        raise UnusableSnapshot("it holds another kind of index")
    if (
        index.sq.qtype != faiss.ScalarQuantizer.QT_fp16
        or index.metric_type != faiss.METRIC_INNER_PRODUCT
        or index.by_residual
        or (index.d, index.quantizer.d) != (header.dim, header.dim)
        or (index.ntotal, index.nlist) != (header.rows, header.index.lists)
        or index.quantizer.ntotal != header.index.lists
        or index.code_size != 2 * header.dim
    ):
        raise UnusableSnapshot("the index is not what its header says")
    lists = faiss.downcast_InvertedLists(index.invlists)
    sizes = [lists.list_size(number) for number in range(index.nlist)]
    if sizes != np.diff(file.starts).tolist():
        raise UnusableSnapshot("the index is not what its header says")
    if hasattr(lists, "prefetch_nthread"):
        # Threads that read ahead cost more than they save: the rows were just read to check them.
        lists.prefetch_nthread = 0
    return index
