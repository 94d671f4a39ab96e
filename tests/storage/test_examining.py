"""A check reads every row and names the one that is wrong, whatever its columns turned into."""

import sqlite3
from pathlib import Path

import pytest

from clipsearch.storage import examining
from clipsearch.storage.catalogue import Catalogue
from clipsearch.storage.catalogue_file import PAGE_SIZE
from clipsearch.storage.layout import CATALOGUE_NAME
from clipsearch.storage.records import model_to_json
from tests.storage.damaged_library import write_library
from tests.storage.small_library import MODEL, ROOT, add, new_catalogue, photo


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_library(tmp_path)


def faults_after(path: Path, *statements: str) -> list[tuple[str, int, str, bytes | None]]:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA writable_schema = ON")
    for statement in statements:
        database.execute(statement)
    database.close()
    catalogue = Catalogue(path)
    try:
        return [(f.table, f.row_id, f.what, f.path) for f in catalogue.row_faults()]
    finally:
        catalogue.close()


def test_a_whole_library_has_no_fault(path: Path) -> None:
    assert faults_after(path) == []
    catalogue = Catalogue(path)
    assert catalogue.structure_faults() == []
    counts = catalogue.row_counts()
    assert (counts["photos"], counts["concepts"], counts["roots"]) == (202, 1, 2)
    catalogue.close()


@pytest.mark.parametrize("table", ["contents", "embeddings", "photos", "folders", "concepts"])
@pytest.mark.parametrize("number", [0, -7])
def test_a_number_that_no_row_has_is_told(path: Path, table: str, number: int) -> None:
    """Searches begin at row 1: an embedding before it would never be found, nor missed."""
    found = faults_after(path, f"UPDATE {table} SET id = {number} WHERE id = 1")
    assert (table, number, f"no row has the number {number}", None) in found


# STRICT is what keeps a column to its type: damage does not ask it.
LOOSE = "UPDATE sqlite_master SET sql = replace(sql, ') STRICT', ')') WHERE name = '{}'"


@pytest.mark.parametrize(
    ("table", "change", "what"),
    [
        ("meta", "DELETE FROM meta", "lost its identity"),
        ("generations", "DELETE FROM generations", "lost its history"),
        ("models", "UPDATE models SET info = '{}' WHERE id = 2", "facts cannot be read"),
        ("models", "UPDATE models SET fingerprint = 'x' WHERE id = 2", "another's fingerprint"),
        ("roots", "UPDATE roots SET path = x'612f62' WHERE id = 2", "not absolute"),
        ("roots", "UPDATE roots SET path = x'2f6100' WHERE id = 2", "not absolute"),
        ("folders", "UPDATE folders SET path = x'612f2f62' WHERE id = 2", "leads elsewhere"),
        ("folders", "UPDATE folders SET path = x'6100' WHERE id = 2", "leads elsewhere"),
        ("contents", "UPDATE contents SET hash = x'00' WHERE id = 2", "not whole"),
        ("contents", "UPDATE contents SET height = -1 WHERE id = 2", "impossible"),
        ("contents", "UPDATE contents SET taken_at = 'once' WHERE id = 2", "date"),
        ("contents", "UPDATE contents SET live_photos = 7 WHERE id = 9", "counts 7 photos"),
        ("photos", "UPDATE photos SET name = x'612f62' WHERE id = 2", "no file's"),
        ("photos", "UPDATE photos SET name = x'6100' WHERE id = 2", "no file's"),
        ("photos", "UPDATE photos SET checksum = 1 WHERE id = 202", "checksum"),
        ("embeddings", "UPDATE embeddings SET vector = x'0000' WHERE id = 2", "length"),
        ("embeddings", "UPDATE embeddings SET checksum = 1 WHERE id = 2", "checksum"),
        ("concept_embeddings", "UPDATE concept_embeddings SET checksum = 1", "checksum"),
        ("concept_classifiers", "UPDATE concept_classifiers SET bias = 2", "cannot be read"),
    ],
)
def test_a_rule_that_is_broken_is_told_with_its_row(
    path: Path, table: str, change: str, what: str
) -> None:
    found = faults_after(path, change)
    assert found
    assert any(told == table and what in fault for told, _, fault, _ in found), found
    photos = {row_id: path for told, row_id, _, path in found if told == "photos"}
    if table == "photos":
        assert len(photos) == 1
        assert all(
            path is not None and path.startswith((b"/photos/", b"/more/"))
            for path in photos.values()
        )


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("models", "UPDATE models SET info = 7 WHERE id = 2"),
        ("roots", "UPDATE roots SET path = 7 WHERE id = 2"),
        ("folders", "UPDATE folders SET path = 7 WHERE id = 2"),
        ("contents", "UPDATE contents SET width = 'x' WHERE id = 2"),
        ("photos", "UPDATE photos SET name = 7 WHERE id = 2"),
        ("embeddings", "UPDATE embeddings SET vector = 7 WHERE id = 2"),
    ],
)
def test_columns_of_another_type_are_a_fault_and_no_crash(
    path: Path, table: str, change: str
) -> None:
    found = faults_after(path, LOOSE.format(table), "PRAGMA writable_schema = RESET", change)
    assert (table, 2) in {(told, row_id) for told, row_id, *_ in found}


def test_embeddings_of_a_model_that_cannot_be_read_are_told_with_the_model(path: Path) -> None:
    found = faults_after(
        path, "UPDATE models SET info = '{}' WHERE id = 1", "UPDATE embeddings SET checksum = 1"
    )
    assert [told for told, *_ in found] == ["models", "embeddings", "embeddings"]


def test_a_model_with_a_dimension_that_is_no_number_cannot_be_read(path: Path) -> None:
    text = model_to_json(MODEL).replace('"embed_dim": 4', '"embed_dim": "4"')
    found = faults_after(path, f"UPDATE models SET info = '{text}' WHERE fingerprint LIKE 'c0c0%'")
    assert [(told, what) for told, _, what, _ in found] == [("models", "its facts cannot be right")]


def test_a_table_whose_numbers_do_not_ascend_is_not_read_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = new_catalogue(tmp_path)
    root = catalogue.add_root(ROOT, 1, 2)
    add(catalogue, [photo(root, f"{name}.jpg", name) for name in ("dog", "cat", "owl", "fox")])
    (page,) = catalogue._db.row("SELECT rootpage FROM sqlite_master WHERE name = 'contents'") or ()
    catalogue.close()
    with (tmp_path / CATALOGUE_NAME).open("r+b") as file:
        # Where the last row begins, the length of its content (one byte), its number (one byte).
        file.seek((page - 1) * PAGE_SIZE + 8 + 2 * 3)
        last = int.from_bytes(file.read(2), "big")
        file.seek((page - 1) * PAGE_SIZE + last + 1)
        assert file.read(1) == b"\4"
        file.seek(-1, 1)
        file.write(b"\0")
    monkeypatch.setattr(examining, "_ROWS_AT_ONCE", 4)
    damaged = Catalogue(tmp_path / CATALOGUE_NAME)
    found = [fault.what for fault in damaged.row_faults() if fault.table == "contents"]
    assert "its rows are out of order" in found[-1]
    assert "out of order" in damaged.structure_faults()[0]
    damaged.close()


def test_a_reference_into_nothing_is_a_structure_fault(path: Path) -> None:
    faults_after(path, "PRAGMA foreign_keys = OFF", "DELETE FROM roots WHERE id = 2")
    catalogue = Catalogue(path)
    assert catalogue.structure_faults() == [
        "row 8 of folders refers to a row of roots that is not there"
    ]
    catalogue.close()


def test_a_table_that_cannot_be_read_does_not_hide_the_next(path: Path) -> None:
    database = sqlite3.connect(path)
    (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'roots'").fetchone()
    database.execute("UPDATE concept_embeddings SET checksum = 1")
    database.commit()
    database.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * 8192)
        file.write(bytes(8192))
    catalogue = Catalogue(path)
    assert catalogue.structure_faults()
    told = [(fault.table, fault.row_id) for fault in catalogue.row_faults()]
    assert ("photos", 0) in told
    assert ("concept_embeddings", 1) in told
    catalogue.close()
