"""A new catalogue from the good rows of a damaged one.

Every row that can be read and keeps the rules goes over under its own id, into tables that SQLite
has just made. Nothing is guessed: what breaks a rule stays behind in the damaged file. Rows are
known by their columns alone, so that neither the file's header nor its schema has to be readable.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from clipsearch.storage import root_rows, row_rules
from clipsearch.storage.connection import Connection
from clipsearch.storage.examining import readable_models, unreadable_classifiers
from clipsearch.storage.lost_places import LostPlaces
from clipsearch.storage.model_rows import register_model
from clipsearch.storage.pages import Pages, StoredRow, Value
from clipsearch.types import ModelInfo

# Made anew rather than taken over: a snapshot of the damaged file must not be believed any more.
_MADE_ANEW = frozenset({"meta", "generations", "migrations"})
_TYPES: dict[str, tuple[type, ...]] = {
    "INTEGER": (int,),
    # SQLite stores 3.0 as 3.
    "REAL": (float, int),
    "TEXT": (str,),
    "BLOB": (bytes,),
}


@dataclass(frozen=True, slots=True)
class Salvage:
    """What was found: rows by table that are kept, and those that broke a rule.

    `unreadable` rows lay in damaged places, of whatever table; rows of the `lost_pages` are in no
    number.
    """

    kept: dict[str, int]
    set_aside: dict[str, int]
    unreadable: int
    lost_pages: int


@dataclass(frozen=True, slots=True)
class Table:
    """A table by its columns: name, types a value may have, and whether it may be NULL."""

    name: str
    columns: tuple[str, ...]
    types: tuple[tuple[type, ...], ...]
    nullable: tuple[bool, ...]

    def fits(self, values: tuple[Value, ...]) -> bool:
        """Whether these could be the columns of one of its rows, as they are stored."""
        return len(values) == len(self.columns) and all(
            (nullable if value is None else isinstance(value, types))
            for value, types, nullable in zip(values, self.types, self.nullable, strict=True)
        )


def tables_of(connection: Connection) -> list[Table]:
    """The tables of a catalogue, each after those it refers to."""
    names = connection.rows(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' "
        "ORDER BY rowid"
    )
    return [_table(connection, name) for (name,) in names]


def salvage(pages: Pages, target: Path, known_models: Sequence[ModelInfo]) -> Salvage:
    """Fill the empty catalogue at `target` with the good rows of `pages`: one transaction.

    `known_models` stand in for models whose row is lost, where their embeddings prove it.
    """
    connection = Connection(target)
    try:
        # A log would take as much room again, for a file that is thrown away when this fails.
        connection.rows("PRAGMA journal_mode = MEMORY")
        with connection.transaction():
            kept = _Rescue(connection, pages, known_models).run()
        connection.fit_journal()
        return kept
    finally:
        connection.close()


class _Rescue:
    def __init__(
        self, connection: Connection, pages: Pages, known_models: Sequence[ModelInfo]
    ) -> None:
        self._db = connection
        self._pages = pages
        self._known_models = known_models
        self._tables = tables_of(connection)
        self._models: dict[int, ModelInfo] = {}
        self._places: dict[int, tuple[bytes, bytes]] = {}
        self._found = {table.name: 0 for table in self._tables}
        self._unreadable = 0
        self._lost_pages: set[int] = set()

    def run(self) -> Salvage:
        leaves = self._leaves_by_table()
        for table in self._tables:
            if table.name not in _MADE_ANEW:
                self._copy(table, _rows(self._pages, leaves[table.name], table))
        self._adopt_history(leaves)
        self._tidy()
        kept = {
            name: self._db.value(f'SELECT count(*) FROM "{name}"')
            for name in self._found
            if name not in _MADE_ANEW
        }
        set_aside = {name: max(0, self._found[name] - count) for name, count in kept.items()}
        return Salvage(kept, set_aside, self._unreadable, len(self._lost_pages))

    def _leaves_by_table(self) -> dict[str, list[int]]:
        leaves: dict[str, list[int]] = {table.name: [] for table in self._tables}
        found = self._pages.leaves()
        self._lost_pages |= found.lost
        for number in found.numbers:
            rows = list(self._pages.rows(number))
            roots = {root for row in rows if (root := _root_page(row)) is not None}
            self._lost_pages |= {root for root in roots if not self._pages.is_of_table(root)}
            self._unreadable += rows.count(None)
            owners = (table for row in rows if row is not None for table in self._owners(row))
            owner = next(owners, None)
            if owner is not None:
                leaves[owner.name].append(number)
                self._unreadable += sum(row is not None and not owner.fits(row[1]) for row in rows)
        return leaves

    def _owners(self, row: StoredRow) -> Iterator[Table]:
        return (table for table in self._tables if table.fits(row[1]))

    def _copy(self, table: Table, rows: Iterator[StoredRow]) -> None:
        marks = ", ".join("?" * len(table.columns))
        insert = f'INSERT INTO "{table.name}" ({", ".join(table.columns)}) VALUES ({marks})'
        for row_id, values in rows:
            self._found[table.name] += 1
            if row_id >= row_rules.FIRST_ID and self._fault(table.name, values) is None:
                # Not allowed: a row that is there already, or refers to one that is lost.
                self._db.insert_if_allowed(insert, (row_id, *values[1:]))

    def _fault(self, table: str, values: tuple[Value, ...]) -> str | None:
        match table:
            case "models":
                return row_rules.fault_by(row_rules.model_fault, *values[1:3])
            case "roots":
                return row_rules.fault_by(row_rules.root_fault, values[1])
            case "folders":
                return row_rules.fault_by(row_rules.folder_fault, values[2])
            case "contents":
                _, content_hash, _, width, height, taken_at, *_ = values
                return row_rules.fault_by(
                    row_rules.content_fault, content_hash, width, height, taken_at
                )
            case "photos":
                return self._photo_fault(values)
            case "embeddings":
                _, model_id, content_id, checksum, vector = values
                content_hash = self._hash_of(content_id)
                return self._embedding_fault(model_id, content_hash, checksum, vector)
            case "concept_embeddings":
                return self._embedding_fault(*values[1:])
            case _:
                return None

    def _photo_fault(self, values: tuple[Value, ...]) -> str | None:
        _, folder_id, name, *_, content_id, _, _, _, checksum = values
        assert isinstance(folder_id, int)
        content_hash = self._hash_of(content_id)
        place = self._place(folder_id, name, content_hash, checksum)
        if place is None:
            return "its folder is lost"
        return row_rules.fault_by(row_rules.photo_fault, *place, name, content_hash, checksum)

    def _place(
        self, folder_id: int, name: Value, content_hash: Value, checksum: Value
    ) -> tuple[bytes, bytes] | None:
        """The paths of a photo's root and folder, as they were copied or found elsewhere."""
        if not self._places:
            self._places = {
                row_id: (root, folder)
                for row_id, root, folder in self._db.rows(
                    "SELECT f.id, r.path, f.path FROM folders f JOIN roots r ON r.id = f.root_id"
                )
            }
        if folder_id not in self._places:
            found = self._lost.find(folder_id, name, content_hash, checksum)
            if found is None:
                return None
            self._places[folder_id] = found
        return self._places[folder_id]

    @cached_property
    def _lost(self) -> LostPlaces:
        # Rarely needed: nothing but a lost page of folders or roots leads here.
        return LostPlaces(self._db, self._pages)

    def _hash_of(self, content_id: Value) -> Value:
        found: Value = self._db.value("SELECT hash FROM contents WHERE id = ?", (content_id,))
        return found

    def _embedding_fault(
        self, model_id: Value, content_hash: Value, checksum: Value, vector: Value
    ) -> str | None:
        assert isinstance(model_id, int)
        if model_id not in self._models:
            self._models = readable_models(self._db)
        for model in self._candidates(model_id):
            fault = row_rules.fault_by(
                row_rules.embedding_fault, model, content_hash, checksum, vector
            )
            if fault is None:
                self._restore_model(model_id, model)
                return None
        return "no model fits it"

    def _candidates(self, model_id: int) -> Sequence[ModelInfo]:
        """The model of that id, else those that may have had it."""
        if model_id in self._models:
            return [self._models[model_id]]
        taken = {model.fingerprint for model in self._models.values()}
        return [model for model in self._known_models if model.fingerprint not in taken]

    def _restore_model(self, model_id: int, model: ModelInfo) -> None:
        """Write a model under the id that it had, unless it is there."""
        if model_id not in self._models:
            new_id = register_model(self._db, model)
            self._db.change("UPDATE models SET id = ? WHERE id = ?", (model_id, new_id))

    def _adopt_history(self, leaves: dict[str, list[int]]) -> None:
        """The library stays itself and goes on answering, but its history begins anew."""
        found = {
            table.name: list(_rows(self._pages, leaves[table.name], table))
            for table in self._tables
            if table.name in ("meta", "generations")
        }
        for _, (_, library_id, active_model, _) in found["meta"]:
            self._db.change("UPDATE meta SET library_id = ?", (library_id,))
            self._db.change(
                "UPDATE meta SET active_model = ? WHERE ? IN (SELECT id FROM models)",
                (active_model, active_model),
            )
        self._db.change(
            """UPDATE meta SET active_model = (SELECT model_id FROM embeddings
                GROUP BY model_id ORDER BY count(*) DESC LIMIT 1) WHERE active_model IS NULL"""
        )
        newest = max((row_id for row_id, _ in found["generations"]), default=0) + 1
        self._db.change("DELETE FROM generations")
        self._db.change("INSERT INTO generations VALUES (?, ?)", (newest, os.urandom(8)))
        self._db.change("UPDATE meta SET erased_generation = ?", (newest,))

    def _tidy(self) -> None:
        """What follows from other rows, made right again."""
        for concept_id, model_id in unreadable_classifiers(self._db, readable_models(self._db)):
            # They are learned again from the same photos when the name is next used.
            self._db.change(
                "DELETE FROM concept_classifiers WHERE concept_id = ? AND model_id = ?",
                (concept_id, model_id),
            )
        root_rows.merge_nested_roots(self._db)
        self._db.change(
            "UPDATE contents SET live_photos = (SELECT count(*) FROM photos "
            "WHERE content_id = contents.id AND missing_since IS NULL)"
        )


def _root_page(row: StoredRow | None) -> int | None:
    """The page at which a table begins, in a row of the schema that describes one."""
    match row:
        case (_, ("table", str(), str(), int(page), str())):
            return page
        case _:
            return None


def _rows(pages: Pages, leaves: list[int], table: Table) -> Iterator[StoredRow]:
    for number in leaves:
        for row in pages.rows(number):
            if row is not None and table.fits(row[1]):
                yield row


def _table(connection: Connection, name: str) -> Table:
    columns = connection.rows(f'PRAGMA table_info("{name}")')
    return Table(
        name,
        tuple(column for _, column, *_ in columns),
        # A primary key is the row's id, and stored as NULL.
        tuple(() if key else _TYPES[kind] for _, _, kind, _, _, key in columns),
        tuple(bool(key) or not required for _, _, _, required, _, key in columns),
    )
