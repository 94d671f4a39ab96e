"""Concepts: names taught with photos, what they were taught with, and what was learned.

Each changing function belongs inside one transaction.
"""

import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from clipsearch.storage.connection import Connection, Row
from clipsearch.storage.embedding_rows import packed_vectors
from clipsearch.storage.faults import damaged
from clipsearch.storage.half_floats import faulty_rows, rows_and_norms, unpack
from clipsearch.storage.model_rows import model_info
from clipsearch.storage.records import (
    embedding_checksum,
    embedding_seed,
    label_of_stored,
    storable_label,
)
from clipsearch.types import Floats

ConceptKind = Literal["one", "labels"]

# Hashes in one question to SQLite.
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class ConceptPhoto:
    """A photo that a concept was taught with, and where it lay then.

    `is_example` is False for a photo of what the concept is not. `label` is the label that it is an
    example of when the concept is a set of labels, else "".
    """

    content_hash: bytes
    path: bytes
    label: str = ""
    is_example: bool = True


@dataclass(frozen=True, slots=True)
class Concept:
    """A name that was taught: one thing ("one"), or a set of labels learned together ("labels").

    `words` say what it is, when that was told. `taught_at` is in seconds since the epoch.
    """

    concept_id: int
    name: str
    kind: ConceptKind
    words: str | None
    taught_at: float
    photos: tuple[ConceptPhoto, ...]


@dataclass(frozen=True, slots=True, eq=False)
class LinearClassifier:
    """The odds that a photo with unit vector x shows `label` are exp(x . weights + bias).

    `weights` is (dim,) float32, of any length. `label` is "" for a concept that is one thing.
    """

    label: str
    weights: Floats
    bias: float

    @property
    def even_cosine(self) -> float:
        """The cosine between weights and photo at which the odds are even; inf without weights."""
        length = float(np.linalg.norm(self.weights))
        return -self.bias / length if length else float("inf")


def concepts(connection: Connection) -> list[Concept]:
    """All concepts, by name."""
    rows = connection.rows("SELECT id, name, kind, words, taught_at FROM concepts ORDER BY key")
    return [_concept(connection, *row) for row in rows]


def concept(connection: Connection, key: str) -> Concept | None:
    """The concept of a key, or None."""
    row = connection.row(
        "SELECT id, name, kind, words, taught_at FROM concepts WHERE key = ?", (key,)
    )
    return None if row is None else _concept(connection, *row)


def concept_names(connection: Connection) -> dict[str, str]:
    """The names of all concepts by their keys."""
    return dict(connection.rows("SELECT key, name FROM concepts ORDER BY key"))


def save_concept(
    connection: Connection,
    name: str,
    key: str,
    kind: ConceptKind,
    words: str | None,
    photos: Sequence[ConceptPhoto],
) -> int:
    """Write a concept over an earlier one of that key, whose classifiers are erased; its id."""
    forget_concept(connection, key)
    concept_id = connection.insert(
        "INSERT INTO concepts (name, key, kind, words, taught_at) VALUES (?, ?, ?, ?, ?)",
        (name, key, kind, words, time.time()),
    )
    connection.change_many(
        "INSERT INTO concept_photos (concept_id, hash, path, label, is_example) "
        "VALUES (?, ?, ?, ?, ?)",
        [
            (concept_id, p.content_hash, p.path, storable_label(p.label), int(p.is_example))
            for p in photos
        ],
    )
    return concept_id


def forget_concept(connection: Connection, key: str) -> bool:
    """Erase a concept, its photos' rows and what was learned; whether there was one."""
    return connection.change("DELETE FROM concepts WHERE key = ?", (key,)) > 0


def drop_unused_embeddings(connection: Connection) -> None:
    """Erase the kept embeddings of photos that no concept was taught with any more."""
    connection.change(
        "DELETE FROM concept_embeddings WHERE hash NOT IN (SELECT hash FROM concept_photos)"
    )


def save_embeddings(connection: Connection, model_id: int, vectors: Mapping[bytes, Floats]) -> None:
    """Keep unit vectors (dim,) by content hash. Raises ValueError for one that is none."""
    rows = [
        (model_id, content_hash, checksum, packed)
        for content_hash, checksum, packed in packed_vectors(connection, model_id, vectors)
    ]
    connection.change_many(
        "INSERT INTO concept_embeddings (model_id, hash, checksum, vector) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (hash, model_id) DO NOTHING",
        rows,
    )


def embeddings_by_hash(
    connection: Connection, model_id: int, hashes: Iterable[bytes]
) -> dict[bytes, Floats]:
    """The unit vectors (dim,) that a model gave some contents: kept for concepts, or indexed.

    Contents without one are left out. Raises DamageError when a row does not fit its checksum.
    """
    wanted = list(dict.fromkeys(hashes))
    rows: list[Row] = []
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        marks = ",".join("?" * len(some))
        rows += connection.rows(
            f"""SELECT hash, checksum, vector FROM concept_embeddings
            WHERE model_id = ? AND hash IN ({marks})
            UNION ALL SELECT c.hash, e.checksum, e.vector
            FROM contents c JOIN embeddings e ON e.content_id = c.id
            WHERE e.model_id = ? AND c.hash IN ({marks})""",
            (model_id, *some, model_id, *some),
        )
    if not rows:
        return {}
    info = model_info(connection, model_id)
    seed = embedding_seed(info.fingerprint)
    for content_hash, checksum, vector in rows:
        fits = embedding_checksum(seed, content_hash, vector) == checksum
        if len(vector) != 2 * info.embed_dim or not fits:
            raise damaged(connection.path, f"an embedding of {content_hash.hex()} cannot be read")
    vectors, lengths = rows_and_norms(unpack([row[2] for row in rows], info.embed_dim))
    for position in faulty_rows(lengths).tolist():
        raise damaged(connection.path, f"an embedding of {rows[position][0].hex()} is no unit row")
    return {row[0]: vector for row, vector in zip(rows, vectors, strict=True)}


def save_classifiers(
    connection: Connection, concept_id: int, model_id: int, learned: Sequence[LinearClassifier]
) -> None:
    """Write what was learned for one model, over what was. Raises ValueError for what is unusable.

    The labels' order is kept.
    """
    info = model_info(connection, model_id)
    rows = []
    for one in learned:
        usable = np.isfinite(one.weights).all() and np.isfinite(one.bias)
        if one.weights.shape != (info.embed_dim,) or not usable:
            raise ValueError(f"what was learned of {one.label!r} cannot be stored")
        packed = one.weights.astype("<f4").tobytes()
        label = storable_label(one.label)
        checksum = _checksum(info.fingerprint, label, packed, one.bias)
        rows.append((concept_id, model_id, label, packed, float(one.bias), checksum))
    connection.change(
        "DELETE FROM concept_classifiers WHERE concept_id = ? AND model_id = ?",
        (concept_id, model_id),
    )
    connection.change_many(
        "INSERT INTO concept_classifiers (concept_id, model_id, label, weights, bias, checksum) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        rows,
    )


def classifiers(
    connection: Connection, concept_id: int, model_id: int
) -> tuple[LinearClassifier, ...]:
    """What was learned of a concept for one model, in the order it was saved; () for nothing.

    Raises DamageError when a row does not fit its checksum.
    """
    info = model_info(connection, model_id)
    found = []
    for label, weights, bias, checksum in connection.rows(
        "SELECT label, weights, bias, checksum FROM concept_classifiers "
        "WHERE concept_id = ? AND model_id = ? ORDER BY id",
        (concept_id, model_id),
    ):
        fits = _checksum(info.fingerprint, label, weights, bias) == checksum
        if len(weights) != 4 * info.embed_dim or not fits:
            raise damaged(
                connection.path, f"what was learned of concept {concept_id} is unreadable"
            )
        row = np.frombuffer(weights, dtype="<f4").astype(np.float32)
        found.append(LinearClassifier(label_of_stored(label), row, bias))
    return tuple(found)


def learned_with(connection: Connection, concept_id: int) -> list[int]:
    """The ids of the models for which a concept was learned."""
    rows = connection.rows(
        "SELECT DISTINCT model_id FROM concept_classifiers WHERE concept_id = ? ORDER BY model_id",
        (concept_id,),
    )
    return [row[0] for row in rows]


def _concept(
    connection: Connection,
    concept_id: int,
    name: str,
    kind: ConceptKind,
    words: str | None,
    taught_at: float,
) -> Concept:
    return Concept(concept_id, name, kind, words, taught_at, _photos(connection, concept_id))


def _photos(connection: Connection, concept_id: int) -> tuple[ConceptPhoto, ...]:
    rows = connection.rows(
        "SELECT hash, path, label, is_example FROM concept_photos WHERE concept_id = ? ORDER BY id",
        (concept_id,),
    )
    return tuple(
        ConceptPhoto(h, path, label_of_stored(label), bool(example))
        for h, path, label, example in rows
    )


def _checksum(fingerprint: str, label: str, weights: bytes, bias: float) -> int:
    """CRC-32 over the model and the whole row, its label as it is stored: a swapped or damaged row
    never fits.
    """
    start = zlib.crc32(label.encode("utf-8", "surrogatepass"), embedding_seed(fingerprint))
    return zlib.crc32(np.float64(bias).tobytes(), zlib.crc32(weights, start))
