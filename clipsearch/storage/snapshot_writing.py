"""Snapshots are made: from all rows of the catalogue, or from an older snapshot and what is new.

Rows pass through a temporary file, so that memory holds no more than a block of them, the sample
that lists are learned from, and some 30 bytes for each row.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from clipsearch.errors import StorageError
from clipsearch.failpoints import reach
from clipsearch.storage.clustering import (
    learn_centroids,
    lists_for,
    nearest_lists,
    sample,
)
from clipsearch.storage.embedding_rows import StoredBlock
from clipsearch.storage.faults import unwritable
from clipsearch.storage.half_floats import Halves, unit_rows
from clipsearch.storage.layout import TEMPORARY_SUFFIX, open_private, sync_dir
from clipsearch.storage.snapshot_body import Rows, write_body
from clipsearch.storage.snapshot_choice import (
    SPEED_ROWS,
    IndexPolicy,
    choose_probes,
    exact_is_fine,
)
from clipsearch.storage.snapshot_file import (
    IndexChoice,
    SnapshotHeader,
    UnusableSnapshot,
    row_checks,
    write_tail,
)
from clipsearch.storage.vectors import Snapshot, open_snapshot
from clipsearch.types import Floats, Ids

# Rows in a list of an exact index, whose lists mean nothing.
EXACT_LIST_ROWS = 4096
# Gives (q, dim) unit vectors such as people search with, or None when it has none; called only when
# something is measured.
TypicalQueries = Callable[[], Floats | None]


def write_snapshot(
    path: Path,
    header: SnapshotHeader,
    blocks: Iterable[StoredBlock],
    policy: IndexPolicy | None = None,
    queries: TypicalQueries | None = None,
) -> None:
    """Write a snapshot of these blocks; the old one stays until the new one is complete.

    What `header` says of rows and index is computed here: the index is chosen by measurement, with
    `queries` where they are given, else with photos as queries. Belongs under the writer lock.
    Raises StorageError when it cannot be written.
    """
    policy = policy or IndexPolicy()
    with _errors_named(path), _spilled(path, header, blocks) as (spill, header):
        some = spill.take(np.arange(min(header.rows, SPEED_ROWS)))
        fine, reason = exact_is_fine(policy, header.rows, some)
        if fine:
            centroids, choice = _blocks_as_lists(header.rows, header.dim, reason)
        else:
            centroids, choice = _learned_lists(policy, header.rows, spill.take)
        lists = (
            np.arange(header.rows, dtype=np.int32) // EXACT_LIST_ROWS
            if fine
            else nearest_lists(centroids, header.rows, spill.take)
        )
        new = replace(spill, lists=lists)
        header = replace(header, index=choice)
        temporary = _written(path, header, centroids, [new], policy, queries)
    _put_in_place(temporary, path)


def extend_snapshot(
    path: Path,
    header: SnapshotHeader,
    old: Snapshot,
    kept: Ids | None,
    blocks: Iterable[StoredBlock],
) -> None:
    """Write a snapshot of an old one's rows and newer blocks: nothing is learned or measured again.

    Of the old rows only the contents `kept` remain, all when it is None. New rows go to the list
    that is nearest to them; those of an exact index into lists of their own. Belongs under the
    writer lock. Raises StorageError when it cannot be written, UnusableSnapshot when a row of the
    old one is damaged.
    """
    before = old.header
    with _errors_named(path), _spilled(path, header, blocks) as (spill, header):
        staying = np.arange(before.rows)
        if kept is not None:
            staying = np.flatnonzero(np.isin(old.content_ids, kept))
        old.check_rows()
        stays = Rows(
            old.content_ids[staying],
            old.checks[staying],
            old.lists()[staying],
            lambda positions: old.rows_at(staying[positions]),
        )
        centroids, choice = old.centroids(), before.index
        if choice.kind == "exact":
            lists = choice.lists + np.arange(header.rows, dtype=np.int32) // EXACT_LIST_ROWS
            total = choice.lists + -(-header.rows // EXACT_LIST_ROWS)
            centroids = np.zeros((total, header.dim), np.float32)
            choice = replace(choice, lists=total, probes=total)
        else:
            lists = nearest_lists(centroids, header.rows, spill.take)
        header = replace(
            header,
            rows=header.rows + len(staying),
            norm_error=max(header.norm_error, before.norm_error),
            last_embedding_id=max(header.last_embedding_id, before.last_embedding_id),
            index=choice,
        )
        parts = [stays, replace(spill, lists=lists)]
        temporary = _written(path, header, centroids, parts, None, None)
    _put_in_place(temporary, path)


def _blocks_as_lists(rows: int, dim: int, reason: str) -> tuple[Floats, IndexChoice]:
    number = max(1, -(-rows // EXACT_LIST_ROWS))
    centroids = np.zeros((number, dim), np.float32)
    return centroids, IndexChoice("exact", number, number, reason=reason)


def _learned_lists(
    policy: IndexPolicy, rows: int, take: Callable[[Ids], Halves]
) -> tuple[Floats, IndexChoice]:
    number = min(policy.lists or lists_for(rows), rows)
    learned_from = sample(rows, number)
    centroids = learn_centroids(unit_rows(take(learned_from)), number)
    return centroids, IndexChoice("ivf", number, number, trained_rows=rows)


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


@contextmanager
def _spilled(
    path: Path, header: SnapshotHeader, blocks: Iterable[StoredBlock]
) -> Iterator[tuple[Rows, SnapshotHeader]]:
    """The rows of the blocks in a temporary file, and the header that knows their number."""
    temporary = path.with_name(f"{path.stem}.rows.faiss{TEMPORARY_SUFFIX}")
    ids, checks = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
    norm_error, last_id = 0.0, 0
    temporary.unlink(missing_ok=True)
    reach("before_temp_write")
    try:
        with os.fdopen(open_private(temporary, exclusive=True), "wb") as file:
            for block in blocks:
                rows = np.ascontiguousarray(block.halves).view(np.uint8)  # (n, 2 * dim)
                file.write(rows.data)
                ids.append(block.content_ids)
                checks.append(row_checks(rows, block.content_ids))
                norm_error = max(norm_error, float(np.abs(block.norms - 1).max()))
                last_id = max(last_id, int(block.row_ids.max()))
        content_ids = np.concatenate(ids)
        number = len(content_ids)
        shape = (number, header.dim)
        rows_there = np.memmap(temporary, "<f2", "r", shape=shape) if number else np.empty(shape)
        spilled = Rows(
            content_ids,
            np.concatenate(checks),
            np.empty(0, np.int32),
            lambda positions: np.asarray(rows_there[positions], dtype="<f2"),
        )
        yield (
            spilled,
            replace(header, rows=number, norm_error=norm_error, last_embedding_id=last_id),
        )
    finally:
        temporary.unlink(missing_ok=True)


def _written(
    path: Path,
    header: SnapshotHeader,
    centroids: Floats,
    parts: list[Rows],
    policy: IndexPolicy | None,
    queries: TypicalQueries | None,
) -> Path:
    """Write and seal a temporary file, and measure if there is something to choose."""
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    temporary.unlink(missing_ok=True)
    try:
        with os.fdopen(open_private(temporary, exclusive=True), "w+b") as file:
            header = write_body(file, header, centroids, parts)
            end = file.tell()
            write_tail(file, header)
            file.flush()
            if policy is not None and header.index.kind == "ivf":
                header = replace(header, index=_measured(temporary, header, policy, queries))
                file.seek(end)
                write_tail(file, header)
                file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _put_in_place(temporary: Path, path: Path) -> None:
    with _errors_named(path):
        try:
            reach("after_temp_write")
            reach("before_rename")
            os.replace(temporary, path)
            sync_dir(path.parent)
            reach("after_rename")
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def _measured(
    path: Path, header: SnapshotHeader, policy: IndexPolicy, queries: TypicalQueries | None
) -> IndexChoice:
    try:
        snapshot = open_snapshot(path, header.library_id, header.fingerprint, header.dim)
        return choose_probes(snapshot, policy, queries() if queries is not None else None)
    except UnusableSnapshot as reason:
        raise StorageError(
            f"{path} does not read back as it was written ({reason})", "Check this disk."
        ) from reason
