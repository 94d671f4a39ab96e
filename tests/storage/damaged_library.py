"""A library large enough to be damaged in many places, and what must be true of it afterwards."""

import dataclasses
import os
from pathlib import Path

import numpy as np

from clipsearch.storage.catalogue import Catalogue
from clipsearch.storage.concepts import ConceptPhoto, LinearClassifier
from clipsearch.storage.layout import CATALOGUE_NAME
from tests.storage.small_library import (
    MODEL,
    add,
    failure,
    hash_of,
    ids_at,
    new_catalogue,
    photo,
    vector_of,
)

PHOTOS = 200
# Wide enough that embeddings fill pages as they do in a real library.
WIDE = dataclasses.replace(MODEL, name="wide", fingerprint="a1" * 32, embed_dim=256)
BESIDE = dataclasses.replace(MODEL, name="beside", fingerprint="b2" * 32, embed_dim=8)


def write_library(directory: Path) -> Path:
    """A closed catalogue: two roots, folders, copies, problems, a missing photo, a taught name."""
    catalogue = new_catalogue(directory)
    model_id = catalogue.register_model(WIDE)
    catalogue.activate_model(model_id)
    root = catalogue.add_root(b"/photos", 5, 6)
    other = catalogue.add_root(b"/more", 5, 7)
    for start in range(0, PHOTOS, 50):
        some = [photo(root, name_of(i), content_of(i)) for i in range(start, start + 50)]
        add(catalogue, some, model=WIDE)
    add(catalogue, [photo(other, "copy.jpg", content_of(0))], model=WIDE)
    add(catalogue, [photo(root, name_of(i), content_of(i)) for i in range(3)], model=BESIDE)
    catalogue.write_batch(model_id, [], {}, [failure(other, "cut.jpg")])
    catalogue.mark_missing([ids_at(catalogue, other)[b"copy.jpg"]], 1000.0)
    teach(catalogue, model_id)
    catalogue.close()
    return directory / CATALOGUE_NAME


def teach(catalogue: Catalogue, model_id: int) -> None:
    content_hash = hash_of("rex")
    catalogue.concepts.save(
        "Rex",
        "one",
        "a dog",
        [ConceptPhoto(content_hash, b"/elsewhere/rex.jpg")],
        model_id,
        {content_hash: vector_of(content_hash, WIDE.embed_dim)},
        [LinearClassifier("", np.ones(WIDE.embed_dim, np.float32), -0.5)],
    )


def name_of(number: int) -> str:
    # Folders come after files, so that a file's name taken for a folder's would be tried first.
    return f"z{number % 7}/{number:03}.jpg"


def content_of(number: int) -> str:
    # Some photos are copies of others.
    return str(number - number % 2) if number < 10 else str(number)


def pairs(path: Path) -> dict[bytes, bytes]:
    """Each live photo's path with the hash of its content, after every vector was compared."""
    catalogue = Catalogue(path)
    try:
        found = {}
        for model in catalogue.models():
            dim = model.info.embed_dim
            for block in catalogue.embeddings(model.model_id):
                photos = catalogue.photos_of(block.content_ids)
                for content_id, vector in zip(block.content_ids, block.vectors, strict=True):
                    for row in photos.get(int(content_id), []):
                        right = vector_of(row.content_hash, dim)
                        np.testing.assert_allclose(vector, right, atol=3e-3)
                        found[row.path] = row.content_hash
        return found
    finally:
        catalogue.close()


def expected_pairs() -> dict[bytes, bytes]:
    """What `pairs` gives for a whole library."""
    return {
        os.path.join(b"/photos", name_of(i).encode()): hash_of(content_of(i)) for i in range(PHOTOS)
    }


def is_whole(path: Path) -> bool:
    """Whether neither SQLite nor a rule finds anything wrong."""
    catalogue = Catalogue(path)
    try:
        return not catalogue.structure_faults() and not list(catalogue.row_faults())
    finally:
        catalogue.close()
