"""A model's snapshot on the disk, and what it is worth to the catalogue."""

from pathlib import Path

from clipsearch.storage.catalogue import Catalogue
from clipsearch.storage.layout import snapshot_name
from clipsearch.storage.snapshot_file import SnapshotHeader, UnusableSnapshot
from clipsearch.storage.vectors import Snapshot, open_snapshot, verify_snapshot
from clipsearch.types import ModelInfo

# Up to this many embeddings the catalogue answers before FAISS would even be imported.
WITHOUT_SNAPSHOT = 8192
# Up to this many embeddings beside a snapshot add no more than 10 ms to a search.
BESIDE_SNAPSHOT = 2048


class ModelSnapshot:
    """The snapshot of one model in a library's directory, whether there is one or not.

    It is believed only as far as the catalogue's history confirms it.
    """

    def __init__(
        self, catalogue: Catalogue, directory: Path, model_id: int, info: ModelInfo
    ) -> None:
        self.catalogue = catalogue
        self.model_id = model_id
        self.info = info
        self.path = directory / snapshot_name(info.fingerprint)

    def is_needed(self) -> bool:
        """Whether the model has more embeddings than the catalogue is fast with."""
        return self.catalogue.has_more_embeddings_than(self.model_id, WITHOUT_SNAPSHOT)

    def open(self) -> Snapshot:
        """The snapshot, its history not asked for; raises UnusableSnapshot."""
        return open_snapshot(self.path, *self._owner())

    def has_our_past(self, header: SnapshotHeader) -> bool:
        """Whether it was made from an earlier state of this very catalogue."""
        return self.catalogue.history.has(header.generation, bytes.fromhex(header.stamp))

    def header(self) -> SnapshotHeader:
        """The header of a snapshot that searches would use, every byte of which was checked.

        Raises UnusableSnapshot when it is absent, damaged, another library's or model's, or from
        another history.
        """
        header = verify_snapshot(self.path, *self._owner())
        if not self.has_our_past(header):
            raise UnusableSnapshot("it was made from another state of the library")
        return header

    def counted_header(self) -> SnapshotHeader | None:
        """The same when it also holds the rows that the catalogue had then; None without a file.

        Raises UnusableSnapshot when it does not.
        """
        if not self.path.exists():
            return None
        header = self.header()
        rows = len(self.catalogue.embedded_contents(self.model_id, header.last_embedding_id))
        if header.rows != rows and not (self._erased_since(header) and header.rows > rows):
            raise UnusableSnapshot(f"it holds {header.rows} embeddings, the catalogue {rows}")
        return header

    def is_complete(self) -> bool:
        """Whether searches would use it, and it holds what the catalogue does and nothing else."""
        try:
            header = self.header()
        except UnusableSnapshot:
            return False
        # Less, when the newest were erased before it was written.
        newest = self.catalogue.last_embedding_id(self.model_id)
        return not self._erased_since(header) and newest <= header.last_embedding_id

    def is_outdated(self) -> bool:
        """Whether searching is slow until it is renewed."""
        try:
            header = self.header()
        except UnusableSnapshot:
            return True
        newer = self.catalogue.count_newer_embeddings(self.model_id, header.last_embedding_id)
        return newer > BESIDE_SNAPSHOT or self._erased_since(header)

    def _erased_since(self, header: SnapshotHeader) -> bool:
        return self.catalogue.history.last_erasure() > header.generation

    def _owner(self) -> tuple[str, str, int]:
        return self.catalogue.library_id(), self.info.fingerprint, self.info.embed_dim
