"""Reading a whole catalogue for faults. Nothing is changed, and one fault does not hide the next.

`structure_faults` asks SQLite about the file, `row_faults` reads every row by `row_rules`.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache

from clipsearch.errors import DamageError
from clipsearch.storage import concept_rows, row_rules
from clipsearch.storage.connection import Connection, Row
from clipsearch.storage.model_rows import model_info
from clipsearch.storage.records import join_path
from clipsearch.storage.schema import CONCEPT_TABLES, TABLES
from clipsearch.types import ModelInfo

# SQLite stops counting here: nobody reads more, and a repair takes what is good in any case.
_MOST_FAULTS = 100
_ROWS_AT_ONCE = 4096
_SCHEMA = "SELECT name, type, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL"


@dataclass(frozen=True, slots=True)
class RowFault:
    """One row that breaks a rule. `path` is the photo's, where it is about a photo."""

    table: str
    row_id: int
    what: str
    path: bytes | None = None


def structure_faults(connection: Connection) -> list[str]:
    """What SQLite itself finds wrong with the file: pages, indexes, constraints, references."""
    try:
        found = [str(row[0]) for row in connection.rows(f"PRAGMA integrity_check({_MOST_FAULTS})")]
        faults = [] if found == ["ok"] else found
        for table, row_id, parent, _ in connection.rows("PRAGMA foreign_key_check"):
            faults.append(f"row {row_id} of {table} refers to a row of {parent} that is not there")
        faults += _schema_faults(connection)
        return faults[:_MOST_FAULTS]
    except DamageError as error:
        return [error.message]


def _schema_faults(connection: Connection) -> list[str]:
    """Tables and indexes that are not described as they were made; SQLite believes any words."""
    found = set(connection.rows(_SCHEMA))
    return [f"{row[0]} is not as it was made" for row in _schema() if row not in found]


@cache
def _schema() -> tuple[Row, ...]:
    """The tables and indexes of a catalogue as SQLite describes them when they are made."""
    with closing(sqlite3.connect(":memory:")) as blank:
        for statement in (*TABLES, *CONCEPT_TABLES):
            blank.execute(statement)
        return tuple(blank.execute(_SCHEMA))


def row_faults(connection: Connection) -> Iterator[RowFault]:
    """Every row that breaks a rule, table by table.

    A table that cannot be read to its end is told as a fault of its own (`row_id` 0), after the
    faults that were found before that place.
    """
    for table, examine in {
        "meta": _meta,
        "models": _models,
        "roots": _roots,
        "folders": _folders,
        "contents": _contents,
        "photos": _photos,
        "embeddings": _embeddings,
        "concepts": _concepts,
    }.items():
        try:
            yield from _numbers(connection, table)
            yield from examine(connection)
        except DamageError as error:
            yield RowFault(table, 0, error.message)


def row_counts(connection: Connection) -> dict[str, int]:
    """The number of rows of every table, by its name."""
    names = connection.rows(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' "
        "ORDER BY name"
    )
    return {name: connection.value(f'SELECT count(*) FROM "{name}"') for (name,) in names}


def _numbers(connection: Connection, table: str) -> Iterator[RowFault]:
    """Rows are counted from 1: searches and snapshots begin there, and never meet others."""
    for (row_id,) in connection.rows(f"SELECT id FROM {table} WHERE id < {row_rules.FIRST_ID}"):
        yield RowFault(table, row_id, f"no row has the number {row_id}")


def _meta(connection: Connection) -> Iterator[RowFault]:
    if connection.value("SELECT count(*) FROM meta") != 1:
        yield RowFault("meta", 0, "the library has lost its identity")
    if not connection.value("SELECT count(*) FROM generations"):
        yield RowFault("generations", 0, "the library has lost its history")


def _models(connection: Connection) -> Iterator[RowFault]:
    for row_id, fingerprint, info in connection.rows("SELECT id, fingerprint, info FROM models"):
        fault = row_rules.fault_by(row_rules.model_fault, fingerprint, info)
        if fault is not None:
            yield RowFault("models", row_id, fault)


def _roots(connection: Connection) -> Iterator[RowFault]:
    for row_id, path in connection.rows("SELECT id, path FROM roots"):
        fault = row_rules.fault_by(row_rules.root_fault, path)
        if fault is not None:
            yield RowFault("roots", row_id, fault)


def _folders(connection: Connection) -> Iterator[RowFault]:
    for row_id, path in connection.rows("SELECT id, path FROM folders"):
        fault = row_rules.fault_by(row_rules.folder_fault, path)
        if fault is not None:
            yield RowFault("folders", row_id, fault)


def _contents(connection: Connection) -> Iterator[RowFault]:
    for row_id, content_hash, width, height, taken_at, live, counted in _pages(
        connection,
        """SELECT c.id, c.hash, c.width, c.height, c.taken_at, c.live_photos,
            (SELECT count(*) FROM photos WHERE content_id = c.id AND missing_since IS NULL)
        FROM contents c WHERE c.id > ? ORDER BY c.id""",
    ):
        fault = row_rules.fault_by(row_rules.content_fault, content_hash, width, height, taken_at)
        if fault is None and live != counted:
            fault = f"it counts {live} photos where there are {counted}"
        if fault is not None:
            yield RowFault("contents", row_id, fault)


def _photos(connection: Connection) -> Iterator[RowFault]:
    nested = _nested_roots(connection)
    seen: set[bytes] = set()
    for row_id, root_id, root, folder, name, content_hash, checksum in _pages(
        connection,
        """SELECT p.id, r.id, r.path, f.path, p.name, c.hash, p.checksum
        FROM photos p JOIN folders f ON f.id = p.folder_id JOIN roots r ON r.id = f.root_id
            LEFT JOIN contents c ON c.id = p.content_id
        WHERE p.id > ? ORDER BY p.id""",
    ):
        fault = row_rules.fault_by(
            row_rules.photo_fault, root, folder, name, content_hash, checksum
        )
        if fault is not None:
            yield RowFault("photos", row_id, fault, _path_of(root, folder, name))
        elif root_id in nested:
            path = join_path(root, folder, name)
            if path in seen:
                yield RowFault("photos", row_id, "another row has the same path", path)
            seen.add(path)


def _path_of(root: object, folder: object, name: object) -> bytes | None:
    """The path of a damaged row, when its parts are at least bytes."""
    if isinstance(root, bytes) and isinstance(folder, bytes) and isinstance(name, bytes):
        return join_path(root, folder, name)
    return None


def _nested_roots(connection: Connection) -> set[int]:
    """Roots that lie in each other. Only their photos can have a path twice."""
    roots = connection.rows("SELECT id, path FROM roots WHERE typeof(path) = 'blob'")
    nested: set[int] = set()
    for inner_id, inner in roots:
        for outer_id, outer in roots:
            if inner_id != outer_id and inner.startswith(os.path.join(outer, b"")):
                nested |= {inner_id, outer_id}
    return nested


def _embeddings(connection: Connection) -> Iterator[RowFault]:
    models = readable_models(connection)
    for row_id, model_id, content_hash, checksum, vector in _pages(
        connection,
        """SELECT e.id, e.model_id, c.hash, e.checksum, e.vector
        FROM embeddings e JOIN contents c ON c.id = e.content_id WHERE e.id > ? ORDER BY e.id""",
    ):
        # One without a readable model is told with that model, one without content by SQLite.
        if model_id in models:
            fault = row_rules.fault_by(
                row_rules.embedding_fault, models[model_id], content_hash, checksum, vector
            )
            if fault is not None:
                yield RowFault("embeddings", row_id, fault)


def _concepts(connection: Connection) -> Iterator[RowFault]:
    models = readable_models(connection)
    for row_id, model_id, content_hash, checksum, vector in _pages(
        connection,
        """SELECT id, model_id, hash, checksum, vector FROM concept_embeddings
        WHERE id > ? ORDER BY id""",
    ):
        if model_id in models:
            fault = row_rules.fault_by(
                row_rules.embedding_fault, models[model_id], content_hash, checksum, vector
            )
            if fault is not None:
                yield RowFault("concept_embeddings", row_id, fault)
    for concept_id, model_id in unreadable_classifiers(connection, models):
        yield RowFault(
            "concept_classifiers", concept_id, f"what model {model_id} learned cannot be read"
        )


def unreadable_classifiers(
    connection: Connection, models: Mapping[int, ModelInfo]
) -> Iterator[tuple[int, int]]:
    """The concepts, with the models, of which what was learned does not fit its checksum."""
    for concept_id, model_id in connection.rows(
        "SELECT DISTINCT concept_id, model_id FROM concept_classifiers ORDER BY concept_id"
    ):
        try:
            if model_id in models:
                concept_rows.classifiers(connection, concept_id, model_id)
        except DamageError:
            yield concept_id, model_id


def readable_models(connection: Connection) -> dict[int, ModelInfo]:
    """The models whose facts can be read, by id."""
    readable = {}
    for row_id, fingerprint, info in connection.rows("SELECT id, fingerprint, info FROM models"):
        if row_rules.fault_by(row_rules.model_fault, fingerprint, info) is None:
            readable[row_id] = model_info(connection, row_id)
    return readable


def _pages(connection: Connection, sql: str) -> Iterator[Row]:
    """All rows of a query by ascending id (its first column), some at a time."""
    for rows in connection.pages(sql, (), -(1 << 63), _ROWS_AT_ONCE):
        yield from rows
