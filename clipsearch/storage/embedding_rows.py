"""Embeddings: written once, checked at every read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from clipsearch.errors import DamageError
from clipsearch.storage.connection import Connection, Row
from clipsearch.storage.decoding import decodes, decoding
from clipsearch.storage.half_floats import (
    Halves,
    faulty_rows,
    pack,
    rows_and_norms,
    unpack,
    vector_fault,
)
from clipsearch.storage.id_lists import id_list, to_ids
from clipsearch.storage.model_rows import model_info
from clipsearch.storage.records import EmbeddingBlock, embedding_checksum, embedding_seed
from clipsearch.types import Floats, Ids, ModelInfo

# Rows read at a time: about 4 MB of vectors.
BLOCK_ROWS = 4096

_SELECT = """SELECT e.id, e.content_id, e.checksum, c.hash, e.vector
    FROM embeddings e JOIN contents c ON c.id = e.content_id WHERE e.model_id = ?"""


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """Some embeddings as they are stored: `halves` is (n, dim) float16.

    `rows` are the same as unit float32 rows, `norms` (n,) their lengths before normalising.
    """

    row_ids: Ids
    content_ids: Ids
    halves: Halves
    rows: Floats
    norms: Floats


def write_embeddings(
    connection: Connection,
    model_id: int,
    vectors: Mapping[bytes, Floats],
    contents: Mapping[bytes, int],
) -> None:
    """Store unit vectors by content hash; a content that already has one keeps it.

    Raises ValueError for a vector that is not finite, not of length 1 or not (dim,), for one that
    belongs to no content of the batch, and when a content of the batch is left without any.
    """
    rows = []
    for content_hash, checksum, packed in packed_vectors(connection, model_id, vectors):
        if content_hash not in contents:
            raise ValueError(f"the embedding of {content_hash.hex()} belongs to no photo here")
        rows.append((model_id, contents[content_hash], checksum, packed))
    connection.change_many(
        "INSERT INTO embeddings (model_id, content_id, checksum, vector) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (content_id, model_id) DO NOTHING",
        rows,
    )
    bare = connection.value(
        """SELECT value FROM json_each(?) WHERE NOT EXISTS
        (SELECT 1 FROM embeddings WHERE content_id = value AND model_id = ?)""",
        (id_list(contents.values()), model_id),
    )
    if bare is not None:
        raise ValueError(f"content {bare} would be left without an embedding")


def packed_vectors(
    connection: Connection, model_id: int, vectors: Mapping[bytes, Floats]
) -> Iterator[tuple[bytes, int, bytes]]:
    """Each content hash, with the checksum and the bytes that are stored for its unit vector.

    Raises ValueError for a vector that is not finite, not of length 1 or not (dim,).
    """
    info = model_info(connection, model_id)
    seed = embedding_seed(info.fingerprint)
    for content_hash, vector in vectors.items():
        fault = vector_fault(vector, info.embed_dim)
        if fault is not None:
            raise ValueError(f"the embedding of {content_hash.hex()} is refused: {fault}")
        packed = pack(vector)
        yield content_hash, embedding_checksum(seed, content_hash, packed), packed


def has_embedding(connection: Connection, model_id: int, content_hash: bytes) -> bool:
    """Whether this model has encoded this content."""
    found = connection.row(
        """SELECT 1 FROM contents c JOIN embeddings e ON e.content_id = c.id
        WHERE c.hash = ? AND e.model_id = ?""",
        (content_hash, model_id),
    )
    return found is not None


def rows_of_content(connection: Connection, content_id: int) -> dict[int, int]:
    """The row ids of one content's embeddings, by model id."""
    return dict(
        connection.rows(
            "SELECT model_id, id FROM embeddings WHERE content_id = ? ORDER BY model_id",
            (content_id,),
        )
    )


def embeddings(
    connection: Connection, model_id: int, after_id: int, content_ids: Ids | None
) -> Iterator[EmbeddingBlock]:
    """Checked unit rows, by row id; see `stored_blocks`."""
    for block in stored_blocks(connection, model_id, after_id, content_ids):
        yield EmbeddingBlock(block.row_ids, block.content_ids, block.rows)


def stored_blocks(
    connection: Connection, model_id: int, after_id: int = 0, content_ids: Ids | None = None
) -> Iterator[StoredBlock]:
    """Embeddings of a model newer than row `after_id`, of these contents when they are given.

    At most BLOCK_ROWS at a time; by row id when no contents are given. Raises DamageError naming a
    row whose checksum does not fit.
    """
    info = model_info(connection, model_id)
    for rows in _pages(connection, model_id, after_id, content_ids):
        with decoding(connection):
            mismatched = _mismatched(rows, info)
            if mismatched:
                raise _bad_row(connection, *mismatched[0][:2])
            block = _block(rows, info.embed_dim)
        for position in faulty_rows(block.norms):
            raise _bad_row(connection, *rows[position][:2])
        yield block


@decodes
def count_newer(connection: Connection, model_id: int, after_id: int) -> int:
    """How many embeddings of a model are newer than row `after_id`."""
    return int(
        connection.value(
            "SELECT count(*) FROM embeddings WHERE model_id = ? AND id > ?", (model_id, after_id)
        )
    )


@decodes
def embedded_contents(connection: Connection, model_id: int, up_to_id: int) -> Ids:
    """Contents whose embedding by this model has a row id of at most `up_to_id`, sorted."""
    return np.sort(
        to_ids(
            connection.rows(
                "SELECT content_id FROM embeddings WHERE model_id = ? AND id <= ?",
                (model_id, up_to_id),
            )
        )
    )


def has_more_than(connection: Connection, model_id: int, number: int) -> bool:
    """Whether a model has more than this many embeddings, without counting them all."""
    counted = connection.value(
        "SELECT count(*) FROM (SELECT 1 FROM embeddings WHERE model_id = ? LIMIT ?)",
        (model_id, number + 1),
    )
    return bool(counted > number)


def _pages(
    connection: Connection, model_id: int, after_id: int, content_ids: Ids | None
) -> Iterator[list[Row]]:
    if content_ids is None:
        by_row = f"{_SELECT} AND e.id > ? ORDER BY e.id"
        yield from connection.pages(by_row, (model_id,), after_id, BLOCK_ROWS)
        return
    for start in range(0, len(content_ids), BLOCK_ROWS):
        chosen = id_list(content_ids[start : start + BLOCK_ROWS])
        rows = connection.rows(
            f"{_SELECT} AND e.id > ? AND e.content_id IN (SELECT value FROM json_each(?)) "
            "ORDER BY e.id",
            (model_id, after_id, chosen),
        )
        if rows:
            yield rows


def _mismatched(rows: list[Row], info: ModelInfo) -> list[Row]:
    """Those rows of a page that do not fit their checksum or the model's dimension."""
    seed = embedding_seed(info.fingerprint)
    size = 2 * info.embed_dim
    return [
        row
        for row in rows
        if len(row[4]) != size or embedding_checksum(seed, row[3], row[4]) != row[2]
    ]


def _block(rows: list[Row], dim: int) -> StoredBlock:
    halves = unpack([row[4] for row in rows], dim)
    return StoredBlock(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int64),
        halves,
        *rows_and_norms(halves),
    )


def _bad_row(connection: Connection, row_id: int, content_id: int) -> DamageError:
    return DamageError(
        f"Embedding {row_id} (content {content_id}) in {connection.path} is damaged",
        "Run `clipsearch library check --repair`, then `clipsearch index` to encode that photo "
        "again.",
    )
