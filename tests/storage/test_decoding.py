"""Rows whose columns turned into something else are damage, never an answer and never a crash."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from clipsearch.errors import DamageError
from clipsearch.storage.catalogue import Catalogue, Root
from clipsearch.storage.connection import Connection
from clipsearch.storage.records import facts_from_columns
from clipsearch.storage.replacing import _be_alone
from tests.storage.small_library import add, photo


@pytest.mark.parametrize(
    ("damage", "read"),
    [
        ("UPDATE roots SET path = x'61'", lambda c: c.roots()),
        ("DELETE FROM meta", lambda c: c.active_model_id()),
    ],
)
def test_what_cannot_be_is_damage(
    catalogue: Catalogue, root: Root, damage: str, read: Callable[[Catalogue], object]
) -> None:
    add(catalogue, [photo(root, "a.jpg", "dog")])
    catalogue._db.change(damage)
    with pytest.raises(DamageError):
        read(catalogue)


def test_facts_of_other_types_are_refused() -> None:
    good = ("JPEG", 640, 480, None, "X100V", 1.5, 2.5)
    assert facts_from_columns(*good).width == 640
    for position, wrong in ((0, b"JPEG"), (1, 640.0), (2, "480"), (4, 7), (5, "north")):
        columns = [*good[:position], wrong, *good[position + 1 :]]
        with pytest.raises(ValueError, match="of another type"):
            facts_from_columns(*columns)  # type: ignore[arg-type]


def test_names_that_are_no_text_are_damage(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def undecodable() -> None:
        b"\xff".decode("utf-8")

    with pytest.raises(DamageError, match="no text"), catalogue._db._translated():
        undecodable()


def test_a_schema_that_is_no_text_is_open_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "catalogue.sqlite"
    path.write_bytes(b"SQLite format 3\0")

    class Undecodable:
        def execute(self, sql: str) -> None:
            b"\xff".decode("utf-8")

        def close(self) -> None:
            pass

    monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: Undecodable())
    _be_alone(path)
    with pytest.raises(DamageError, match="no text"):
        Connection(path)


def test_a_mistake_of_ours_keeps_its_own_words(catalogue: Catalogue) -> None:
    with pytest.raises(sqlite3.OperationalError, match="syntax error"):
        catalogue._db.rows("SELEC")


def test_a_catalogue_that_acts_by_itself_is_refused(catalogue: Catalogue) -> None:
    catalogue._db.change("CREATE VIEW seen AS SELECT * FROM photos")
    catalogue.close()
    with pytest.raises(DamageError, match="triggers or views"):
        Catalogue(catalogue.path)
