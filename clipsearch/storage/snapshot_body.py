"""The body of a snapshot file: the bytes of a FAISS index with inverted lists, and our own tables.

It is written list by list, so that the rows are never together in memory.
"""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np

from clipsearch.storage.clustering import ListNumbers
from clipsearch.storage.half_floats import Halves
from clipsearch.storage.snapshot_file import Checks, SnapshotHeader
from clipsearch.types import Floats, Ids


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows to be written: what `take(positions)` gives, with ids and checks, and their lists."""

    content_ids: Ids
    checks: Checks
    lists: ListNumbers
    take: Callable[[Ids], Halves]


def write_body(
    file: BinaryIO, header: SnapshotHeader, centroids: Floats, parts: list[Rows]
) -> SnapshotHeader:
    """Write all parts' rows by list and in turn; the header that knows the size and the checks."""
    lists = header.index.lists
    orders = [np.argsort(part.lists, kind="stable") for part in parts]
    bounds = [
        np.searchsorted(part.lists[order], np.arange(lists + 1))
        for part, order in zip(parts, orders, strict=True)
    ]
    sizes = np.sum([np.diff(each) for each in bounds], axis=0).astype(np.int64)
    head = _head(centroids, header.rows, sizes)
    file.write(head)
    start = 0
    for number, size in enumerate(sizes.tolist()):
        for part, order, bound in zip(parts, orders, bounds, strict=True):
            chosen = order[bound[number] : bound[number + 1]]
            if len(chosen):
                file.write(np.ascontiguousarray(part.take(chosen)).view(np.uint8).data)
        file.write(np.arange(start, start + size, dtype="<i8").data)
        start += size
    # All rows of list 0, of every part in turn, then list 1: as they were just written.
    in_order = _interleaved(bounds)
    digest = hashlib.sha256()
    for table in (
        sizes,
        _by_list([part.content_ids[o] for part, o in zip(parts, orders, strict=True)], in_order),
        _by_list([part.checks[o] for part, o in zip(parts, orders, strict=True)], in_order),
    ):
        digest.update(table.data)
        file.write(table.data)
    return replace(
        header,
        head_size=len(head),
        head_sha256=hashlib.sha256(head).hexdigest(),
        table_sha256=digest.hexdigest(),
    )


def _interleaved(bounds: list[Ids]) -> Ids:
    """Where each row of the concatenated parts goes, sorted by list, then part."""
    lists = [np.repeat(np.arange(len(bound) - 1), np.diff(bound)) for bound in bounds]
    return np.argsort(np.concatenate(lists), kind="stable")


def _by_list(parts: list[Any], in_order: Ids) -> Any:
    return np.ascontiguousarray(np.concatenate(parts)[in_order])


def _head(centroids: Floats, rows: int, sizes: Ids) -> bytes:
    """What FAISS writes before the first list of an index with lists of these sizes.

    FAISS writes the sizes of the lists, then the lists themselves, last. So an index with one row
    in each list is written, and everything from its sizes on is put in their place by us.
    """
    faiss = _faiss()
    lists, dim = centroids.shape
    quantizer = faiss.IndexFlatIP(dim)
    quantizer.add(np.ascontiguousarray(centroids))
    half = faiss.ScalarQuantizer.QT_fp16
    index = faiss.IndexIVFScalarQuantizer(
        quantizer, dim, lists, half, faiss.METRIC_INNER_PRODUCT, False
    )
    index.is_trained = True
    row, position = np.zeros(2 * dim, np.uint8), np.zeros(1, np.int64)
    for number in range(lists):
        index.invlists.add_entries(number, 1, faiss.swig_ptr(position), faiss.swig_ptr(row))
    index.ntotal = rows
    written = io.BytesIO()
    faiss.write_index(index, faiss.PyCallbackIOWriter(written.write, 1 << 20))
    one_row_each = lists * (8 + row.nbytes + position.nbytes)
    return written.getvalue()[:-one_row_each] + sizes.astype("<i8").tobytes()


def _faiss() -> Any:
    import faiss

    return faiss
