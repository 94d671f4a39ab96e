"""Whether the search through FAISS finds what a comparison with every photo does.

The very code that searches a library is run over these embeddings: float16 rows in a snapshot
file, mapped, verified, searched. The other side is plain float32 arithmetic over the rows as the
model gave them.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clipsearch.metrics import intersection_at_k
from clipsearch.ranking import top_k_rows
from clipsearch.storage.embedding_rows import StoredBlock
from clipsearch.storage.half_floats import rows_and_norms
from clipsearch.storage.snapshot_file import SnapshotHeader
from clipsearch.storage.snapshot_writing import write_snapshot
from clipsearch.storage.vectors import open_snapshot
from clipsearch.types import Floats, Ids

NEAREST = 10
MOST_QUERIES = 1_000
_BLOCK = 4096
_MOST_SCORES = 4_000_000
_NOBODY = "0" * 32  # the library these rows belong to


@dataclass(frozen=True, slots=True)
class SnapshotAgreement:
    """`agreement` is the share (0..1) of the exact `k` nearest photos that FAISS found."""

    agreement: float
    k: int
    queries: int
    photos: int


def snapshot_agreement(
    photos: Floats, queries: Floats, k: int = NEAREST, most_queries: int = MOST_QUERIES
) -> SnapshotAgreement:
    """Search unit rows `photos` (n, dim) for `queries` (q, dim), at most so many, evenly spread."""
    k = min(k, len(photos))
    chosen = np.linspace(0, len(queries) - 1, min(len(queries), most_queries)).astype(np.int64)
    found = _by_snapshot(photos, queries[chosen], k)
    exact = _exactly(photos, queries[chosen], k)
    return SnapshotAgreement(intersection_at_k(found, exact), k, len(chosen), len(photos))


def _by_snapshot(photos: Floats, queries: Floats, k: int) -> Ids:
    """(q, k) numbers of photos."""
    header = SnapshotHeader(
        library_id=_NOBODY,
        fingerprint=_NOBODY,
        generation=0,
        stamp="",
        rows=0,
        dim=photos.shape[1],
        last_embedding_id=0,
        norm_error=0.0,
    )
    with tempfile.TemporaryDirectory(prefix="clipsearch-") as folder:
        path = Path(folder) / "snapshot"
        write_snapshot(path, header, map(_stored, *_blocks(photos)))
        snapshot = open_snapshot(path, _NOBODY, _NOBODY, photos.shape[1])
        return snapshot.search(queries, k)[0] - 1


def _blocks(photos: Floats) -> tuple[list[int], list[Floats]]:
    starts = list(range(0, len(photos), _BLOCK))
    return starts, [photos[start : start + _BLOCK] for start in starts]


def _stored(start: int, rows: Floats) -> StoredBlock:
    halves = rows.astype("<f2")
    unit, norms = rows_and_norms(halves)
    # As in a catalogue, ids begin with 1: a snapshot refuses any other.
    ids = np.arange(start, start + len(rows)) + 1
    return StoredBlock(ids, ids, halves, unit, norms)


def _exactly(photos: Floats, queries: Floats, k: int) -> Ids:
    rows = max(1, _MOST_SCORES // len(photos))
    return np.concatenate(
        [
            top_k_rows(queries[start : start + rows] @ photos.T, k)
            for start in range(0, len(queries), rows)
        ]
    )
