"""Both kinds of index measured on the same rows with the same queries."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from clipsearch.storage.embedding_rows import StoredBlock
from clipsearch.storage.layout import TEMPORARY_SUFFIX
from clipsearch.storage.snapshot_choice import (
    MOST_QUERIES,
    IndexPolicy,
    some_rows,
    tenth_scores,
    trial,
)
from clipsearch.storage.snapshot_file import IndexChoice, SnapshotHeader, Trial
from clipsearch.storage.snapshot_writing import TypicalQueries, write_snapshot
from clipsearch.storage.vectors import Snapshot, open_snapshot

_OTHER = {
    # Every row is compared, whatever it takes, and the other way about.
    "ivf": IndexPolicy(exact_ms=float("inf"), memory_share=float("inf")),
    "exact": IndexPolicy(exact_ms=0.0),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """An index with the file's bytes, and the milliseconds to open it and check its head."""

    trial: Trial
    lists: int
    size: int
    open_ms: float
    chosen: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was chosen for how many rows, and what was measured just now with `queries`."""

    choice: IndexChoice
    rows: int
    queries: str
    measured: tuple[Measured, ...]


def compare_indexes(
    path: Path,
    header: SnapshotHeader,
    blocks: Iterable[StoredBlock],
    queries: TypicalQueries | None,
) -> Comparison:
    """Measure a snapshot and one of the other kind, made of the same blocks and thrown away.

    Belongs under the writer lock. Raises StorageError when the other one cannot be written.
    """
    _timed_open(path, header)  # the first one imports FAISS
    chosen, chosen_ms = _timed_open(path, header)
    given = queries() if queries is not None else None
    asked = some_rows(chosen) if given is None else given[:MOST_QUERIES]
    edges = tenth_scores(chosen, asked)
    other_path = path.with_name(f"{path.stem}.compared.faiss{TEMPORARY_SUFFIX}")
    empty = replace(header, rows=0, last_embedding_id=0, norm_error=0.0, index=IndexChoice())
    try:
        write_snapshot(other_path, empty, blocks, _OTHER[header.index.kind], lambda: asked)
        other, other_ms = _timed_open(other_path, header)
        measured = []
        for snapshot, milliseconds, file in (
            (chosen, chosen_ms, path),
            (other, other_ms, other_path),
        ):
            index = snapshot.header.index
            tried = sorted({index.probes} | {each.probes for each in index.trials})
            measured += [
                Measured(
                    trial(snapshot, asked, edges, probes),
                    index.lists,
                    os.stat(file).st_size,
                    milliseconds,
                    snapshot is chosen and probes == index.probes,
                )
                for probes in tried
            ]
    finally:
        other_path.unlink(missing_ok=True)
    kind = "photos" if given is None else "text"
    return Comparison(header.index, header.rows, kind, tuple(measured))


def _timed_open(path: Path, header: SnapshotHeader) -> tuple[Snapshot, float]:
    start = time.perf_counter()
    snapshot = open_snapshot(path, header.library_id, header.fingerprint, header.dim)
    return snapshot, 1000 * (time.perf_counter() - start)
