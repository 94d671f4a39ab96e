"""A model's snapshot is brought up to date with the catalogue. Belongs under the writer lock."""

import numpy as np

from clipsearch.storage.model_snapshot import ModelSnapshot
from clipsearch.storage.snapshot_choice import (
    SPEED_ROWS,
    IndexPolicy,
    exact_is_fine,
    worth_learning_again,
)
from clipsearch.storage.snapshot_comparing import Comparison, compare_indexes
from clipsearch.storage.snapshot_file import SnapshotHeader, UnusableSnapshot
from clipsearch.storage.snapshot_writing import TypicalQueries, extend_snapshot, write_snapshot
from clipsearch.storage.vectors import Snapshot


def renew(snapshot: ModelSnapshot, policy: IndexPolicy, queries: TypicalQueries | None) -> None:
    """Add what is new to a snapshot; make it anew when there is none that is worth it.

    Raises StorageError when it cannot be written, DamageError for a damaged embedding.
    """
    if not _extend(snapshot, policy):
        write_anew(snapshot, policy, queries)


def write_anew(
    snapshot: ModelSnapshot, policy: IndexPolicy, queries: TypicalQueries | None
) -> None:
    """Write a snapshot of all embeddings. Raises as `renew` does."""
    blocks = snapshot.catalogue.stored_embeddings(snapshot.model_id)
    write_snapshot(snapshot.path, _new_header(snapshot), blocks, policy, queries)


def compare(snapshot: ModelSnapshot, queries: TypicalQueries | None) -> Comparison | None:
    """Measure its index and the other kind side by side; None without rows in one.

    Raises as `renew` does.
    """
    try:
        header = snapshot.header()
    except UnusableSnapshot:
        return None
    if not header.rows:
        return None
    blocks = snapshot.catalogue.stored_embeddings(snapshot.model_id)
    return compare_indexes(snapshot.path, header, blocks, queries)


def _extend(snapshot: ModelSnapshot, policy: IndexPolicy) -> bool:
    catalogue, model_id = snapshot.catalogue, snapshot.model_id
    try:
        old = snapshot.open()
        if not snapshot.has_our_past(old.header) or not _still_fits(snapshot, old, policy):
            return False
        newest = old.header.last_embedding_id
        kept = None
        if catalogue.history.last_erasure() > old.header.generation:
            kept = catalogue.embedded_contents(model_id, newest)
        blocks = catalogue.stored_embeddings(model_id, newest)
        extend_snapshot(snapshot.path, _new_header(snapshot), old, kept, blocks)
    except UnusableSnapshot:
        return False
    return True


def _still_fits(snapshot: ModelSnapshot, old: Snapshot, policy: IndexPolicy) -> bool:
    header = old.header
    if not header.rows:
        return False
    newer = snapshot.catalogue.count_newer_embeddings(snapshot.model_id, header.last_embedding_id)
    if header.index.kind == "exact":
        some = old.rows_at(np.arange(min(header.rows, SPEED_ROWS)))
        return exact_is_fine(policy, header.rows + newer, some)[0]
    return not worth_learning_again(policy, header.index, header.rows + newer)


def _new_header(snapshot: ModelSnapshot) -> SnapshotHeader:
    generation, stamp = snapshot.catalogue.history.generation()
    return SnapshotHeader(
        library_id=snapshot.catalogue.library_id(),
        fingerprint=snapshot.info.fingerprint,
        generation=generation,
        stamp=stamp.hex(),
        rows=0,
        dim=snapshot.info.embed_dim,
        last_embedding_id=0,
        norm_error=0.0,
    )
