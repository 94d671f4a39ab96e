"""A library: the catalogue and its models' vectors, opened, changed and closed together."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from clipsearch.errors import ModelMismatchError, StorageError, UsageError
from clipsearch.storage import snapshot_upkeep
from clipsearch.storage.catalogue import Catalogue
from clipsearch.storage.directory import catalogue_in
from clipsearch.storage.faults import damaged
from clipsearch.storage.layout import sweep_temporary
from clipsearch.storage.lock import writer_lock
from clipsearch.storage.model_snapshot import ModelSnapshot
from clipsearch.storage.model_vectors import ModelVectors
from clipsearch.storage.passing import Passing
from clipsearch.storage.snapshot_choice import IndexPolicy
from clipsearch.storage.snapshot_comparing import Comparison
from clipsearch.storage.snapshot_writing import TypicalQueries
from clipsearch.types import Floats, Ids, Lap, ModelInfo, PhotoFilter, no_lap

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
        self._vectors: ModelVectors | None = None
        self._passing: dict[PhotoFilter, Passing] = {}
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
        self._vectors = None
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

    def require_model(self) -> tuple[int, ModelInfo]:
        """The model that answers, with its number in the catalogue.

        Raises StorageError for a library without photos, DamageError when there are some.
        """
        model_id, info = self.catalogue.active_model_id(), self.catalogue.active_model()
        if model_id is None or info is None:
            if self.catalogue.last_photo_id():
                # A model is chosen before the first photo is written.
                raise damaged(self.catalogue.path, "it does not say which model answers")
            raise StorageError(
                f"the library {self.directory} has no photos yet", "Run: clipsearch index FOLDER"
            )
        return model_id, info

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
            self.catalogue.fit_journal()
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
            answering = self._answering()
            _check(vectors, answering.snapshot.info)
            return answering.nearest(vectors, k, allowed, lap)

    def nearest_passing(
        self, vector: Floats, k: int, wanted: PhotoFilter, lap: Lap = no_lap
    ) -> tuple[Ids, Floats]:
        """The k contents nearest to a unit vector (dim,), of those with a photo that passes.

        (m,) content ids and cosines, as `nearest` gives when it is told all that pass. Where many
        do, only the nearest few hundred contents are asked whether they do, which takes hardly
        longer than no filter. Raises as `nearest` does.
        """
        with self.catalogue.reading():
            allowed = None
            if wanted != PhotoFilter():
                answering = self._answering()
                _check(vector[None], answering.snapshot.info)
                passing = self._remembered(wanted)
                found = answering.first_passing(vector, k, passing, lap)
                if found is not None:
                    return found
                allowed = passing.contents()
                lap("filters")
            ids, cosines = self.nearest(vector[None], k, allowed, lap)
            return ids[0], cosines[0]

    def vectors_of(self, content_ids: Ids) -> Floats:
        """The active model's unit vectors (n, dim) of some contents, in the order given.

        Raises StorageError when one of them has none.
        """
        with self.catalogue.reading():
            return self._answering().rows_of(content_ids)

    def vector_blocks(self, content_ids: Ids) -> Iterator[tuple[Ids, Floats]]:
        """Contents that have an embedding by the active model, with unit vectors (n, dim).

        A few thousand at a time, roughly in the order given; from the snapshot where there is one.
        Raises DamageError for a damaged embedding.
        """
        yield from self._answering().blocks(content_ids)

    def refresh_snapshot(self) -> bool:
        """Bring the active model's snapshot up to date if searching is slow without; whether done.

        A small library needs none, and a few new photos are found as fast beside the old one. More
        are added to it; it is made anew when it does not fit the library any more. Raises as
        `rebuild_snapshot` does.
        """
        with self.catalogue.reading():
            if self.catalogue.active_model_id() is None:
                return False
            snapshot = self._answering().snapshot
            if not snapshot.is_needed() or not snapshot.is_outdated():
                return False
        with self.writer(), self.catalogue.reading():
            snapshot = self._answering().snapshot
            snapshot_upkeep.renew(snapshot, self._policy, self.typical_queries)
        return True

    def rebuild_snapshot(self) -> bool:
        """Write the active model's snapshot anew unless it is up to date; whether it was done.

        Raises LockedError or StorageError when it cannot be written, DamageError for a damaged
        embedding.
        """
        with self.writer(), self.catalogue.reading():
            if self.catalogue.active_model_id() is None:
                return False
            snapshot = self._answering().snapshot
            if snapshot.is_complete():
                return False
            snapshot_upkeep.write_anew(snapshot, self._policy, self.typical_queries)
        return True

    def compare_indexes(self) -> Comparison | None:
        """Measure the snapshot's index and the other kind side by side; None without rows in one.

        Raises LockedError or StorageError when the other one cannot be written, DamageError for a
        damaged embedding.
        """
        with self.writer(), self.catalogue.reading():
            return snapshot_upkeep.compare(self._answering().snapshot, self.typical_queries)

    def _remembered(self, wanted: PhotoFilter) -> Passing:
        """The contents that pass a filter, kept until the library changes.

        A process that goes on asking asks with the same few filters.
        """
        generation = self.catalogue.history.generation()
        if generation != self._passing_generation:
            self._passing.clear()
            self._passing_generation = generation
        found = self._passing.get(wanted)
        if found is None:
            if len(self._passing) == _FILTERS_REMEMBERED:
                self._passing.clear()
            found = self._passing[wanted] = self.catalogue.passing(wanted)
        return found

    def _answering(self) -> ModelVectors:
        """The vectors of the model that answers, kept while it is the same one."""
        model_id, info = self.require_model()
        kept = self._vectors
        if kept is None or (kept.snapshot.model_id, kept.snapshot.info) != (model_id, info):
            snapshot = ModelSnapshot(self.catalogue, self.directory, model_id, info)
            self._vectors = kept = ModelVectors(snapshot)
        return kept


def _check(vectors: Floats, info: ModelInfo) -> None:
    if vectors.ndim != 2 or vectors.shape[1] != info.embed_dim:
        raise ModelMismatchError(
            f"Vectors of shape {vectors.shape} do not fit {info.name} ({info.embed_dim} long)",
            "Encode the query with the library's own model.",
        )
    if not np.isfinite(vectors).all():
        raise UsageError("The query has no usable embedding", "Try another one.")
