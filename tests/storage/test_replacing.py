"""A damaged catalogue is replaced by one of its good rows, wherever the damage and the kill are."""

import errno
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipsearch import failpoints
from clipsearch.errors import ClipsearchError, DamageError, LockedError, StorageError
from clipsearch.storage import replacing
from clipsearch.storage.catalogue import Catalogue
from clipsearch.storage.layout import CATALOGUE_NAME
from clipsearch.storage.lock import writer_lock
from clipsearch.storage.pages import open_pages
from clipsearch.storage.replacing import log_to_salvage, replace_catalogue
from tests.storage.damaged_library import (
    PHOTOS,
    WIDE,
    expected_pairs,
    is_whole,
    pairs,
    write_library,
)
from tests.storage.small_library import add, hash_of, photo

PAGE = 8192
TABLES = [
    "concept_classifiers", "concept_embeddings", "concept_photos", "concepts", "contents",
    "embeddings", "folders", "models", "photos", "roots",
]  # fmt: skip


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_library(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    """A closed catalogue to be damaged."""
    return shutil.copy(whole, tmp_path / CATALOGUE_NAME)


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = DELETE")
    found = {table: database.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}
    database.close()
    return found


def change(path: Path, *statements: str) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA writable_schema = ON")
    for statement in statements:
        database.execute(statement)
    database.close()


def root_page(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as database:
        found = database.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,))
        return int(found.fetchone()[0])


def test_a_whole_catalogue_comes_out_row_for_row_as_it_was(path: Path) -> None:
    before = rows(path)
    kept = replace_catalogue(path.parent, [])
    assert kept.salvage.kept == {table: len(before[table]) for table in TABLES}
    assert not any(kept.salvage.set_aside.values())
    assert kept.salvage.unreadable == 0
    assert path.read_bytes()[18:20] == b"\2\2", "readers and writers would be in each other's way"
    assert is_whole(path)
    assert pairs(path) == expected_pairs()
    catalogue = Catalogue(path)
    assert catalogue.active_model() == WIDE
    (rex,) = catalogue.concepts.all()
    (learned,) = catalogue.concepts.classifiers(rex, 1)
    np.testing.assert_array_equal(learned.weights, np.ones(WIDE.embed_dim))
    catalogue.close()
    assert rows(path) == before
    assert sorted(p.name for p in path.parent.iterdir()) == [
        CATALOGUE_NAME, kept.damaged.name, "lock"
    ]  # fmt: skip


def test_the_library_stays_itself_but_no_snapshot_of_before_is_believed(path: Path) -> None:
    catalogue = Catalogue(path)
    library_id, (generation, stamp) = catalogue.library_id(), catalogue.history.generation()
    catalogue.close()
    replace_catalogue(path.parent, [])
    catalogue = Catalogue(path)
    assert catalogue.library_id() == library_id
    assert catalogue.history.generation()[0] == generation + 1
    assert not catalogue.history.has(generation, stamp)
    assert catalogue.history.last_erasure() == generation + 1
    assert catalogue.row_counts()["generations"] == 1
    catalogue.close()


def test_a_lost_page_is_counted_apart_from_its_rows(path: Path) -> None:
    """Below its table's first page or that page itself; cut off, it is still missed."""
    with open_pages(path, path.with_name("none"), PAGE) as pages:
        last, found = pages.count, pages.leaves()
        assert found.lost == set()
        rows = {number: [row for row in pages.rows(number) if row] for number in found.numbers}
    below = next(n for n, (row, *_) in rows.items() if row[1][0] is None and len(row[1]) == 5)
    content = path.read_bytes()
    for page in (below, root_page(path, "folders")):
        spoiled = bytearray(content)
        spoiled[(page - 1) * PAGE : page * PAGE] = bytes(PAGE)
        path.write_bytes(spoiled)
        salvage = replace_catalogue(path.parent, []).salvage
        assert (salvage.lost_pages, salvage.unreadable) == (1, 0)
        path.write_bytes(content)
    assert last in rows, "the last page is of a table"
    path.write_bytes(content[: (last - 1) * PAGE])
    assert replace_catalogue(path.parent, []).salvage.lost_pages == 1


def test_behind_a_link_the_file_itself_is_replaced_and_the_damaged_one_kept_beside_it(
    path: Path,
) -> None:
    (path.parent / "linked").mkdir()
    link = path.parent / "linked" / CATALOGUE_NAME
    link.symlink_to(path)
    change(path, "UPDATE embeddings SET checksum = 1 WHERE id = 9")
    kept = replace_catalogue(link.parent, [])
    assert kept.damaged.parent == path.parent
    assert link.is_symlink()
    assert [entry.name for entry in link.parent.iterdir()] == [CATALOGUE_NAME]
    assert is_whole(path)


BAD_ROWS: dict[str, tuple[str, str, int]] = {
    "photo checksum": ("UPDATE photos SET checksum = 1 WHERE id = 50", "photos", 1),
    "photo name": ("UPDATE photos SET name = x'2e2e' WHERE id = 50", "photos", 1),
    "swapped contents": (
        "UPDATE photos SET content_id = 60 - content_id WHERE id IN (22, 42)", "photos", 2
    ),
    "embedding checksum": ("UPDATE embeddings SET checksum = 1 WHERE id = 9", "embeddings", 1),
    "embedding length": ("UPDATE embeddings SET vector = x'00' WHERE id = 9", "embeddings", 1),
    "embedding of another": (
        "UPDATE embeddings SET vector = (SELECT vector FROM embeddings WHERE id = 8) WHERE id = 9",
        "embeddings",
        1,
    ),
    "embedding without content": (
        "UPDATE embeddings SET content_id = 9999 WHERE id = 9", "embeddings", 1
    ),
    "embedding without model": ("UPDATE embeddings SET model_id = 9 WHERE id = 9", "embeddings", 1),
    "embedding before all others": (
        "UPDATE embeddings SET id = 0 WHERE id = 9", "embeddings", 1
    ),
    "name's embedding": (
        "UPDATE concept_embeddings SET checksum = 1", "concept_embeddings", 1
    ),
    "name's classifier": (
        "UPDATE concept_classifiers SET checksum = 1", "concept_classifiers", 1
    ),
    "empty folder": (
        "INSERT INTO folders (root_id, path) VALUES (1, x'2e2e2f61')", "folders", 1
    ),
    "empty root": (
        "INSERT INTO roots (path, device, inode, added_at) VALUES (x'61', 1, 1, 1)", "roots", 1
    ),
    "model": ("INSERT INTO models (fingerprint, info) VALUES ('x', '{}')", "models", 1),
    "content": ("UPDATE contents SET width = 0 WHERE id = 30", "contents", 1),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_a_row_that_breaks_a_rule_is_told_set_aside_and_costs_itself(path: Path, kind: str) -> None:
    statement, table, number = BAD_ROWS[kind]
    before = rows(path)
    change(path, statement)
    found = {kind: len(found) for kind, found in rows(path).items()}
    assert not is_whole(path)
    kept = replace_catalogue(path.parent, [])
    assert kept.salvage.set_aside[table] == number
    for name, count in kept.salvage.kept.items():
        assert count + kept.salvage.set_aside[name] == found[name]
    assert is_whole(path)
    after = rows(path)
    for name in TABLES:
        # What hangs on a content that is set aside cannot stay.
        lost = {row[0] for row in before[name]} - {row[0] for row in after[name]}
        assert len(lost) <= (number if name == table or table == "contents" else 0), name
    assert pairs(path).items() <= expected_pairs().items()


def test_a_vector_that_is_not_finite_is_set_aside_although_its_checksum_fits(path: Path) -> None:
    from clipsearch.storage.records import embedding_checksum, embedding_seed

    vector = np.full(WIDE.embed_dim, np.nan, "<f2").tobytes()
    content_hash = rows(path)["contents"][8][1]
    assert isinstance(content_hash, bytes)
    checksum = embedding_checksum(embedding_seed(WIDE.fingerprint), content_hash, vector)
    change(
        path,
        f"UPDATE embeddings SET vector = x'{vector.hex()}', checksum = {checksum} WHERE id = 9",
    )
    assert not is_whole(path)
    assert replace_catalogue(path.parent, []).salvage.set_aside["embeddings"] == 1
    assert is_whole(path)


def test_two_roots_in_each_other_become_one_with_each_path_once(path: Path) -> None:
    catalogue = Catalogue(path)
    inner = catalogue.add_root(b"/photos/z3", 5, 6)
    from tests.storage.small_library import add, photo

    add(catalogue, [photo(inner, "003.jpg", "2"), photo(inner, "new.jpg", "new")], model=WIDE)
    assert [fault.what for fault in catalogue.row_faults()] == ["another row has the same path"]
    catalogue.close()
    replace_catalogue(path.parent, [])
    assert is_whole(path)
    assert pairs(path) == expected_pairs() | {b"/photos/z3/new.jpg": hash_of("new")}


def test_a_model_whose_row_is_lost_is_known_by_its_embeddings(path: Path) -> None:
    change(path, "PRAGMA foreign_keys = OFF", "DELETE FROM models WHERE id = 1")
    lost = shutil.copy(path, path.with_name("lost"))
    replace_catalogue(path.parent, [WIDE])
    assert is_whole(path)
    assert pairs(path) == expected_pairs()
    catalogue = Catalogue(path)
    assert catalogue.active_model() == WIDE
    catalogue.close()
    shutil.copy(lost, path)
    replace_catalogue(path.parent, [])
    assert is_whole(path)
    catalogue = Catalogue(path)
    assert [model.info.name for model in catalogue.models()] == ["beside", "compass"]
    assert catalogue.active_model_id() == 2
    catalogue.close()


@pytest.mark.parametrize("table", ["roots", "folders"])
def test_lost_folders_and_roots_are_found_again_in_the_indexes(path: Path, table: str) -> None:
    database = sqlite3.connect(path)
    (page,) = database.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)
    ).fetchone()
    database.close()
    overwrite(path, page, bytes(PAGE))
    with pytest.raises(DamageError):
        pairs(path)
    replace_catalogue(path.parent, [])
    assert is_whole(path)
    assert pairs(path) == expected_pairs()


def test_photos_whose_folder_nothing_tells_any_more_are_set_aside(path: Path) -> None:
    database = sqlite3.connect(path)
    pages = database.execute(
        "SELECT rootpage FROM sqlite_master WHERE name LIKE '%folders%'"
    ).fetchall()
    database.close()
    for (page,) in pages:
        overwrite(path, page, bytes(PAGE))
    kept = replace_catalogue(path.parent, [])
    assert kept.salvage.kept["photos"] == 0
    assert kept.salvage.set_aside["photos"] == PHOTOS + 2
    # Nothing has to be encoded again: the photos are only read.
    assert not kept.salvage.set_aside["embeddings"]
    assert is_whole(path)
    assert pairs(path) == {}


def test_a_place_that_leads_out_of_its_root_is_not_believed(path: Path) -> None:
    from clipsearch.storage.records import photo_checksum

    checksum = photo_checksum(b"/photos/../elsewhere/000.jpg", hash_of("0"))
    change(
        path,
        "UPDATE folders SET path = CAST('../elsewhere' AS BLOB) WHERE path = x'7a30'",
        "DELETE FROM photos WHERE folder_id = 1 AND id > 1",
        f"UPDATE photos SET checksum = {checksum} WHERE id = 1",
    )
    kept = replace_catalogue(path.parent, [])
    assert (kept.salvage.set_aside["photos"], kept.salvage.set_aside["folders"]) == (1, 1)
    assert is_whole(path)


def overwrite(path: Path, page: int, content: bytes, start: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE + start)
        file.write(content)


def spoil(path: Path, rng: random.Random) -> str:
    """One random damage; what it was."""
    pages = path.stat().st_size // PAGE
    page = rng.randrange(1, pages + 1)
    kind = rng.choice(["zeros", "noise", "bytes", "flip", "header", "cut", "moved"])
    match kind:
        case "zeros":
            overwrite(path, page, bytes(PAGE))
        case "noise":
            overwrite(path, page, rng.randbytes(PAGE))
        case "bytes":
            overwrite(path, page, rng.randbytes(60), rng.randrange(PAGE - 60))
        case "flip":
            overwrite(path, page, rng.randbytes(1), rng.randrange(PAGE))
        case "header":
            overwrite(path, 1, rng.randbytes(100))
        case "cut":
            os.truncate(path, rng.randrange(path.stat().st_size))
        case "moved":
            content = path.read_bytes()
            other = rng.randrange(pages) * PAGE
            overwrite(path, page, content[other : other + PAGE])
    return f"{kind} {page}"


def is_told(path: Path) -> bool:
    """Whether a damaged catalogue is refused, or a check finds the damage."""
    try:
        return not is_whole(path)
    except ClipsearchError as error:
        return error.exit_code in (4, 6)


def try_damage(whole: Path, directory: Path, seed: int) -> tuple[str, int]:
    """Damage once and repair; what it was, and the photos that are left with their vectors."""
    rng = random.Random(seed)
    for file in directory.iterdir():
        file.unlink()
    path = Path(shutil.copy(whole, directory / CATALOGUE_NAME))
    what = spoil(path, rng)
    right = expected_pairs().items()
    try:
        assert pairs(path).items() <= right, what
    except ClipsearchError as error:
        assert error.exit_code in (4, 6), what  # noqa: PT017
    replace_catalogue(directory, [WIDE])
    assert is_whole(path), what
    found = pairs(path)
    assert found.items() <= right, what
    return what.split()[0], len(found)


@pytest.mark.row("F3")
def test_random_damage_never_gives_a_wrong_pair_and_keeps_the_rest(
    whole: Path, tmp_path: Path
) -> None:
    keeps_the_rest([try_damage(whole, tmp_path, seed) for seed in range(30)])


@pytest.mark.row("F3")
@pytest.mark.nightly
@pytest.mark.parametrize("first", range(1000, 2000, 250))
def test_random_damage_a_thousand_times(whole: Path, tmp_path: Path, first: int) -> None:
    keeps_the_rest([try_damage(whole, tmp_path, seed) for seed in range(first, first + 250)])


def keeps_the_rest(trials: list[tuple[str, int]]) -> None:
    """A cut may take half of the file; everything else costs what lay on a page of some 48."""
    kept = [photos for kind, photos in trials if kind != "cut"]
    assert len(kept) > len(trials) / 2
    assert sum(kept) >= 0.95 * len(kept) * PHOTOS


@pytest.mark.row("F3")
def test_a_log_of_another_library_gives_no_wrong_pair(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(path, other / CATALOGUE_NAME)
    with_log(other / CATALOGUE_NAME)
    shutil.copy(other / "catalogue.sqlite-wal", tmp_path / "catalogue.sqlite-wal")
    change(other / CATALOGUE_NAME, "VACUUM")
    replace_catalogue(tmp_path, [])
    assert is_whole(path)
    assert (
        pairs(path).items() <= (expected_pairs() | {b"/photos/late.jpg": hash_of("late")}).items()
    )


def with_log(path: Path) -> None:
    """Leave a committed change in the log, as a killed process does."""
    subprocess.run([sys.executable, "-c", LATE, str(path)], check=False)
    assert path.with_name("catalogue.sqlite-wal").stat().st_size


LATE = """
import os, sys
from pathlib import Path
from clipsearch.storage.catalogue import Catalogue
from tests.storage.damaged_library import WIDE
from tests.storage.small_library import add, photo
catalogue = Catalogue(Path(sys.argv[1]))
add(catalogue, [photo(catalogue.roots()[0], "late.jpg", "late")], model=WIDE)
os._exit(0)
"""
REPLACE = """
import sys
from pathlib import Path
from clipsearch.storage.replacing import replace_catalogue
replace_catalogue(Path(sys.argv[1]), [])
"""
LATER = expected_pairs() | {b"/photos/late.jpg": hash_of("late")}


@pytest.mark.row("A3")
@pytest.mark.parametrize(
    ("place", "header"),
    [
        ("before_salvage", True),
        ("before_commit:2", True),
        ("before_commit:3", True),
        ("after_commit:3", False),
        ("after_salvage", True),
        ("after_keep", True),
        ("after_keep", False),
        ("after_log_aside", False),
        ("before_rename", True),
        ("before_rename", False),
        ("after_rename", True),
        ("after_rename", False),
    ],
)
def test_killed_while_replacing_the_old_or_the_new_catalogue_is_there(
    path: Path, place: str, header: bool
) -> None:
    with_log(path)
    damage: Callable[[], None] = lambda: change(path, BAD_ROWS["photo checksum"][0])  # noqa: E731
    if header:
        damage()
    else:
        overwrite(path, 1, bytes(100))
        # The log must not have that page, or SQLite would read it from there.
        assert not is_readable(path)
    killed = subprocess.run(
        [sys.executable, "-c", REPLACE, str(path.parent)],
        env=os.environ | {"CLIPSEARCH_FAILPOINT": f"{place}=exit"},
        check=False,
    )
    assert killed.returncode == -9, "the failpoint was never reached"
    done = place == "after_rename"
    assert is_told(path) != done
    replace_catalogue(path.parent, [])
    assert is_whole(path)
    gone = {b"/photos/z0/049.jpg"} if header else set()
    assert pairs(path) == {p: h for p, h in LATER.items() if p not in gone}
    assert not list(path.parent.glob("*.tmp*"))
    assert 1 <= len(kept_catalogues(path)) <= 2


def is_readable(path: Path) -> bool:
    try:
        pairs(path)
    except ClipsearchError:
        return False
    return True


def kept_catalogues(path: Path) -> list[str]:
    return [p.name for p in path.parent.glob("*.damaged-*") if not p.name.endswith("-wal")]


def test_the_damaged_file_is_kept_with_its_log(path: Path) -> None:
    with_log(path)
    overwrite(path, 1, bytes(100))
    damaged = path.read_bytes(), path.with_name("catalogue.sqlite-wal").read_bytes()
    kept = replace_catalogue(path.parent, [])
    log = kept.damaged.with_name(f"{kept.damaged.name}-wal")
    assert (kept.damaged.read_bytes(), log.read_bytes()) == damaged
    assert not path.with_name("catalogue.sqlite-wal").exists()
    assert pairs(path) == LATER
    # The log that was set aside then is not taken for this catalogue's.
    assert not log_to_salvage(path).exists()
    again = replace_catalogue(path.parent, [])
    assert again.damaged != kept.damaged
    assert pairs(path) == LATER


def test_where_a_file_has_one_name_only_the_damaged_one_is_copied(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(source: object, target: object) -> None:
        raise OSError(1, "not permitted")

    monkeypatch.setattr(os, "link", no_links)
    before = path.read_bytes()
    kept = replace_catalogue(path.parent, [])
    assert kept.damaged.read_bytes()[100:] == before[100:]
    assert is_whole(path)


def test_nothing_is_replaced_while_another_process_uses_the_library(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replacing, "BUSY_SECONDS", 0.1)
    before = pairs(path)
    with writer_lock(path.parent), pytest.raises(LockedError):
        replace_catalogue(path.parent, [])
    with subprocess.Popen(
        [sys.executable, "-c", READ, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as reading:
        assert reading.stdout is not None
        assert reading.stdin is not None
        assert reading.stdout.readline() == b"open\n"
        with pytest.raises(LockedError, match="is using the library"):
            replace_catalogue(path.parent, [])
        reading.stdin.close()
    assert pairs(path) == before
    assert not list(path.parent.glob("*.damaged*"))


READ = """
import sys
from pathlib import Path
from clipsearch.storage.catalogue import Catalogue
catalogue = Catalogue(Path(sys.argv[1]))
catalogue.counts()
print("open", flush=True)
sys.stdin.read()
"""


def test_a_disk_error_is_one_line_and_leaves_nothing_behind(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()
    monkeypatch.setattr(failpoints, "_reached", Counter())
    monkeypatch.setenv("CLIPSEARCH_FAILPOINT", "after_salvage=raise")
    with pytest.raises(StorageError, match="cannot be written"):
        replace_catalogue(path.parent, [])
    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == [CATALOGUE_NAME, "lock"]


class BadSector(FileIO):
    """A file of which the disk cannot read the first `bad` bytes."""

    bad = 1 << 60

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() < self.bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(size)


@pytest.fixture
def bad_sectors(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    real = Path.open

    def open_it(opened: Path, *arguments: Any, **options: Any) -> Any:
        return BadSector(path) if opened == path else real(opened, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_it)
    return path


def test_a_first_page_on_a_broken_sector_is_told_and_costs_its_rows_only(
    bad_sectors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BadSector, "bad", PAGE)
    with pytest.raises(
        DamageError, match=r"catalogue\.sqlite is damaged: its disk cannot read"
    ) as told:
        Catalogue(bad_sectors)
    assert "check --repair" in str(told.value)
    kept = replace_catalogue(bad_sectors.parent, [])
    assert kept.salvage.kept["photos"] >= PHOTOS
    monkeypatch.undo()
    assert is_whole(bad_sectors)


def test_a_disk_that_reads_nothing_keeps_its_catalogue(
    bad_sectors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty one in its place would be believed by the next index run."""
    with pytest.raises(StorageError, match=r"can read nothing of .*catalogue\.sqlite.*a backup"):
        replace_catalogue(bad_sectors.parent, [])
    monkeypatch.undo()
    assert is_whole(bad_sectors)
    assert pairs(bad_sectors) == expected_pairs()
    assert sorted(p.name for p in bad_sectors.parent.iterdir()) == [CATALOGUE_NAME, "lock"]


@pytest.mark.row("B2")
def test_a_full_disk_is_one_line_and_leaves_nothing_behind(path: Path) -> None:
    before = path.read_bytes()
    told = subprocess.run(
        [sys.executable, "-c", REPLACE, str(path.parent)],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000)),
        check=False,
    )
    assert "StorageError" in told.stderr
    assert "MB are free there" in told.stderr
    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == [CATALOGUE_NAME, "lock"]


def test_a_new_catalogue_that_is_not_whole_never_takes_the_place(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()
    monkeypatch.setattr(replacing, "structure_faults", lambda connection: ["page 7 is odd"])
    with pytest.raises(StorageError, match=r"did not come out whole \(page 7 is odd\)"):
        replace_catalogue(path.parent, [])
    assert path.read_bytes() == before


def test_what_no_rule_foresaw_is_still_one_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise sqlite3.ProgrammingError("a mistake of ours")

    monkeypatch.setattr(replacing, "salvage", fails)
    with pytest.raises(StorageError, match="a mistake of ours"):
        replace_catalogue(path.parent, [])


def test_a_journal_that_lies_there_goes_with_the_damaged_file(path: Path) -> None:
    overwrite(path, 1, bytes(100))
    path.with_name("catalogue.sqlite-journal").write_bytes(b"a journal")
    kept = replace_catalogue(path.parent, [])
    assert kept.damaged.with_name(f"{kept.damaged.name}-journal").read_bytes() == b"a journal"
    assert pairs(path) == expected_pairs()


def test_two_repairs_in_one_second_keep_two_files(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replacing.time, "strftime", lambda form: "20260102-030405")
    replace_catalogue(path.parent, [])
    replace_catalogue(path.parent, [])
    assert sorted(kept_catalogues(path)) == [
        f"catalogue.sqlite.damaged-20260102-030405.{number}" for number in (1, 2)
    ]


def test_a_log_whose_catalogue_was_thrown_away_is_nobodys(path: Path) -> None:
    with_log(path)
    overwrite(path, 1, bytes(100))
    # Of the two files that are kept the large one is deleted; the library grows and is mended.
    replace_catalogue(path.parent, []).damaged.unlink()
    catalogue = Catalogue(path)
    root = catalogue.roots()[0]
    names = [f"new {i}" for i in range(60)]
    add(catalogue, [photo(root, f"{name}.jpg", name) for name in names], model=WIDE)
    catalogue.close()
    replace_catalogue(path.parent, [])
    later = {f"/photos/{name}.jpg".encode(): hash_of(name) for name in names}
    assert pairs(path) == LATER | later


def test_the_damaged_file_has_one_second_name_however_often_it_is_killed(path: Path) -> None:
    with_log(path)
    overwrite(path, 1, bytes(100))
    for _ in range(2):
        killed = subprocess.run(
            [sys.executable, "-c", REPLACE, str(path.parent)],
            env=os.environ | {"CLIPSEARCH_FAILPOINT": "after_keep=exit"},
            check=False,
        )
        assert killed.returncode == -9
    replace_catalogue(path.parent, [])
    assert len(kept_catalogues(path)) == 1
    assert pairs(path) == LATER
