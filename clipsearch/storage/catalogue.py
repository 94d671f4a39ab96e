"""The catalogue: the only truth of a library.

Roots, photos, contents, models and embeddings in one SQLite file. Every method that changes
something is one transaction, and every transaction is one generation. The tables are drawn in
`schema`; the siblings of this module hold the statements, by subject.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from clipsearch.errors import StorageError
from clipsearch.storage import (
    embedding_rows,
    examining,
    liveness,
    model_rows,
    passing,
    path_rows,
    photo_changes,
    photo_rows,
    root_rows,
)
from clipsearch.storage.catalogue_file import create_catalogue_file, open_catalogue_file
from clipsearch.storage.concepts import Concepts
from clipsearch.storage.connection import Connection
from clipsearch.storage.erasing import Erasing
from clipsearch.storage.history import History
from clipsearch.storage.records import (
    EmbeddingBlock,
    FailedPhoto,
    IndexedFile,
    IndexedPhoto,
    KnownPhoto,
    LibraryCounts,
    PhotoRecord,
    PhotoRow,
    ProblemRow,
    RegisteredModel,
    Root,
)
from clipsearch.types import Floats, Ids, ModelInfo, PhotoFilter

__all__ = [
    "Catalogue",
    "EmbeddingBlock",
    "FailedPhoto",
    "IndexedPhoto",
    "KnownPhoto",
    "LibraryCounts",
    "PhotoRow",
    "ProblemRow",
    "RegisteredModel",
    "Root",
]


class Catalogue:
    """An open catalogue. For one thread, but for `has_embedding`; close it when done.

    Any method raises DamageError when the file turns out to be damaged, StorageError when it cannot
    be read or written (no space, no permission), LockedError when another process keeps writing.
    """

    def __init__(self, path: Path) -> None:
        """Open an existing catalogue file; raises as `open_catalogue_file` does."""
        self.path = path
        self._db = open_catalogue_file(path)
        self.history = History(self._db)
        self.concepts = Concepts(self._db)
        self.erasing = Erasing(self._db, self.history)
        self._other_threads: Connection | None = None
        self._lock = threading.Lock()

    @staticmethod
    def create(path: Path) -> None:
        """Create an empty catalogue file, complete or not at all; an existing one is left alone."""
        create_catalogue_file(path)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._other_threads is not None:
                self._other_threads.close()
                self._other_threads = None
        self._db.close()

    @property
    def writable(self) -> bool:
        """Whether the file and its directory can be written."""
        return self._db.writable

    def require_in_place(self) -> None:
        """Raise StorageError when another file took the catalogue's place since it was opened."""
        if not self._db.is_in_place():
            raise StorageError(
                f"The catalogue {self.path} was replaced or removed meanwhile",
                "Run the command again.",
            )

    def fit_journal(self) -> None:
        """Record changes in the way that suits the disk: not every one can keep a log.

        Belongs under the writer lock. Raises LockedError when that has to change while another
        process has the catalogue open.
        """
        self._db.fit_journal()

    def reading(self) -> AbstractContextManager[None]:
        """Everything read inside comes from one generation, whatever others commit meanwhile."""
        return self._db.reading()

    def library_id(self) -> str:
        """What tells this library from every other: 32 hex digits."""
        return str(self._db.value("SELECT library_id FROM meta"))

    # Models

    def register_model(self, info: ModelInfo) -> int:
        """The id of a model, which is added when it is new. It does not become active."""
        known = self._db.value("SELECT id FROM models WHERE fingerprint = ?", (info.fingerprint,))
        if known is not None:
            return model_rows.register_model(self._db, info)
        with self.history.change():
            return model_rows.register_model(self._db, info)

    def models(self) -> list[RegisteredModel]:
        """All models that were registered, in the order they came."""
        return model_rows.registered_models(self._db)

    def active_model(self) -> ModelInfo | None:
        """The model that answers, or None before the first one was activated."""
        model_id = self.active_model_id()
        return None if model_id is None else model_rows.model_info(self._db, model_id)

    def active_model_id(self) -> int | None:
        """The id of the model that answers, or None."""
        return model_rows.active_model_id(self._db)

    def activate_model(self, model_id: int) -> None:
        """Let this model answer from now on. The embeddings of the others stay."""
        with self.history.change():
            self._db.change("UPDATE meta SET active_model = ?", (model_id,))

    # Roots and folders

    def roots(self) -> list[Root]:
        """All roots, in the order they came."""
        return root_rows.roots(self._db)

    def add_root(self, path: bytes, device: int, inode: int) -> Root:
        """Add a folder of photos; `path` is absolute. An existing root is returned as it is."""
        with self.history.change():
            return root_rows.add_root(self._db, path, device, inode)

    def merge_root(self, inner: Root, outer: Root) -> None:
        """Give the rows of `inner`, which lies inside `outer`, to `outer`. No path changes."""
        with self.history.change():
            root_rows.merge_root(self._db, inner, outer)

    def forget_root(self, root: Root) -> int:
        """Erase a root with its photos, and what no other photo shares; the rows erased."""
        with self.history.change():
            photos, embeddings = root_rows.forget_root(self._db, root)
            if embeddings:
                self.history.record_erasure()
            return photos

    def touch_root(self, root: Root, scanned_at: float) -> None:
        """Record when a root was last scanned to the end, in seconds since the epoch."""
        with self._db.transaction():
            self._db.change(
                "UPDATE roots SET scanned_at = ? WHERE id = ?", (scanned_at, root.root_id)
            )

    def folders(self, root_id: int, under: bytes = b"") -> set[bytes]:
        """Folders of a root that have photo rows: `under` and everything inside it."""
        return root_rows.folders(self._db, root_id, under)

    # Photos

    def photos_in_folder(
        self, root_id: int, folder: bytes, model_id: int
    ) -> dict[bytes, KnownPhoto]:
        """All rows of one folder by file name; `embedded` is by this model."""
        return photo_rows.photos_in_folder(self._db, root_id, folder, model_id)

    def photo_at(self, path: bytes) -> PhotoRow | None:
        """The photo at an absolute path, missing or not; None when its content is not known."""
        return photo_rows.photo_at(self._db, path)

    def record_at(self, path: bytes) -> PhotoRecord | None:
        """All that is stored about an absolute path, problems included; None for nothing."""
        return photo_rows.record_at(self._db, path)

    def indexed_files(self) -> Iterator[IndexedFile]:
        """Every photo that is not missing, with the hash of the content it had, by row id."""
        return photo_rows.indexed_files(self._db)

    def live_paths(self, root: Root) -> Iterator[bytes]:
        """The paths of a root's photos that are not missing, by row id."""
        return photo_rows.live_paths(self._db, root)

    def paths_of(self, content_id: int) -> list[tuple[bytes, bool]]:
        """All paths that have, or had, one content, and whether each is missing; by path."""
        return photo_rows.paths_of(self._db, content_id)

    def live_contents(self, wanted: PhotoFilter | None = None) -> Ids:
        """Contents with a photo that is not missing and passes the filter, sorted."""
        return passing.live_contents(self._db, wanted)

    def passing(self, wanted: PhotoFilter) -> passing.Passing:
        """The contents that pass a filter, to be asked about while nothing changes."""
        return passing.Passing(self._db, wanted)

    def dead_contents(self) -> Ids:
        """Contents of which no photo is left that is not missing, sorted."""
        return liveness.dead_contents(self._db)

    def photos_of(
        self, content_ids: Ids, wanted: PhotoFilter | None = None
    ) -> dict[int, list[PhotoRow]]:
        """The photos of some contents that are not missing and pass the filter, by path."""
        return photo_rows.photos_of(self._db, content_ids, wanted)

    def paths_of_all(
        self, content_ids: Ids, wanted: PhotoFilter | None = None
    ) -> dict[int, list[bytes]]:
        """The paths of the photos that `photos_of` gives, and nothing else of them: much faster."""
        return path_rows.paths_of_all(self._db, content_ids, wanted)

    def problems(self, kind: str | None = None) -> Iterator[ProblemRow]:
        """Files that could not be used (of one kind), by kind and path."""
        return photo_rows.problems(self._db, kind)

    def counts(self) -> LibraryCounts:
        """How much the library holds."""
        with self.reading():
            return photo_rows.counts(self._db, self.active_model_id())

    def write_batch(
        self,
        model_id: int,
        photos: Sequence[IndexedPhoto],
        vectors: Mapping[bytes, Floats],
        problems: Sequence[FailedPhoto] = (),
    ) -> None:
        """Record what was read and what failed, with the new embeddings: one transaction.

        `vectors` maps content hashes to unit vectors (dim,). Afterwards every photo of the batch
        has an embedding by this model. Raises ValueError, and changes nothing, for a vector that is
        not finite, not of length 1 or of another dimension, and for a photo left without one.
        """
        with self.history.change():
            contents = photo_changes.write_photos(self._db, photos, problems)
            embedding_rows.write_embeddings(self._db, model_id, vectors, contents)

    def mark_missing(self, photo_ids: Sequence[int], when: float | None = None) -> int:
        """Record that files are gone since `when` (epoch seconds, now); the rows changed."""
        if not photo_ids:
            return 0
        with self.history.change():
            since = time.time() if when is None else when
            return photo_changes.mark_missing(self._db, photo_ids, since)

    def mark_present(self, photo_ids: Sequence[int]) -> int:
        """Record that files are there again; the rows changed."""
        if not photo_ids:
            return 0
        with self.history.change():
            return photo_changes.mark_present(self._db, photo_ids)

    def doubt_photos(self, photo_ids: Sequence[int]) -> int:
        """Let the next index run read these files again, unchanged or not; the rows changed."""
        if not photo_ids:
            return 0
        with self.history.change():
            return photo_changes.doubt_photos(self._db, photo_ids)

    def delete_photos(self, photo_ids: Sequence[int]) -> int:
        """Delete rows of files proved to have moved; the rows deleted. Embeddings stay."""
        if not photo_ids:
            return 0
        with self.history.change():
            return photo_changes.delete_photos(self._db, photo_ids)

    def last_photo_id(self) -> int:
        """The newest row id of a photo, 0 when there are none."""
        return self._db.value("SELECT max(id) FROM photos") or 0

    def moved_photos(self, photo_ids: Sequence[int], last_photo_id: int) -> list[int]:
        """Those of these photos whose content arrived elsewhere after row `last_photo_id`."""
        return photo_changes.moved_photos(self._db, photo_ids, last_photo_id)

    # Embeddings

    def has_embedding(self, model_id: int, content_hash: bytes) -> bool:
        """Whether this model has encoded this content. May be called from any thread."""
        with self._lock:
            if self._other_threads is None:
                self._other_threads = Connection(self.path, any_thread=True)
            return embedding_rows.has_embedding(self._other_threads, model_id, content_hash)

    def embeddings_of(self, content_id: int) -> dict[int, int]:
        """The row ids of one content's embeddings, by model id."""
        return embedding_rows.rows_of_content(self._db, content_id)

    def embeddings(
        self, model_id: int, after_id: int = 0, content_ids: Ids | None = None
    ) -> Iterator[EmbeddingBlock]:
        """Embeddings newer than row `after_id`, of these contents if given, as unit rows.

        Raises DamageError naming a row that does not fit its checksum.
        """
        return embedding_rows.embeddings(self._db, model_id, after_id, content_ids)

    def stored_embeddings(
        self, model_id: int, after_id: int = 0
    ) -> Iterator[embedding_rows.StoredBlock]:
        """Embeddings newer than row `after_id` as float16, just as they are stored, by row id."""
        return embedding_rows.stored_blocks(self._db, model_id, after_id)

    def embedded_contents(self, model_id: int, up_to_id: int) -> Ids:
        """Contents whose embedding has a row id of at most `up_to_id`, sorted."""
        return embedding_rows.embedded_contents(self._db, model_id, up_to_id)

    def has_more_embeddings_than(self, model_id: int, number: int) -> bool:
        """Whether there are more than this many, without counting them all."""
        return embedding_rows.has_more_than(self._db, model_id, number)

    def last_embedding_id(self, model_id: int) -> int:
        """The newest row id of a model's embeddings, 0 when there are none."""
        newest = self._db.value("SELECT max(id) FROM embeddings WHERE model_id = ?", (model_id,))
        return newest or 0

    def count_newer_embeddings(self, model_id: int, after_id: int) -> int:
        """How many embeddings of a model are newer than row `after_id`."""
        return embedding_rows.count_newer(self._db, model_id, after_id)

    def count_unembedded(self, model_id: int) -> int:
        """Contents with a live photo that this model has not encoded."""
        return photo_rows.count_unembedded(self._db, model_id)

    # Looking after the file

    def structure_faults(self) -> list[str]:
        """What SQLite itself finds wrong with the file; [] for nothing."""
        return examining.structure_faults(self._db)

    def row_faults(self) -> Iterator[examining.RowFault]:
        """Every row of every table that breaks a rule of `row_rules`."""
        return examining.row_faults(self._db)

    def row_counts(self) -> dict[str, int]:
        """The number of rows of every table, by its name."""
        return examining.row_counts(self._db)

    def back_up(self, target: Path) -> dict[str, int]:
        """Write a copy of one generation to `target`; the number of rows of each of its tables.

        Others may go on writing meanwhile. Raises sqlite3.Error or StorageError.
        """
        with self.reading():
            counts = self.row_counts()
            self._db.back_up(target)
            return counts
