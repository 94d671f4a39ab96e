"""A model's vectors: from its snapshot as far as that may be used, else from the catalogue."""

from collections.abc import Iterator
from typing import overload

import numpy as np

from clipsearch.errors import StorageError
from clipsearch.storage.embedding_rows import BLOCK_ROWS
from clipsearch.storage.exact import merge, nothing, top_k
from clipsearch.storage.half_floats import unit_rows
from clipsearch.storage.id_lists import are_among, distinct
from clipsearch.storage.model_snapshot import ModelSnapshot
from clipsearch.storage.passing import Passing
from clipsearch.storage.snapshot_file import UnusableSnapshot, identity_of
from clipsearch.storage.vectors import Snapshot
from clipsearch.types import Floats, Ids, Lap


class ModelVectors:
    """The vectors of all contents that one model has encoded.

    Its snapshot is opened when it is first asked for, and again when its file was replaced.
    """

    def __init__(self, snapshot: ModelSnapshot) -> None:
        self.snapshot = snapshot
        self._catalogue = snapshot.catalogue
        self._model_id = snapshot.model_id
        self._open: Snapshot | None = None
        self._open_file: object = None

    def nearest(self, vectors: Floats, k: int, allowed: Ids | None, lap: Lap) -> tuple[Ids, Floats]:
        """The k contents nearest to each unit vector, as `Library.nearest` promises."""
        if k <= 0 or not len(vectors):
            return nothing(len(vectors))
        dead = self._catalogue.dead_contents()
        snapshot = self.usable_snapshot()
        lap("snapshot open")
        answer = self._from_snapshot(snapshot, vectors, k, allowed, dead)
        if answer is None:
            answer = self._from_catalogue(vectors, k, 0, allowed, dead)
        lap("nearest vectors")
        return answer

    def first_passing(
        self, vector: Floats, k: int, passing: Passing, lap: Lap
    ) -> tuple[Ids, Floats] | None:
        """The k contents nearest to a unit vector (dim,), of those that pass a filter.

        None when they have to be listed first: when few of all pass, or without a snapshot.
        """
        snapshot = self.usable_snapshot()
        lap("snapshot open")
        if snapshot is None or self._may_hold_erased(snapshot):
            return None
        try:
            old = snapshot.first_passing(vector, k, passing)
        except UnusableSnapshot:
            # A damaged row was met: this file is not asked again.
            self._open = None
            return None
        lap("nearest vectors")
        newest = snapshot.header.last_embedding_id
        newer = self._catalogue.count_newer_embeddings(self._model_id, newest)
        if old is None or not newer:
            return old
        nobody = np.empty(0, np.int64)
        ids, scores = self._from_catalogue(vector[None], newer, newest, None, nobody)
        near = scores >= old[1][-1]
        near[near] = passing.which(ids[near])
        both = merge((old[0][None], old[1][None]), (ids[near][None], scores[near][None]), k)
        return both[0][0], both[1][0]

    def rows_of(self, content_ids: Ids) -> Floats:
        """The unit vectors (n, dim) of some contents, in the order given.

        Raises StorageError when one of them has none.
        """
        info = self.snapshot.info
        wanted = distinct(content_ids)
        rows = np.empty((len(wanted), info.embed_dim), dtype=np.float32)
        found = np.zeros(len(wanted), dtype=np.bool_)
        for block in self._catalogue.embeddings(self._model_id, content_ids=wanted):
            where = np.searchsorted(wanted, block.content_ids)
            rows[where] = block.vectors
            found[where] = True
        if not found.all():
            raise StorageError(
                f"{np.count_nonzero(~found)} photos have no embedding by {info.name}",
                "Run `clipsearch index` to encode them.",
            )
        return rows[np.searchsorted(wanted, content_ids)]

    def blocks(self, content_ids: Ids) -> Iterator[tuple[Ids, Floats]]:
        """Those of some contents that have one, a block at a time, roughly in the order given."""
        snapshot = self.usable_snapshot()
        stored = content_ids[:0]
        if snapshot is not None:
            stored = distinct(self._confirmed(snapshot, content_ids))
        for start in range(0, len(content_ids), BLOCK_ROWS):
            wanted = content_ids[start : start + BLOCK_ROWS]
            if snapshot is not None:
                try:
                    ids, halves = snapshot.stored(wanted[are_among(wanted, stored)])
                except UnusableSnapshot:
                    self._open = snapshot = None
                else:
                    yield ids, unit_rows(halves)
                    wanted = wanted[np.isin(wanted, ids, invert=True)]
            if len(wanted):
                for block in self._catalogue.embeddings(self._model_id, content_ids=wanted):
                    yield block.content_ids, block.vectors

    def usable_snapshot(self) -> Snapshot | None:
        """The snapshot, if there is one that the catalogue's history confirms and needs."""
        # What is open was needed, and opening is what costs.
        if self._open is None and not self.snapshot.is_needed():
            return None
        # Another process may have put a newer one in its place.
        identity = identity_of(self.snapshot.path)
        if identity != self._open_file:
            self._open_file = identity
            try:
                self._open = self.snapshot.open()
            except UnusableSnapshot:
                self._open = None
        if self._open is None or not self.snapshot.has_our_past(self._open.header):
            return None
        return self._open

    def _from_snapshot(
        self, snapshot: Snapshot | None, vectors: Floats, k: int, allowed: Ids | None, dead: Ids
    ) -> tuple[Ids, Floats] | None:
        """The answer from the snapshot and what is newer; None when there is none to use."""
        if snapshot is None:
            return None
        confirmed = self._confirmed(snapshot, allowed)
        try:
            old = snapshot.search(vectors, k, confirmed, dead)
        except UnusableSnapshot:
            # A damaged row was met: this file is not asked again.
            self._open = None
            return None
        newest = snapshot.header.last_embedding_id
        if self._catalogue.last_embedding_id(self._model_id) <= newest:
            return old
        return merge(old, self._from_catalogue(vectors, k, newest, allowed, dead), k)

    @overload
    def _confirmed(self, snapshot: Snapshot, allowed: Ids) -> Ids: ...

    @overload
    def _confirmed(self, snapshot: Snapshot, allowed: None) -> Ids | None: ...

    def _confirmed(self, snapshot: Snapshot, allowed: Ids | None) -> Ids | None:
        """Those of the allowed contents that may come from the snapshot; None for all of them."""
        if not self._may_hold_erased(snapshot):
            return allowed
        newest = snapshot.header.last_embedding_id
        kept = self._catalogue.embedded_contents(self._model_id, newest)
        return kept if allowed is None else allowed[are_among(allowed, kept)]

    def _may_hold_erased(self, snapshot: Snapshot) -> bool:
        return self._catalogue.history.last_erasure() > snapshot.header.generation

    def _from_catalogue(
        self, vectors: Floats, k: int, after_id: int, allowed: Ids | None, dead: Ids
    ) -> tuple[Ids, Floats]:
        """The same answer by brute force over the rows after `after_id`."""
        answer = nothing(len(vectors))
        # Rows newer than a snapshot are few: reading them all beats looking up each allowed one.
        chosen = allowed if after_id == 0 else None
        for block in self._catalogue.embeddings(self._model_id, after_id, chosen):
            found_here = np.isin(block.content_ids, dead, invert=True)
            if allowed is not None:
                found_here &= np.isin(block.content_ids, allowed)
            ids, rows = block.content_ids[found_here], block.vectors[found_here]
            found = [top_k(ids, rows, query, k) for query in vectors]
            block_answer = np.stack([f[0] for f in found]), np.stack([f[1] for f in found])
            answer = merge(answer, block_answer, k)
        return answer
