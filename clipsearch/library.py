"""A library: the catalogue and the snapshots, opened, changed and closed together."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, overload

import numpy as np
from numpy.typing import NDArray

from clipsearch.errors import ModelMismatchError, StorageError, UsageError
from clipsearch.storage.catalogue import Catalogue
from clipsearch.storage.directory import catalogue_in
from clipsearch.storage.embedding_rows import BLOCK_ROWS
from clipsearch.storage.exact import merge, nothing, top_k
from clipsearch.storage.faults import damaged
from clipsearch.storage.half_floats import unit_rows
from clipsearch.storage.id_lists import distinct
from clipsearch.storage.layout import (
    snapshot_name,
    sweep_temporary,
)
from clipsearch.storage.lock import writer_lock
from clipsearch.storage.snapshot_choice import (
    SPEED_ROWS,
    IndexPolicy,
    exact_is_fine,
    worth_learning_again,
)
from clipsearch.storage.snapshot_comparing import Comparison, compare_indexes
from clipsearch.storage.snapshot_file import SnapshotHeader, UnusableSnapshot, identity_of
from clipsearch.storage.snapshot_writing import TypicalQueries, extend_snapshot, write_snapshot
from clipsearch.storage.vectors import Snapshot, open_snapshot, verify_snapshot
from clipsearch.types import Floats, Ids, Lap, ModelInfo, PhotoFilter, no_lap

# Up to this many embeddings the catalogue answers before FAISS would even be imported.
WITHOUT_SNAPSHOT = 8192
# Up to this many embeddings beside a snapshot add no more than 10 ms to a search.
BESIDE_SNAPSHOT = 2048
# 8 MB each for a million photos.
_FILTERS_REMEMBERED = 8


class Library:
    """An open library. Use it as a context manager, from one thread.

    The catalogue is the only truth. A snapshot makes searching large libraries fast, and is
    believed only as far as the catalogue's history confirms it.
    """

    def __init__(
        self, directory: Path, catalogue: Catalogue, policy: IndexPolicy | None = None
    ) -> None:
        self.directory = directory
        self.catalogue = catalogue
        # What people may search with, by the library's model: indexes are measured with it. None:
        # with photos.
        self.typical_queries: TypicalQueries | None = None
        self._policy = policy or IndexPolicy()
        self._writers = 0
        self._snapshot: Snapshot | None = None
        self._snapshot_file: tuple[object, ...] | None = None
        self._passing: dict[PhotoFilter, Ids] = {}
        self._passing_generation: tuple[int, bytes] | None = None

    @classmethod
    def open(
        cls, directory: Path, *, create: bool = False, policy: IndexPolicy | None = None
    ) -> Self:
        """Open the library in a directory; with `create`, make a new one when there is none.

        `policy` decides on the index of the snapshots that are written.

        Raises StorageError when there is none or it cannot be read, DamageError when its catalogue
        is damaged or gone, LockedError when it has to be made while another process writes.
        """
        return cls(directory, Catalogue(catalogue_in(directory, create=create)), policy)

    def close(self) -> None:
        """Close the library's files."""
        self._snapshot = None
        self.catalogue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def model(self) -> ModelInfo | None:
        """The model that answers, or None before the first photos were indexed."""
        return self.catalogue.active_model()

    @contextmanager
    def writer(self) -> Iterator[None]:
        """Be the only process that writes to this library. May be nested.

        Raises LockedError, naming the other process, or StorageError when it cannot be written or
        another catalogue took the place of the one that is open.
        """
        if self._writers:
            yield
            return
        with writer_lock(self.directory):
            self.catalogue.require_in_place()
            sweep_temporary(self.directory)
            self._writers += 1
            try:
                yield
            finally:
                self._writers -= 1

    def nearest(
        self, vectors: Floats, k: int, allowed: Ids | None = None, lap: Lap = no_lap
    ) -> tuple[Ids, Floats]:
        """The k contents nearest to each unit vector (q, dim), among `allowed` when given.

        (q, m) content ids and cosines, with m = min(k, contents that can be found); highest cosine
        first, equal ones by id. Contents without a live photo are never found. The cosines are
        exact. So is the choice, and the same with or without a snapshot, unless the snapshot's
        index is an "ivf" one: see `IndexChoice`.

        Raises StorageError when no model is active, ModelMismatchError for vectors of another
        length, UsageError for vectors that are not finite, DamageError for a damaged embedding.
        """
        with self.catalogue.reading():
            model_id, info = self._active()
            _check(vectors, info)
            if k <= 0 or not len(vectors):
                return nothing(len(vectors))
            dead = self.catalogue.dead_contents()
            snapshot = self._usable_snapshot(model_id, info)
            lap("snapshot open")
            answer = self._from_snapshot(snapshot, vectors, k, model_id, allowed, dead)
            if answer is None:
                answer = self._from_catalogue(vectors, k, model_id, 0, allowed, dead)
            lap("nearest vectors")
            return answer

    def has_snapshot(self) -> bool:
        """Whether searches are answered from a snapshot: all contents as fast as a few of them."""
        with self.catalogue.reading():
            model_id, info = self._active()
            return self._usable_snapshot(model_id, info) is not None

    def contents_passing(self, wanted: PhotoFilter) -> Ids:
        """Contents with a photo that is not missing and passes the filter, sorted.

        Remembered until the library changes: a process that goes on asking asks with the same few.
        """
        with self.catalogue.reading():
            found = self.remembered_contents(wanted)
            if found is None:
                found = self.catalogue.live_contents(wanted)
                if len(self._passing) == _FILTERS_REMEMBERED:
                    self._passing.clear()
                self._passing[wanted] = found
            return found

    def remembered_contents(self, wanted: PhotoFilter) -> Ids | None:
        """What `contents_passing` gave for this filter, if nothing has changed since; else None."""
        generation = self.catalogue.generation()
        if generation != self._passing_generation:
            self._passing.clear()
            self._passing_generation = generation
        return self._passing.get(wanted)

    def vectors_of(self, content_ids: Ids) -> Floats:
        """The active model's unit vectors (n, dim) of some contents, in the order given.

        Raises StorageError when one of them has none.
        """
        with self.catalogue.reading():
            model_id, info = self._active()
            wanted = distinct(content_ids)
            rows = np.empty((len(wanted), info.embed_dim), dtype=np.float32)
            found = np.zeros(len(wanted), dtype=np.bool_)
            for block in self.catalogue.embeddings(model_id, content_ids=wanted):
                where = np.searchsorted(wanted, block.content_ids)
                rows[where] = block.vectors
                found[where] = True
        if not found.all():
            raise StorageError(
                f"{np.count_nonzero(~found)} photos have no embedding by {info.name}",
                "Run `clipsearch index` to encode them.",
            )
        return rows[np.searchsorted(wanted, content_ids)]

    def vector_blocks(self, content_ids: Ids) -> Iterator[tuple[Ids, Floats]]:
        """Contents that have an embedding by the active model, with unit vectors (n, dim).

        A few thousand at a time, roughly in the order given; from the snapshot where there is one.
        Raises DamageError for a damaged embedding.
        """
        model_id, info = self._active()
        snapshot = self._usable_snapshot(model_id, info)
        stored = content_ids[:0]
        if snapshot is not None:
            stored = distinct(self._confirmed(snapshot, model_id, content_ids))
        for start in range(0, len(content_ids), BLOCK_ROWS):
            wanted = content_ids[start : start + BLOCK_ROWS]
            if snapshot is not None:
                try:
                    ids, halves = snapshot.stored(wanted[_are_among(wanted, stored)])
                except UnusableSnapshot:
                    self._snapshot = snapshot = None
                else:
                    yield ids, unit_rows(halves)
                    wanted = wanted[np.isin(wanted, ids, invert=True)]
            if len(wanted):
                for block in self.catalogue.embeddings(model_id, content_ids=wanted):
                    yield block.content_ids, block.vectors

    def snapshot_fault(self) -> str | None:
        """Why the active model's snapshot is not complete and up to date; None when it is."""
        with self.catalogue.reading():
            model_id, info = self._active()
            return self._fault(model_id, info)

    def refresh_snapshot(self) -> bool:
        """Bring the active model's snapshot up to date if searching is slow without; whether done.

        A small library needs none, and a few new photos are found as fast beside the old one. More
        are added to it; it is made anew when it does not fit the library any more. Raises as
        `rebuild_snapshot` does.
        """
        with self.catalogue.reading():
            model_id = self.catalogue.active_model_id()
            if model_id is None:
                return False
            if not self.catalogue.has_more_embeddings_than(model_id, WITHOUT_SNAPSHOT):
                return False
            if not self._is_outdated(model_id, self._active()[1]):
                return False
        with self.writer(), self.catalogue.reading():
            model_id, info = self._active()
            if not self._extend_snapshot(model_id, info):
                self._write_snapshot(model_id, info)
        return True

    def rebuild_snapshot(self) -> bool:
        """Write the active model's snapshot anew unless it is up to date; whether it was done.

        Raises LockedError or StorageError when it cannot be written, DamageError for a damaged
        embedding.
        """
        with self.writer(), self.catalogue.reading():
            model_id = self.catalogue.active_model_id()
            if model_id is None:
                return False
            model_id, info = self._active()
            if self._fault(model_id, info) is None:
                return False
            self._write_snapshot(model_id, info)
        return True

    def compare_indexes(self) -> Comparison | None:
        """Measure the snapshot's index and the other kind side by side; None without rows in one.

        Raises LockedError or StorageError when the other one cannot be written, DamageError for a
        damaged embedding.
        """
        with self.writer(), self.catalogue.reading():
            model_id, info = self._active()
            try:
                header = self._header(info)
            except UnusableSnapshot:
                return None
            if not header.rows:
                return None
            blocks = self.catalogue.stored_embeddings(model_id)
            path = self._snapshot_path(info)
            return compare_indexes(path, header, blocks, self.typical_queries)

    def _active(self) -> tuple[int, ModelInfo]:
        model_id, info = self.catalogue.active_model_id(), self.catalogue.active_model()
        if model_id is None or info is None:
            if self.catalogue.last_photo_id():
                # A model is chosen before the first photo is written.
                raise damaged(self.catalogue.path, "it does not say which model answers")
            raise StorageError(
                f"The library {self.directory} has no photos yet",
                "Run `clipsearch index FOLDER` first.",
            )
        return model_id, info

    def _snapshot_path(self, info: ModelInfo) -> Path:
        return self.directory / snapshot_name(info.fingerprint)

    def _new_header(self, info: ModelInfo) -> SnapshotHeader:
        generation, stamp = self.catalogue.generation()
        return SnapshotHeader(
            library_id=self.catalogue.library_id(),
            fingerprint=info.fingerprint,
            generation=generation,
            stamp=stamp.hex(),
            rows=0,
            dim=info.embed_dim,
            last_embedding_id=0,
            norm_error=0.0,
        )

    def _write_snapshot(self, model_id: int, info: ModelInfo) -> None:
        blocks = self.catalogue.stored_embeddings(model_id)
        path = self._snapshot_path(info)
        write_snapshot(path, self._new_header(info), blocks, self._policy, self.typical_queries)

    def _extend_snapshot(self, model_id: int, info: ModelInfo) -> bool:
        """Add what is new to the snapshot; False when there is none that is worth it."""
        path = self._snapshot_path(info)
        try:
            old = open_snapshot(path, self.catalogue.library_id(), info.fingerprint, info.embed_dim)
            if not self._is_of_our_past(old.header) or not self._still_fits(old, model_id):
                return False
            newest = old.header.last_embedding_id
            kept = None
            if self.catalogue.erased_generation() > old.header.generation:
                kept = self.catalogue.embedded_contents(model_id, newest)
            blocks = self.catalogue.stored_embeddings(model_id, newest)
            extend_snapshot(path, self._new_header(info), old, kept, blocks)
        except UnusableSnapshot:
            return False
        return True

    def _still_fits(self, old: Snapshot, model_id: int) -> bool:
        if not old.header.rows:
            return False
        newest = old.header.last_embedding_id
        rows = old.header.rows + self.catalogue.count_newer_embeddings(model_id, newest)
        if old.header.index.kind == "exact":
            some = old.rows_at(np.arange(min(old.header.rows, SPEED_ROWS)))
            return exact_is_fine(self._policy, rows, some)[0]
        return not worth_learning_again(self._policy, old.header.index, rows)

    def _fault(self, model_id: int, info: ModelInfo) -> str | None:
        try:
            header = self._header(info)
        except UnusableSnapshot as reason:
            return str(reason)
        if self.catalogue.erased_generation() > header.generation:
            return "embeddings were erased since"
        # Less, when the newest were erased before it was written.
        if self.catalogue.last_embedding_id(model_id) > header.last_embedding_id:
            return "embeddings were added since"
        return None

    def _is_outdated(self, model_id: int, info: ModelInfo) -> bool:
        try:
            header = self._header(info)
        except UnusableSnapshot:
            return True
        newer = self.catalogue.count_newer_embeddings(model_id, header.last_embedding_id)
        return newer > BESIDE_SNAPSHOT or self.catalogue.erased_generation() > header.generation

    def _header(self, info: ModelInfo) -> SnapshotHeader:
        """The header of a snapshot that searches would use. Raises UnusableSnapshot."""
        header = verify_snapshot(
            self._snapshot_path(info),
            self.catalogue.library_id(),
            info.fingerprint,
            info.embed_dim,
        )
        if not self._is_of_our_past(header):
            raise UnusableSnapshot("it was made from another state of the library")
        return header

    def _usable_snapshot(self, model_id: int, info: ModelInfo) -> Snapshot | None:
        """The snapshot, if there is one that the catalogue's history confirms and needs."""
        if not self.catalogue.has_more_embeddings_than(model_id, WITHOUT_SNAPSHOT):
            return None
        path = self._snapshot_path(info)
        # Another process may have put a newer one in its place.
        identity = (info.fingerprint, *identity_of(path))
        if identity != self._snapshot_file:
            self._snapshot_file = identity
            try:
                self._snapshot = open_snapshot(
                    path, self.catalogue.library_id(), info.fingerprint, info.embed_dim
                )
            except UnusableSnapshot:
                self._snapshot = None
        if self._snapshot is None or not self._is_of_our_past(self._snapshot.header):
            return None
        return self._snapshot

    def _is_of_our_past(self, header: SnapshotHeader) -> bool:
        return self.catalogue.has_generation(header.generation, bytes.fromhex(header.stamp))

    def _from_snapshot(
        self,
        snapshot: Snapshot | None,
        vectors: Floats,
        k: int,
        model_id: int,
        allowed: Ids | None,
        dead: Ids,
    ) -> tuple[Ids, Floats] | None:
        """The answer from the snapshot and what is newer; None when there is none to use."""
        if snapshot is None:
            return None
        confirmed = self._confirmed(snapshot, model_id, allowed)
        try:
            old = snapshot.search(vectors, k, confirmed, dead)
        except UnusableSnapshot:
            # A damaged row was met: this file is not asked again.
            self._snapshot = None
            return None
        newest = snapshot.header.last_embedding_id
        if self.catalogue.last_embedding_id(model_id) <= newest:
            return old
        return merge(old, self._from_catalogue(vectors, k, model_id, newest, allowed, dead), k)

    @overload
    def _confirmed(self, snapshot: Snapshot, model_id: int, allowed: Ids) -> Ids: ...

    @overload
    def _confirmed(self, snapshot: Snapshot, model_id: int, allowed: None) -> Ids | None: ...

    def _confirmed(self, snapshot: Snapshot, model_id: int, allowed: Ids | None) -> Ids | None:
        """Those of the allowed contents that may come from the snapshot; None for all of them."""
        if self.catalogue.erased_generation() <= snapshot.header.generation:
            return allowed
        kept = self.catalogue.embedded_contents(model_id, snapshot.header.last_embedding_id)
        return kept if allowed is None else allowed[_are_among(allowed, kept)]

    def _from_catalogue(
        self, vectors: Floats, k: int, model_id: int, after_id: int, allowed: Ids | None, dead: Ids
    ) -> tuple[Ids, Floats]:
        """The same answer by brute force over the rows after `after_id`."""
        answer = nothing(len(vectors))
        # Rows newer than a snapshot are few: reading them all beats looking up each allowed one.
        chosen = allowed if after_id == 0 else None
        for block in self.catalogue.embeddings(model_id, after_id, chosen):
            found_here = np.isin(block.content_ids, dead, invert=True)
            if allowed is not None:
                found_here &= np.isin(block.content_ids, allowed)
            ids, rows = block.content_ids[found_here], block.vectors[found_here]
            found = [top_k(ids, rows, query, k) for query in vectors]
            block_answer = np.stack([f[0] for f in found]), np.stack([f[1] for f in found])
            answer = merge(answer, block_answer, k)
        return answer


def _check(vectors: Floats, info: ModelInfo) -> None:
    if vectors.ndim != 2 or vectors.shape[1] != info.embed_dim:
        raise ModelMismatchError(
            f"Vectors of shape {vectors.shape} do not fit {info.name} ({info.embed_dim} long)",
            "Encode the query with the library's own model.",
        )
    if not np.isfinite(vectors).all():
        raise UsageError("The query has no usable embedding", "Try another one.")


def _are_among(ids: Ids, known: Ids) -> NDArray[np.bool_]:
    """Which ids are among the known ones, which are sorted."""
    if not len(known):
        return np.zeros(len(ids), np.bool_)
    places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return np.asarray(known[places] == ids)
