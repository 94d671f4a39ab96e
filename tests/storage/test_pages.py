"""Rows read without SQLite are the rows that SQLite wrote: any value, any size, with a log."""

import errno
import os
import random
import shutil
import sqlite3
from io import FileIO
from pathlib import Path

import pytest

from clipsearch.storage.pages import open_pages

SIZE = 4096
LONG = [0, 1, 300, 4000, 4061, 4062, 9000, 40_000]


@pytest.fixture
def database(tmp_path: Path) -> sqlite3.Connection:
    opened = sqlite3.connect(tmp_path / "rows.sqlite", isolation_level=None)
    opened.execute(f"PRAGMA page_size = {SIZE}")
    opened.execute("PRAGMA journal_mode = WAL")
    opened.execute("PRAGMA synchronous = OFF")
    opened.execute("PRAGMA wal_autocheckpoint = 0")
    opened.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c)")
    return opened


def fill(database: sqlite3.Connection, seed: int, number: int = 400) -> None:
    rng = random.Random(seed)
    numbers = [None, 0, 1, -1, 127, -129, 70_000, 1 << 23, 1 << 31, 1 << 40, -(1 << 62), 2.5]
    for _ in range(number):
        blob = rng.randbytes(rng.choice(LONG) if rng.random() < 0.1 else rng.randrange(60))
        row_id = rng.choice([rng.randrange(1 << 8), rng.randrange(-(1 << 63), 1 << 63)])
        database.execute(
            "INSERT OR REPLACE INTO t VALUES (?, ?, ?, ?)",
            (row_id, rng.choice(numbers), blob, "é" * rng.randrange(90)),
        )


def by_sqlite(database: sqlite3.Connection) -> list[tuple[object, ...]]:
    return database.execute("SELECT * FROM t ORDER BY id").fetchall()


def by_pages(path: Path, log: Path | None = None) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    with open_pages(path, log or path.with_name(f"{path.name}-wal"), SIZE) as pages:
        for number in pages.leaves().numbers:
            for row in pages.rows(number):
                if row is not None and len(row[1]) == 4:
                    found.append((row[0], *row[1][1:]))
    return sorted(found, key=lambda row: row[0])  # type: ignore[arg-type, return-value]


def copy(folder: Path) -> Path:
    """The files as a killed process leaves them."""
    target = folder / "copy.sqlite"
    for suffix in ("", "-wal"):
        shutil.copy(folder / f"rows.sqlite{suffix}", folder / f"copy.sqlite{suffix}")
    return target


def test_rows_of_every_kind_and_length(tmp_path: Path, database: sqlite3.Connection) -> None:
    fill(database, 1)
    expected = by_sqlite(database)
    database.close()
    assert by_pages(tmp_path / "rows.sqlite") == expected


def test_committed_changes_of_the_log_count_and_others_do_not(
    tmp_path: Path, database: sqlite3.Connection
) -> None:
    fill(database, 2)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.execute("DELETE FROM t WHERE id % 3 = 1")
    fill(database, 3, 100)
    expected = by_sqlite(database)
    database.execute("PRAGMA cache_size = 5")
    database.execute("BEGIN")
    # So much that it reaches the log before it is committed.
    before = (tmp_path / "rows.sqlite-wal").stat().st_size
    fill(database, 4, 2000)
    assert (tmp_path / "rows.sqlite-wal").stat().st_size > before
    assert by_pages(copy(tmp_path)) == expected
    database.execute("COMMIT")
    assert by_pages(copy(tmp_path)) == by_sqlite(database) != expected


def test_a_whole_page_of_the_log_that_was_never_committed_does_not_count(
    tmp_path: Path, database: sqlite3.Connection
) -> None:
    from clipsearch.storage.pages import _checksum

    fill(database, 4, 50)
    expected = by_sqlite(database)
    path = copy(tmp_path)
    log = (tmp_path / "copy.sqlite-wal").read_bytes()
    last = log[-(24 + SIZE) :]
    state = int.from_bytes(last[16:20], "big"), int.from_bytes(last[20:24], "big")
    frame = (2).to_bytes(4, "big") + bytes(4)
    state = _checksum(frame + bytes(SIZE), ">" if log[3] & 1 else "<", state)
    frame += log[16:24] + b"".join(part.to_bytes(4, "big") for part in state) + bytes(SIZE)
    (tmp_path / "copy.sqlite-wal").write_bytes(log + frame)
    assert by_pages(path) == expected != []


def test_a_torn_log_counts_up_to_its_last_whole_commit(
    tmp_path: Path, database: sqlite3.Connection
) -> None:
    fill(database, 5, 50)
    expected = by_sqlite(database)
    path = copy(tmp_path)
    whole = (tmp_path / "copy.sqlite-wal").stat().st_size
    fill(database, 6, 1)
    path = copy(tmp_path)
    log = tmp_path / "copy.sqlite-wal"
    content = log.read_bytes()
    for torn in (
        content[: whole + 100],
        content[:whole] + bytes(len(content) - whole),
        content[: whole + 40] + b"!" + content[whole + 41 :],
    ):
        log.write_bytes(torn)
        assert by_pages(path) == expected


@pytest.mark.parametrize(
    "spoil",
    [
        lambda log: b"",
        lambda log: log[:20],
        lambda log: b"\1" + log[1:],
        lambda log: log[:8] + b"\1" + log[9:],
        lambda log: log[:20] + b"!" + log[21:],
    ],
    ids=["empty", "short", "magic", "page size", "checksum"],
)
def test_a_log_that_is_none_is_passed_over(
    tmp_path: Path, database: sqlite3.Connection, spoil: object
) -> None:
    fill(database, 7, 50)
    database.execute("PRAGMA wal_checkpoint(PASSIVE)")
    expected = by_sqlite(database)
    fill(database, 8, 50)
    path = copy(tmp_path)
    log = tmp_path / "copy.sqlite-wal"
    log.write_bytes(spoil(log.read_bytes()))  # type: ignore[operator]
    assert by_pages(path) == expected


def test_a_log_with_numbers_in_the_other_order_is_read_as_well(
    tmp_path: Path, database: sqlite3.Connection
) -> None:
    from clipsearch.storage.pages import _checksum

    fill(database, 9, 20)
    expected = by_sqlite(database)
    path = copy(tmp_path)
    log = bytearray((tmp_path / "copy.sqlite-wal").read_bytes())
    # Machines write the order that suits them; the other one is the same but for its checksums.
    order = "<" if log[3] & 1 else ">"
    log[3] ^= 1
    state = _checksum(bytes(log[:24]), order, (0, 0))
    log[24:32] = b"".join(part.to_bytes(4, "big") for part in state)
    for start in range(32, len(log), 24 + SIZE):
        state = _checksum(bytes(log[start : start + 8] + log[start + 24 :][:SIZE]), order, state)
        log[start + 16 : start + 24] = b"".join(part.to_bytes(4, "big") for part in state)
    (tmp_path / "copy.sqlite-wal").write_bytes(log)
    assert by_pages(path) == expected


def test_the_entries_of_an_index_of_any_depth(tmp_path: Path, database: sqlite3.Connection) -> None:
    database.execute("CREATE INDEX i ON t (c, b)")
    fill(database, 13, 1500)
    expected = sorted(database.execute("SELECT c, b, id FROM t"))
    database.close()
    with open_pages(tmp_path / "rows.sqlite", tmp_path / "none", SIZE) as pages:
        assert sorted(pages.index_entries()) == expected  # type: ignore[type-var]


def test_what_was_deleted_stays_deleted(tmp_path: Path, database: sqlite3.Connection) -> None:
    database.execute("PRAGMA secure_delete = OFF")
    fill(database, 10, 3000)
    database.execute("DELETE FROM t WHERE id > 0")
    expected = by_sqlite(database)
    database.close()
    path = tmp_path / "rows.sqlite"
    content = bytearray(path.read_bytes())
    assert int.from_bytes(content[36:40], "big") > 20, "no page was freed"
    assert by_pages(path) == expected


def test_without_a_list_of_free_pages_what_lives_comes_before_what_was(
    tmp_path: Path, database: sqlite3.Connection
) -> None:
    database.execute("PRAGMA secure_delete = OFF")
    columns = "(id INTEGER PRIMARY KEY, a, b, c)"
    for table in ("below", "middle", "above"):
        database.execute(f"CREATE TABLE {table} {columns}")
        for row_id in range(400):
            database.execute(f"INSERT INTO {table} VALUES (?, 'old', zeroblob(90), '')", (row_id,))
    database.execute("DROP TABLE middle")
    for row_id in range(400):
        database.execute("INSERT INTO t VALUES (?, 'new', zeroblob(9), '')", (row_id,))
    database.execute("DROP TABLE below")
    database.execute("DROP TABLE above")
    database.close()
    path = tmp_path / "rows.sqlite"
    content = bytearray(path.read_bytes())
    content[36:40] = (3).to_bytes(4, "big")
    path.write_bytes(content)
    found: dict[int, list[object]] = {}
    with open_pages(path, tmp_path / "none", SIZE) as pages:
        for number in pages.leaves().numbers:
            for row in pages.rows(number):
                if row is not None and len(row[1]) == 4:
                    found.setdefault(row[0], []).append(row[1][1])
    assert {values[0] for values in found.values()} == {"new"}
    assert any("old" in values for values in found.values()), "no old row was to be seen"


def test_a_garbled_header_and_a_damaged_page_hide_nothing_else(
    tmp_path: Path, database: sqlite3.Connection
) -> None:
    fill(database, 11)
    database.close()
    path = tmp_path / "rows.sqlite"
    expected = by_pages(path)
    content = bytearray(path.read_bytes())
    for start in range(0, len(content), SIZE):
        spoiled = bytearray(content)
        end = start + (100 if start == 0 else SIZE)
        spoiled[start:end] = random.Random(start).randbytes(end - start)
        path.write_bytes(spoiled)
        found = by_pages(path)
        assert set(found) <= set(expected)
        assert len(found) >= len(expected) - 120
        if start == 0:
            assert found == expected


def test_random_bytes_are_no_rows_and_no_crash(tmp_path: Path) -> None:
    rng = random.Random(12)
    path = tmp_path / "rows.sqlite"
    for _ in range(60):
        page = bytearray(rng.randbytes(SIZE * 2))
        page[SIZE] = rng.choice([0x0D, 0x0D, 0x05, 0x0A, 0x02])
        if rng.random() < 0.5:
            # Cells that look likely: a short payload of few columns.
            page[SIZE + 8 : SIZE + 2000] = bytes(
                rng.choice([0, 1, 2, 9, 12, 13, 255]) for _ in range(1992)
            )
        path.write_bytes(page)
        with open_pages(path, tmp_path / "none", SIZE) as pages:
            for number in pages.leaves().numbers:
                for row in pages.rows(number):
                    assert row is None or isinstance(row[0], int)
            assert all(isinstance(entry, tuple) for entry in pages.index_entries())


@pytest.mark.parametrize("size", [0, 1, 99, SIZE - 1])
def test_a_file_without_a_whole_page_has_no_rows(tmp_path: Path, size: int) -> None:
    path = tmp_path / "rows.sqlite"
    path.write_bytes(os.urandom(size))
    assert by_pages(path) == []


def test_an_overflow_page_that_is_gone_costs_its_row_only(
    tmp_path: Path, database: sqlite3.Connection
) -> None:
    for row_id in range(5):
        database.execute("INSERT INTO t VALUES (?, 1, ?, 'x')", (row_id, b"a" * 20_000))
    database.close()
    path = tmp_path / "rows.sqlite"
    path.write_bytes(path.read_bytes()[:-SIZE])
    assert [row[0] for row in by_pages(path)] == [0, 1, 2, 3]


class BadSector(FileIO):
    """A file whose fourth page the disk cannot read."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() == 3 * SIZE:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(size)


def test_a_page_that_the_disk_cannot_read_costs_its_rows_only(
    tmp_path: Path, database: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, 5)
    expected = by_sqlite(database)
    database.close()
    path = tmp_path / "rows.sqlite"
    monkeypatch.setattr(Path, "open", lambda path, mode, buffering: BadSector(path))
    found = by_pages(path)
    assert len(expected) - 120 <= len(found) < len(expected)
    assert set(found) <= set(expected)


def test_any_other_failure_of_the_disk_is_no_damage(
    tmp_path: Path, database: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is gone has not lost its rows."""
    fill(database, 5)
    database.close()

    class Gone(FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(Path, "open", lambda path, mode, buffering: Gone(path))
    with pytest.raises(OSError, match="No such device"):
        by_pages(tmp_path / "rows.sqlite")
