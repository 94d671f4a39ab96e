import hashlib
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clipsearch.errors import LockedError, StorageError
from clipsearch.storage import (
    catalogue_file,
    embedding_rows,
    migrations,
    model_rows,
    photo_changes,
    root_rows,
)
from clipsearch.storage.catalogue import Catalogue
from clipsearch.storage.connection import Connection
from clipsearch.storage.layout import CATALOGUE_NAME
from clipsearch.storage.lock import writer_lock
from clipsearch.storage.migrations import MIGRATIONS, Migration, migrate
from tests.storage.small_library import (
    MODEL,
    ROOT,
    add,
    hash_of,
    new_catalogue,
    photo,
    unit,
)


def add_stars(connection: Connection) -> None:
    """An artificial next version."""
    connection.change("ALTER TABLE contents ADD COLUMN stars INTEGER NOT NULL DEFAULT 3")


def fail_half_way(connection: Connection) -> None:
    add_stars(connection)
    raise OSError(5, "the disk is gone")


NEWEST = MIGRATIONS[-1].version
NEXT = NEWEST + 1
TO_NEXT = (*MIGRATIONS, Migration(NEXT, add_stars))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A catalogue of the newest version with one photo."""
    catalogue = new_catalogue(tmp_path)
    catalogue.activate_model(catalogue.register_model(MODEL))
    add(catalogue, [photo(catalogue.add_root(ROOT, 1, 2), "a.jpg", "dog")])
    catalogue.close()
    return tmp_path / CATALOGUE_NAME


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.row("F4")
def test_migrating_keeps_every_row_and_leaves_a_copy_of_the_old_catalogue(path: Path) -> None:
    connection = Connection(path)
    migrate(connection, TO_NEXT)
    assert connection.value("SELECT stars FROM contents") == 3
    assert connection.rows("SELECT version FROM migrations") == [(v,) for v in range(1, NEXT + 1)]
    connection.close()
    copy = path.with_name(f"catalogue.sqlite.backup-v{NEWEST}")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    old = Catalogue(copy)
    assert old.has_embedding(1, hash_of("dog"))
    old.close()
    assert not list(path.parent.glob("*.tmp*"))


def test_a_current_catalogue_is_left_alone(path: Path) -> None:
    before = digest(path)
    connection = Connection(path)
    migrate(connection)
    connection.close()
    assert digest(path) == before
    assert not list(path.parent.glob("*backup*"))


def test_a_step_that_fails_half_way_leaves_the_old_version(path: Path) -> None:
    connection = Connection(path)
    with pytest.raises(OSError, match="the disk is gone"):
        migrate(connection, (*MIGRATIONS, Migration(NEXT, fail_half_way)))
    assert migrations.schema_version(connection) == NEWEST
    assert "stars" not in str(connection.rows("SELECT sql FROM sqlite_master"))
    migrate(connection, TO_NEXT)
    assert migrations.schema_version(connection) == NEXT
    connection.close()


KILLED = """
import sys
from pathlib import Path
from clipsearch.storage.connection import Connection
from clipsearch.storage.migrations import migrate
from tests.storage.test_migrations import TO_NEXT
migrate(Connection(Path(sys.argv[1])), TO_NEXT)
"""


@pytest.mark.parametrize(
    ("place", "version"), [("migration", NEWEST), ("before_commit", NEWEST), ("after_commit", NEXT)]
)
@pytest.mark.row("F4")
def test_killed_while_migrating_the_catalogue_has_the_old_or_the_new_version(
    path: Path, place: str, version: int
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)],
        env=os.environ | {"CLIPSEARCH_FAILPOINT": f"{place}=exit", "PYTHONPATH": os.getcwd()},
        check=False,
    )
    assert killed.returncode == -9
    connection = Connection(path)
    assert migrations.schema_version(connection) == version
    migrate(connection, TO_NEXT)
    assert connection.value("SELECT stars FROM contents") == 3
    connection.close()


def test_opening_an_old_catalogue_migrates_it_under_the_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue_file, "needs_migration", lambda c: True)
    with writer_lock(path.parent), pytest.raises(LockedError):
        Catalogue(path)
    migrated: list[Path] = []
    monkeypatch.setattr(catalogue_file, "migrate", lambda c: migrated.append(c.path))
    Catalogue(path).close()
    assert migrated == [path]
    monkeypatch.setattr("clipsearch.storage.connection._is_writable", lambda p: False)
    with pytest.raises(StorageError, match="older clipsearch"):
        Catalogue(path)


@pytest.mark.row("F4")
def test_a_catalogue_of_the_future_is_refused_untouched(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {NEXT}")
    database.close()
    before = digest(path), sorted(p.name for p in path.parent.iterdir())
    with pytest.raises(StorageError, match=rf"newer clipsearch \(catalogue version {NEXT}"):
        Catalogue(path)
    Catalogue.create(path)
    assert (digest(path), sorted(p.name for p in path.parent.iterdir())) == before


@pytest.fixture
def old_path(tmp_path: Path) -> Path:
    """A catalogue as version 1 wrote it, with one photo and its vector."""
    path = tmp_path / CATALOGUE_NAME
    catalogue_file._prepare(path)
    connection = Connection(path)
    migrate(connection, MIGRATIONS[:1])
    with connection.transaction():
        root = root_rows.add_root(connection, ROOT, 1, 2)
        model_id = model_rows.register_model(connection, MODEL)
        connection.change("UPDATE meta SET active_model = ?", (model_id,))
        read = photo(root, "a.jpg", "dog")
        contents = photo_changes.write_photos(connection, [read], [])
        vectors = {hash_of("dog"): unit(1, 2, 3, 4)}
        embedding_rows.write_embeddings(connection, model_id, vectors, contents)
    connection.close()
    return path


@pytest.mark.row("F4")
def test_version_1_becomes_2_with_its_photos_and_vectors_and_a_backup(old_path: Path) -> None:
    catalogue = Catalogue(old_path)
    model_id = catalogue.active_model_id()
    assert model_id is not None
    (block,) = catalogue.embeddings(model_id)
    np.testing.assert_allclose(block.vectors[0], unit(1, 2, 3, 4), atol=1e-3)
    assert catalogue.photo_at(ROOT + b"/a.jpg") is not None
    assert catalogue.concepts.all() == []
    catalogue.close()
    connection = Connection(old_path.with_name("catalogue.sqlite.backup-v1"))
    assert migrations.schema_version(connection) == 1
    assert connection.value("SELECT count(*) FROM embeddings") == 1
    connection.close()


def test_version_1_is_not_opened_while_another_process_writes(old_path: Path) -> None:
    with writer_lock(old_path.parent), pytest.raises(LockedError):
        Catalogue(old_path)
    Catalogue(old_path).close()
