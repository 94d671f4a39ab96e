"""F4: a catalogue of a newer clipsearch is left alone by every command; F7: one made by a foe."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from clipsearch.errors import DamageError, ModelMismatchError
from clipsearch.library import Library
from clipsearch.storage.migrations import MIGRATIONS
from tests.cli.program import Program
from tests.fault.damage.stored_album import Kept, pairs_in


@pytest.mark.row("F4")
def test_every_command_refuses_the_future_and_leaves_it_untouched(tmp_path: Path) -> None:
    program = Program(tmp_path)
    program.add_colours()
    program.index()
    catalogue = program.library / "catalogue.sqlite"
    with closing(sqlite3.connect(catalogue)) as database:
        database.execute(f"PRAGMA user_version = {MIGRATIONS[-1].version + 7}")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = {path.name: path.read_bytes() for path in program.library.iterdir()}
    for arguments in (
        ["search", "red"],
        ["index", "album", "--model", "fake"],
        ["classify", "--all", "--labels", "red"],
        ["teach", "x", "album/red.png"],
        ["library"],
        ["library", "forget", "album"],
        ["library", "rebuild"],
        ["library", "backup", "copies"],
        ["why", "album/red.png"],
    ):
        assert "newer clipsearch" in program.fails(6, *arguments), arguments
    now = {path.name: path.read_bytes() for path in program.library.iterdir()}
    assert now == before


HOSTILE = {
    "a trigger": "CREATE TRIGGER t AFTER UPDATE ON roots BEGIN DELETE FROM photos; END",
    "a view": "CREATE VIEW v AS SELECT load_extension('evil')",
    "a table in its place": "ALTER TABLE embeddings RENAME TO e2",
    "a view in its place": "ALTER TABLE embeddings RENAME TO e2; "
    "CREATE VIEW embeddings AS SELECT * FROM e2",
    "a long vector": "UPDATE embeddings SET vector = zeroblob(50000000) WHERE id = 1",
    "a short vector": "UPDATE embeddings SET vector = x'00' WHERE id = 1",
    "not a number": "UPDATE embeddings SET vector = x'007e007e007e007e' WHERE id = 1",
    "another's vector": "UPDATE embeddings SET vector = (SELECT vector FROM embeddings "
    "WHERE id = 2) WHERE id = 1",
    "another's content": "UPDATE photos SET content_id = 2 WHERE content_id = 1",
    "another's hash": "UPDATE contents SET hash = zeroblob(32) WHERE id = 1",
    "a path that leads elsewhere": "UPDATE photos SET name = '../../../../etc/passwd' WHERE id = 1",
    "another dimension": """UPDATE models SET info = replace(info, '"embed_dim": 4', """
    """'"embed_dim": 1000000')""",
    "no model": "UPDATE models SET info = '[]'",
}


@pytest.mark.row("F7")
@pytest.mark.parametrize("what", HOSTILE)
def test_a_catalogue_made_by_a_foe(kept: Kept, what: str) -> None:
    kept.restore()
    right = kept.pairs()
    with closing(sqlite3.connect(kept.catalogue)) as database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        try:
            database.executescript(HOSTILE[what])
        except sqlite3.IntegrityError:
            return  # SQLite itself forbids it
        database.commit()
    try:
        with Library.open(kept.album.library) as library:
            told = pairs_in(library)
        assert told.items() <= right.items()
        kept.album.index()
        assert kept.pairs().items() <= right.items()
        assert kept.pairs().keys() == right.keys()
    except (DamageError, ModelMismatchError):
        return
    finally:
        kept.restore()
