"""The six bugs. Each function changes the program in this process for the worse."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from clipsearch.types import Floats


def _snapshot_writing() -> Any:
    from clipsearch.storage import snapshot_writing

    return snapshot_writing


def in_place_write() -> None:
    """A snapshot is written over the old one, instead of beside it."""
    module = _snapshot_writing()

    class InPlace:
        """The os of that module: the temporary file is the real one, and renaming does nothing."""

        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def replace(self, source: object, target: object) -> None:
            return

    real = module.open_private

    def open_there(path: Any, *, exclusive: bool = False) -> int:
        final = path.with_name(path.name.removesuffix(module.TEMPORARY_SUFFIX))
        if not final.exists():
            return int(real(path, exclusive=exclusive))
        return os.open(final, os.O_RDWR | os.O_TRUNC, 0o600)

    module.os = InPlace()
    module.open_private = open_there


def mark_first() -> None:
    """Photos are recorded in one transaction, their embeddings in a later one."""
    from clipsearch.storage import embedding_rows, photo_changes
    from clipsearch.storage.catalogue import Catalogue

    def write_batch(
        self: Catalogue,
        model_id: int,
        photos: Sequence[Any],
        vectors: Mapping[bytes, Floats],
        problems: Sequence[Any] = (),
    ) -> None:
        with self.history.change():
            contents = photo_changes.write_photos(self._db, photos, problems)
        with self.history.change():
            embedding_rows.write_embeddings(self._db, model_id, vectors, contents)

    Catalogue.write_batch = write_batch  # type: ignore[method-assign]


def no_transaction() -> None:
    """Each statement is committed by itself."""
    from clipsearch.storage.connection import Connection

    @contextmanager
    def transaction(self: Connection) -> Iterator[None]:
        self._reach("before_commit")
        yield
        self._reach("after_commit")

    Connection.transaction = transaction  # type: ignore[method-assign]


def no_sync_before_rename() -> None:
    """A snapshot gets its name before its bytes are on the disk."""
    module = _snapshot_writing()

    class Forgetful:
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def fsync(self, descriptor: int) -> None:
            return

    module.os = Forgetful()


def delete_on_empty_scan() -> None:
    """What a scan did not find is gone, whatever the reason."""
    from clipsearch.indexing import run as imported

    run: Any = imported
    run.confirmed_absent = lambda scan, before: scan.candidates
    run.root_state = lambda *arguments, **options: "scanned"


def misaligned_batch() -> None:
    """A photo that fails leaves the batch's hashes, but not its vectors."""
    from clipsearch.indexing.encoding import Encoding

    real = Encoding._commit

    def commit(self: Encoding, batch: Any, encoded: Any) -> None:
        if batch.failed and encoded is not None:
            encoded = replace(encoded, rows=np.roll(encoded.rows, -1, axis=0))
        real(self, batch, encoded)

    Encoding._commit = commit  # type: ignore[method-assign]


LAYERS: Mapping[str, Callable[[], None]] = {
    layer.__name__: layer
    for layer in (
        in_place_write,
        mark_first,
        no_transaction,
        no_sync_before_rename,
        delete_on_empty_scan,
        misaligned_batch,
    )
}
