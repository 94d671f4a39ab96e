import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from clipsearch.errors import ClipsearchError, DamageError, StorageError
from clipsearch.storage import connection
from clipsearch.storage.catalogue import Catalogue
from clipsearch.storage.layout import CATALOGUE_NAME
from tests.storage.small_library import MODEL, ROOT, add, new_catalogue, photo


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed catalogue with 300 photos."""
    catalogue = new_catalogue(tmp_path)
    catalogue.activate_model(catalogue.register_model(MODEL))
    root = catalogue.add_root(ROOT, 1, 2)
    add(catalogue, [photo(root, f"{i % 7}/{i}.jpg", str(i)) for i in range(300)])
    catalogue.close()
    return tmp_path / CATALOGUE_NAME


def test_the_catalogue_is_private(path: Path) -> None:
    opened = Catalogue(path)
    opened.add_root(b"/more", 1, 1)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    opened.close()


def test_creating_again_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    Catalogue.create(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"garbage" * 500, b"SQLite format 3\0"])
@pytest.mark.row("F3")
def test_a_file_that_is_no_catalogue_is_damage_and_is_kept(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DamageError, match=r"catalogue\.sqlite is damaged.*backup"):
        Catalogue(path)
    Catalogue.create(path)
    assert path.read_bytes() == content


@pytest.mark.row("F3")
def test_a_garbled_header_is_damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[:16] = os.urandom(16)
    path.write_bytes(content)
    with pytest.raises(DamageError):
        Catalogue(path)


@pytest.mark.parametrize("share", [0.001, 0.3, 0.7, 0.99])
@pytest.mark.row("F3")
def test_a_truncated_catalogue_is_damage(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DamageError):
        Catalogue(path)


@pytest.mark.parametrize("version", [0, 7, 20_240_131])
def test_the_database_of_another_program_is_refused(tmp_path: Path, version: int) -> None:
    path = tmp_path / CATALOGUE_NAME
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE songs (title)")
    database.execute(f"PRAGMA user_version = {version}")
    database.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="another program"):
        Catalogue(path)
    assert path.read_bytes() == before


def test_an_absent_catalogue_is_not_made_by_opening(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        Catalogue(tmp_path / CATALOGUE_NAME)
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_is_gone_is_damage(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("DROP TABLE embeddings")
    database.close()
    catalogue = Catalogue(path)
    with pytest.raises(DamageError, match="no such table"):
        list(catalogue.embeddings(1))
    catalogue.close()


@pytest.mark.row("F3")
def test_no_damaged_page_gives_a_wrong_answer(path: Path) -> None:
    """Every page overwritten once, with a fixed pattern: an error of ours or the right answer."""
    good = path.read_bytes()
    size = int.from_bytes(good[16:18], "big")
    right = _everything(path)
    damaged = 0
    for start in range(size, len(good), size):
        bad = bytearray(good)
        bad[start + 100 : start + 160] = bytes(range(60))
        path.unlink()
        path.write_bytes(bad)
        try:
            assert _everything(path) == right, f"page {start // size + 1}"
        except ClipsearchError as error:
            assert error.exit_code == 4  # noqa: PT017
            damaged += 1
    assert damaged > 0


def _everything(path: Path) -> dict[bytes, bytes]:
    """Each photo's path with its vector, as a search would pair them."""
    catalogue = Catalogue(path)
    try:
        found = {}
        for block in catalogue.embeddings(1):
            photos = catalogue.photos_of(block.content_ids)
            for content_id, vector in zip(block.content_ids.tolist(), block.vectors, strict=True):
                for row in photos.get(content_id, []):
                    found[row.path] = vector.tobytes()
        return found
    finally:
        catalogue.close()


CREATE = """
import sys
from pathlib import Path
from clipsearch.storage.catalogue import Catalogue
Catalogue.create(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("place", ["migration", "before_commit", "after_commit"])
def test_killed_while_creating_there_is_no_catalogue_yet(tmp_path: Path, place: str) -> None:
    path = tmp_path / CATALOGUE_NAME
    killed = subprocess.run(
        [sys.executable, "-c", CREATE, str(path)],
        env=os.environ | {"CLIPSEARCH_FAILPOINT": f"{place}=exit"},
        check=False,
    )
    assert killed.returncode == -9
    assert not path.exists()
    new_catalogue(tmp_path).close()
    assert sorted(p.name for p in tmp_path.iterdir()) == [CATALOGUE_NAME, "lock"]


def test_a_catalogue_without_its_history_is_damaged(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM generations")
    catalogue = Catalogue(path)
    with pytest.raises(DamageError, match="its history is gone"):
        catalogue.history.generation()
    catalogue.close()


def test_a_catalogue_that_was_replaced_meanwhile_is_not_written(path: Path) -> None:
    catalogue = Catalogue(path)
    catalogue.require_in_place()
    path.rename(path.with_name("aside"))
    path.write_bytes(path.with_name("aside").read_bytes())
    with pytest.raises(StorageError, match="was replaced or removed meanwhile"):
        catalogue.require_in_place()
    catalogue.close()


def test_where_nothing_can_be_written_the_file_is_read_as_it_lies(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a read-only disk, which tests that run as root never meet."""
    real, modes = connection._connect, []

    def connect(place: Path, mode: str, *, any_thread: bool) -> sqlite3.Connection:
        modes.append(mode)
        if mode == "mode=ro":
            raise sqlite3.OperationalError("unable to open database file")
        return real(place, mode, any_thread=any_thread)

    monkeypatch.setattr(connection, "_is_writable", lambda place: False)
    monkeypatch.setattr(connection, "_connect", connect)
    catalogue = Catalogue(path)
    assert len(catalogue.roots()) == 1
    assert modes[-2:] == ["mode=ro", "immutable=1"]
    assert not catalogue.writable
    catalogue.close()
