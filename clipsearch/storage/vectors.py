"""Snapshots: a model's embeddings as a FAISS file that can be thrown away at any time.

    FAISS bytes | header (JSON) | SHA-256 of the header | its length (4 bytes) | magic (8 bytes)

FAISS comes first, so that the file can be mapped and searched where it lies. The header carries
the SHA-256 of those bytes; FAISS never sees a byte that was not verified. Rows are the float16
values of the catalogue, unchanged, in an `IndexIDMap` over an `IndexScalarQuantizer`.
"""

import hashlib
import json
import mmap
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from clipsearch.failpoints import reach
from clipsearch.storage.embedding_rows import StoredBlock
from clipsearch.storage.exact import FLOAT_ERROR, best, scores_of
from clipsearch.storage.faults import no_space
from clipsearch.storage.half_floats import unit_rows
from clipsearch.storage.layout import TEMPORARY_SUFFIX, open_private, sync_dir
from clipsearch.types import Floats, Ids

FORMAT = 1
INDEX_TYPE = "IDMap,SQfp16"
_MAGIC = b"CLIPFAIS"
_TAIL_SIZE = 32 + 4 + len(_MAGIC)
# FAISS's own description of the index, beside the vectors and ids.
_MOST_OVERHEAD = 4096
_MOST_HEADER = 65536
# Rows fetched beyond k at first, so that one look is nearly always enough to prove the answer.
_MARGIN = 64


class UnusableSnapshot(Exception):  # noqa: N818  # never reaches a person: search goes on without
    """Why a snapshot cannot be used. The catalogue answers instead."""


@dataclass(frozen=True, slots=True)
class SnapshotHeader:
    """What a snapshot says of itself.

    `generation` and `stamp` (hex) name the state of the catalogue it was made from; it holds every
    embedding of the model up to row `last_embedding_id`. `norm_error` is how far the length of a
    stored row is from 1 at most. `sha256` is that of the FAISS bytes.
    """

    library_id: str
    fingerprint: str
    generation: int
    stamp: str
    rows: int
    dim: int
    last_embedding_id: int
    norm_error: float
    sha256: str = ""
    index_type: str = INDEX_TYPE
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Verified:
    """A snapshot file of which every byte has been checked; `body` are the FAISS bytes."""

    header: SnapshotHeader
    body: NDArray[np.uint8]


class Snapshot:
    """A verified snapshot, open for searching."""

    def __init__(self, verified: Verified) -> None:
        """Raises UnusableSnapshot when FAISS reads something else than the header says."""
        faiss = _faiss()
        self.header = verified.header
        # FAISS keeps pointing into these bytes.
        self._body = verified.body
        try:
            reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(self._body), self._body.size)
            outer = faiss.read_index(reader)
        except RuntimeError as error:
            raise UnusableSnapshot(f"FAISS cannot read it: {error}") from error
        self._index = _inner_index(outer, self.header)
        self._outer = outer
        self.content_ids: Ids = faiss.vector_to_array(outer.id_map)
        size = self.header.rows * self.header.dim * 2
        codes = faiss.rev_swig_ptr(self._index.codes.data(), size) if size else np.empty(0, "u1")
        # (rows, dim) float16, where FAISS reads them
        self._halves = codes.view("<f2").reshape(self.header.rows, self.header.dim)

    def search(self, queries: Floats, k: int, allowed: Ids | None = None) -> tuple[Ids, Floats]:
        """The k nearest rows to each query (q, dim), of these contents when they are given.

        (q, m) content ids and cosines with m = min(k, rows that are allowed), highest cosine first,
        equal ones by id. Exact: equal to `exact.top_k` over the same rows of the catalogue.
        """
        chosen = None if allowed is None else np.isin(self.content_ids, allowed)  # (rows,)
        available = self.header.rows if chosen is None else int(np.count_nonzero(chosen))
        k = min(k, available)
        ids = np.empty((len(queries), k), dtype=np.int64)
        scores = np.empty((len(queries), k), dtype=np.float32)
        if k > 0:
            waiting = np.arange(len(queries))
            fetch = min(k + _MARGIN, available)
            while len(waiting):
                waiting = self._settle(queries, waiting, fetch, available, chosen, ids, scores)
                fetch = min(fetch * 4, available)
        return ids, scores

    def _settle(
        self,
        queries: Floats,
        waiting: NDArray[np.intp],
        fetch: int,
        available: int,
        chosen: NDArray[np.bool_] | None,
        ids: Ids,
        scores: Floats,
    ) -> NDArray[np.intp]:
        """Answer the waiting queries from `fetch` candidates; those not yet proved remain."""
        k = ids.shape[1]
        rough, positions = self._candidates(queries[waiting], fetch, chosen)  # (w, fetch) each
        remaining = []
        for row, query_number in enumerate(waiting):
            query = queries[query_number]
            found = positions[row]
            exact = scores_of(unit_rows(self._halves[found]), query)  # (fetch,)
            ids[query_number], scores[query_number] = best(self.content_ids[found], exact, k)
            # A row that was not fetched scores at most this; it must not reach the k-th place.
            error = (1.01 * self.header.norm_error + FLOAT_ERROR) * np.linalg.norm(query)
            if fetch < available and scores[query_number, -1] <= rough[row, -1] + error:
                remaining.append(query_number)
        return np.array(remaining, dtype=np.intp)

    def _candidates(
        self, queries: Floats, fetch: int, chosen: NDArray[np.bool_] | None
    ) -> tuple[Floats, Ids]:
        faiss = _faiss()
        parameters = None
        if chosen is not None:
            bits = np.packbits(chosen, bitorder="little")
            selector = faiss.IDSelectorBitmap(len(chosen), faiss.swig_ptr(bits))
            parameters = faiss.SearchParameters(sel=selector)
        rough, positions = self._index.search(
            np.ascontiguousarray(queries, dtype=np.float32), fetch, params=parameters
        )
        return rough, positions


def open_snapshot(path: Path, library_id: str, fingerprint: str, dim: int) -> Snapshot:
    """A snapshot of this library and model, verified. Raises UnusableSnapshot for any other."""
    return Snapshot(verify_snapshot(path, library_id, fingerprint, dim))


def verify_snapshot(path: Path, library_id: str, fingerprint: str, dim: int) -> Verified:
    """Check every byte of a snapshot file, without FAISS.

    Raises UnusableSnapshot when it is absent, damaged, or another library's or model's.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < _TAIL_SIZE:
                raise UnusableSnapshot("it is cut short")
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError as error:
        raise UnusableSnapshot("there is none") from error
    except (OSError, ValueError) as error:
        raise UnusableSnapshot(f"it cannot be read: {error}") from error
    header, body_size = _read_header(mapped)
    if header.library_id != library_id:
        raise UnusableSnapshot("it belongs to another library")
    if header.fingerprint != fingerprint or header.dim != dim:
        raise UnusableSnapshot("it belongs to another model")
    if not 0 <= body_size - header.rows * (2 * dim + 8) <= _MOST_OVERHEAD:
        raise UnusableSnapshot("its size does not fit its rows")
    body = np.frombuffer(mapped, dtype=np.uint8, count=body_size)
    if hashlib.sha256(body.data).hexdigest() != header.sha256:
        raise UnusableSnapshot("it is damaged")
    return Verified(header, body)


def write_snapshot(path: Path, header: SnapshotHeader, blocks: Iterable[StoredBlock]) -> None:
    """Write a snapshot of these blocks; the old one stays until the new one is complete.

    `rows`, `last_embedding_id`, `norm_error` and `sha256` of the header are computed here. Belongs
    under the writer lock. Raises StorageError when it cannot be written.
    """
    index, header = _build(header, blocks)
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    try:
        temporary.unlink(missing_ok=True)
        reach("before_temp_write")
        with os.fdopen(open_private(temporary, exclusive=True), "wb") as file:
            _write(file, index, header)
            file.flush()
            os.fsync(file.fileno())
        reach("after_temp_write")
        reach("before_rename")
        os.replace(temporary, path)
        sync_dir(path.parent)
        reach("after_rename")
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise no_space(path, error.strerror or error) from error


def _faiss() -> Any:
    """FAISS, which takes 0.1 s to import and whose stubs lack half of what is used here."""
    import faiss

    return faiss


def _build(header: SnapshotHeader, blocks: Iterable[StoredBlock]) -> tuple[Any, SnapshotHeader]:
    faiss = _faiss()
    half = faiss.ScalarQuantizer.QT_fp16
    index = faiss.IndexIDMap(
        faiss.IndexScalarQuantizer(header.dim, half, faiss.METRIC_INNER_PRODUCT)
    )
    norm_error, last_id = 0.0, 0
    for block in blocks:
        rows = np.ascontiguousarray(block.halves).view(np.uint8)  # (n, 2 * dim)
        index.add_sa_codes(rows, block.content_ids)
        norm_error = max(norm_error, float(np.abs(block.norms - 1).max()))
        last_id = max(last_id, int(block.row_ids.max()))
    fields = asdict(header) | {
        "rows": index.ntotal,
        "norm_error": norm_error,
        "last_embedding_id": last_id,
    }
    return index, SnapshotHeader(**fields)


def _write(file: BinaryIO, index: Any, header: SnapshotHeader) -> None:
    faiss = _faiss()
    digest = hashlib.sha256()

    def write(chunk: bytes) -> int:
        digest.update(chunk)
        return file.write(chunk)

    faiss.write_index(index, faiss.PyCallbackIOWriter(write, 1 << 20))
    text = json.dumps(asdict(header) | {"sha256": digest.hexdigest()}).encode()
    file.write(text)
    file.write(hashlib.sha256(text).digest())
    file.write(len(text).to_bytes(4, "little"))
    file.write(_MAGIC)


def _read_header(mapped: mmap.mmap) -> tuple[SnapshotHeader, int]:
    """The header and the number of bytes before it."""
    tail = mapped[-_TAIL_SIZE:]
    digest, length, magic = tail[:32], int.from_bytes(tail[32:36], "little"), tail[36:]
    start = len(mapped) - _TAIL_SIZE - length
    if magic != _MAGIC or start < 0 or length > _MOST_HEADER:
        raise UnusableSnapshot("it is damaged or no snapshot")
    text = mapped[start : start + length]
    if hashlib.sha256(text).digest() != digest:
        raise UnusableSnapshot("its header is damaged")
    try:
        header = SnapshotHeader(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise UnusableSnapshot("its header is of another version") from error
    if header.format != FORMAT or header.index_type != INDEX_TYPE or not _is_sane(header):
        raise UnusableSnapshot("its header is of another version")
    return header, start


def _is_sane(header: SnapshotHeader) -> bool:
    """Whether the fields that are computed with have the types and ranges that we write."""
    counts = (header.generation, header.rows, header.dim, header.last_embedding_id)
    return (
        all(type(count) is int and 0 <= count < 1 << 62 for count in counts)
        and type(header.norm_error) is float
        and 0.0 <= header.norm_error < 0.1
        and type(header.stamp) is str
        and re.fullmatch("([0-9a-f]{2})*", header.stamp) is not None
    )


def _inner_index(outer: Any, header: SnapshotHeader) -> Any:
    faiss = _faiss()
    if type(outer) is not faiss.IndexIDMap:
        raise UnusableSnapshot("it holds another kind of index")
    inner = faiss.downcast_index(outer.index)
    if (
        type(inner) is not faiss.IndexScalarQuantizer
        or inner.sq.qtype != faiss.ScalarQuantizer.QT_fp16
        or inner.metric_type != faiss.METRIC_INNER_PRODUCT
        or (inner.d, inner.ntotal) != (header.dim, header.rows)
        or inner.codes.size() != header.rows * header.dim * 2
        or outer.id_map.size() != header.rows
    ):
        raise UnusableSnapshot("the index is not what its header says")
    return inner
