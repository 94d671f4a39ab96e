"""What a snapshot on the disk is worth to a catalogue: the question that `check` and `why` ask."""

from pathlib import Path

from clipsearch.storage.catalogue import Catalogue, RegisteredModel
from clipsearch.storage.layout import snapshot_name
from clipsearch.storage.snapshot_file import SnapshotHeader, UnusableSnapshot
from clipsearch.storage.vectors import verify_snapshot


def snapshot_header(
    catalogue: Catalogue, directory: Path, model: RegisteredModel
) -> SnapshotHeader | None:
    """The header of a model's snapshot, every byte of which was checked; None when there is none.

    Raises UnusableSnapshot when it is damaged, another library's or model's, from another history,
    or does not hold the rows that the catalogue had then.
    """
    path = directory / snapshot_name(model.info.fingerprint)
    if not path.exists():
        return None
    header = verify_snapshot(
        path, catalogue.library_id(), model.info.fingerprint, model.info.embed_dim
    )
    if not catalogue.has_generation(header.generation, bytes.fromhex(header.stamp)):
        raise UnusableSnapshot("it was made from another state of the library")
    rows = len(catalogue.embedded_contents(model.model_id, header.last_embedding_id))
    erased_since = catalogue.erased_generation() > header.generation
    if header.rows != rows and not (erased_since and header.rows > rows):
        raise UnusableSnapshot(f"it holds {header.rows} embeddings, the catalogue {rows}")
    return header
