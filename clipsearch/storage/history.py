"""The history of a catalogue: every transaction that changes an answer is one generation."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from clipsearch.storage.connection import Connection
from clipsearch.storage.faults import damaged


class History:
    """The generations of one open catalogue. Raises as `Catalogue` does."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def generation(self) -> tuple[int, bytes]:
        """The number of committed changes, and the random stamp of the last one."""
        found = self._db.row(
            "SELECT generation, stamp FROM generations ORDER BY generation DESC LIMIT 1"
        )
        if found is None:
            raise damaged(self._db.path, "its history is gone")
        number, stamp = found
        return number, stamp

    def has(self, generation: int, stamp: bytes) -> bool:
        """Whether this generation lies in this catalogue's own past."""
        found = self._db.row(
            "SELECT 1 FROM generations WHERE generation = ? AND stamp = ?", (generation, stamp)
        )
        return found is not None

    def last_erasure(self) -> int:
        """The last generation in which embeddings were erased; 0 for never."""
        return int(self._db.value("SELECT erased_generation FROM meta"))

    @contextmanager
    def change(self) -> Iterator[None]:
        """One transaction that becomes one generation."""
        with self._db.transaction():
            yield
            self._db.change(
                "INSERT INTO generations SELECT max(generation) + 1, ? FROM generations",
                (os.urandom(8),),
            )

    def record_erasure(self) -> None:
        """Say that embeddings are erased in the generation that is being made."""
        self._db.change(
            "UPDATE meta SET erased_generation = (SELECT max(generation) + 1 FROM generations)"
        )
