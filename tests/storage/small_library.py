"""Photos and vectors small enough to work out by hand, for the tests of storage and library."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from clipsearch.storage.catalogue import Catalogue, FailedPhoto, IndexedPhoto, Root
from clipsearch.storage.layout import CATALOGUE_NAME
from clipsearch.types import (
    FileStat,
    Floats,
    ModelInfo,
    PhotoFacts,
    PhotoProblem,
    PhotoRead,
    Preprocess,
)

MODEL = ModelInfo(
    name="compass",
    fingerprint="c0" * 32,
    embed_dim=4,
    preprocess=Preprocess((8, 8), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
    context_length=8,
    logit_scale=100.0,
)
OTHER_MODEL = replace(MODEL, name="sextant", fingerprint="5e" * 32)
STAT = FileStat(size=1000, mtime_ns=2_000, ctime_ns=3_000, inode=40, device=5)
FACTS = PhotoFacts("JPEG", 640, 480)
ROOT = b"/photos"


def new_catalogue(directory: Path) -> Catalogue:
    """An empty catalogue in a directory."""
    path = directory / CATALOGUE_NAME
    Catalogue.create(path)
    return Catalogue(path)


def unit(*components: float) -> Floats:
    """A vector of length 1."""
    vector = np.array(components, dtype=np.float32)
    return vector / np.linalg.norm(vector)


def random_units(rng: np.random.Generator, number: int, dim: int = 4) -> Floats:
    """(number, dim) unit rows."""
    rows = rng.standard_normal((number, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def hash_of(content: str) -> bytes:
    """The content hash of a photo that shows `content`."""
    return hashlib.sha256(content.encode()).digest()


def photo(
    root: Root,
    path: str | bytes,
    content: str,
    *,
    taken_at: datetime | None = None,
    camera: str | None = None,
    facts: PhotoFacts | None = FACTS,
    stat: FileStat = STAT,
) -> IndexedPhoto:
    """A photo at a path relative to the root."""
    folder, name = os.path.split(os.fsencode(path))
    if facts is not None:
        facts = replace(facts, taken_at=taken_at, camera=camera)
    read = PhotoRead(os.path.join(root.path, folder, name), stat, hash_of(content), facts, None)
    return IndexedPhoto(root.root_id, folder, name, read)


def failure(root: Root, path: str, kind: str = "damaged", reason: str = "cut short") -> FailedPhoto:
    """A file at a path relative to the root that could not be used."""
    folder, name = os.path.split(os.fsencode(path))
    problem = PhotoProblem(os.path.join(root.path, folder, name), STAT, kind, reason)
    return FailedPhoto(root.root_id, folder, name, problem)


def add(
    catalogue: Catalogue,
    photos: Sequence[IndexedPhoto],
    vectors: Mapping[str, Floats] | None = None,
    model: ModelInfo = MODEL,
) -> None:
    """Write photos; a content whose vector is not given gets one from its name."""
    given = {hash_of(content): vector for content, vector in (vectors or {}).items()}
    # In the order of the photos, so that contents and their embeddings have the same ids.
    hashes = dict.fromkeys(p.read.content_hash for p in photos)
    made = {h: vector_of(h, model.embed_dim) for h in hashes}
    catalogue.write_batch(catalogue.register_model(model), photos, made | given)


def vector_of(content_hash: bytes, dim: int = 4) -> Floats:
    """A unit vector that depends on the hash alone."""
    seed = int.from_bytes(content_hash[:8], "big")
    return random_units(np.random.default_rng(seed), 1, dim)[0]


def ids_at(catalogue: Catalogue, root: Root, folder: bytes = b"") -> dict[bytes, int]:
    """Photo ids of one folder by name."""
    model_id = catalogue.register_model(MODEL)
    known = catalogue.photos_in_folder(root.root_id, folder, model_id)
    return {name: row.photo_id for name, row in known.items()}


def erase_embeddings(catalogue: Catalogue, model_id: int, content_ids: Sequence[int]) -> None:
    """Erase embeddings of contents that stay, as nothing in clipsearch does on its own."""
    with catalogue.history.change():
        catalogue.history.record_erasure()
        for content_id in content_ids:
            catalogue._db.change(
                "DELETE FROM embeddings WHERE model_id = ? AND content_id = ?",
                (model_id, content_id),
            )
