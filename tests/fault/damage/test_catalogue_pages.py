"""F3: whatever happens to the catalogue's bytes, no photo is ever paired with another's vector."""

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from clipsearch.errors import DamageError
from clipsearch.maintaining.check import check
from clipsearch.maintaining.findings import CheckReport
from clipsearch.maintaining.repair import repair
from tests.fault.damage.stored_album import Answers, Kept, Pairs
from tests.indexing.album import Album

Damage = Callable[[bytearray, random.Random, int], None]


def flip(data: bytearray, dice: random.Random, page: int) -> None:
    for _ in range(dice.randint(1, 4)):
        data[dice.randrange(len(data))] ^= dice.randint(1, 255)


def overwrite(data: bytearray, dice: random.Random, page: int) -> None:
    start = dice.randrange(len(data) - 600)
    length = dice.randint(2, 600)
    data[start : start + length] = dice.randbytes(length)


def empty_a_page(data: bytearray, dice: random.Random, page: int) -> None:
    start = dice.randrange(1, len(data) // page) * page
    data[start : start + page] = bytes(page)


def swap_pages(data: bytearray, dice: random.Random, page: int) -> None:
    one, other = (number * page for number in dice.sample(range(1, len(data) // page), 2))
    held = data[one : one + page]
    data[one : one + page] = data[other : other + page]
    data[other : other + page] = held


def repeat_a_page(data: bytearray, dice: random.Random, page: int) -> None:
    one, other = (number * page for number in dice.sample(range(1, len(data) // page), 2))
    data[one : one + page] = data[other : other + page]


def shift_within_a_page(data: bytearray, dice: random.Random, page: int) -> None:
    """As when a block of the disk was written to the wrong place."""
    start = dice.randrange(1, len(data) // page) * page
    one, other = (start + 512 * number for number in dice.sample(range(page // 512), 2))
    data[one : one + 512] = data[other : other + 512]


def cut(data: bytearray, dice: random.Random, page: int) -> None:
    del data[dice.randrange(len(data)) :]


DAMAGES: tuple[Damage, ...] = (
    flip, overwrite, empty_a_page, swap_pages, repeat_a_page, shift_within_a_page, cut,
)  # fmt: skip


@dataclass(frozen=True)
class Right:
    """What the library says when nothing is wrong."""

    pairs: Pairs
    answers: Answers


@pytest.fixture(scope="module")
def right(kept: Kept) -> Iterator[Right]:
    yield Right(kept.pairs(), kept.answers(top_k=10_000))
    kept.restore()


def told(kept: Kept, right: Right) -> list[str]:
    """Ask a damaged library in every way; what it noticed. Whatever else it says must be right."""
    noticed = []
    for ask in (check_search, check_pairs, check_index):
        try:
            ask(kept, right)
        except DamageError as error:
            noticed.append(error.message)
    return noticed


def check_search(kept: Kept, right: Right) -> None:
    for query, answer in kept.answers().items():
        scores = dict(right.answers[query])
        for path, score in answer:
            assert scores.get(path) == score, (query, path)
        assert answer == sorted(answer, key=lambda found: (-found[1], found[0]))


def check_pairs(kept: Kept, right: Right) -> None:
    for path, vector in kept.pairs().items():
        assert right.pairs.get(path) == vector, path


def check_index(kept: Kept, right: Right) -> None:
    """A run over the damage neither mixes anything up nor ends before all photos are right."""
    kept.album.index()
    check_pairs(kept, right)


def trials(kept: Kept, right: Right, number: int, seed: int) -> None:
    dice = random.Random(seed)
    seen = dict.fromkeys(DAMAGES, False)
    good = kept.files["catalogue.sqlite"]
    page = int.from_bytes(good[16:18], "big")
    for trial in range(number):
        kept.restore()
        bad = bytearray(good)
        damage = DAMAGES[trial % len(DAMAGES)]
        damage(bad, dice, page)
        kept.catalogue.write_bytes(bad)
        noticed = told(kept, right)
        if not noticed and kept.pairs().keys() == right.pairs.keys():
            continue
        seen[damage] = True
        what = (trial, damage.__name__)
        # Rows that SQLite does not find any more are found to be lost, and come back.
        report = check(kept.album.library, kept.album.library)
        assert report.damage, what
        check_repair(kept, right, report)
    assert any(seen.values())


def check_repair(kept: Kept, right: Right, report: CheckReport) -> None:
    """A repair and a run bring everything back; without a usable file, a repair says so."""
    try:
        repaired = repair(kept.album.library, kept.album.library, report)
    except DamageError:
        return
    assert repaired.remaining == ()
    check_pairs(kept, right)
    summary = kept.album.index()
    assert summary.complete
    assert kept.pairs() == right.pairs


@pytest.mark.row("F3")
def test_sampled_damages(kept: Kept, right: Right) -> None:
    trials(kept, right, 140, seed=3)


@pytest.mark.nightly
@pytest.mark.row("F3")
@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_damages(kept: Kept, right: Right, seed: int) -> None:
    trials(kept, right, 100, seed=100 + seed)


@pytest.mark.row("F3")
@pytest.mark.parametrize("size", [0, 1, 99, 100, 4096, 8192, 20_000])
def test_cut_to_a_size(kept: Kept, right: Right, size: int) -> None:
    kept.restore()
    kept.catalogue.write_bytes(kept.files["catalogue.sqlite"][:size])
    assert told(kept, right)
    # Damaged or not, it is still what it was: nothing was put in its place.
    assert kept.catalogue.read_bytes() == kept.files["catalogue.sqlite"][:size]


@pytest.mark.row("F3")
def test_a_log_that_is_gone_costs_only_what_it_held(kept: Kept, right: Right) -> None:
    kept.restore()
    log = with_a_log(kept)
    log.unlink()
    assert told(kept, right) == []


@pytest.mark.row("F3")
@pytest.mark.parametrize("damage", [flip, overwrite, cut])
def test_a_damaged_log_gives_the_state_before_or_after(
    kept: Kept, right: Right, damage: Damage
) -> None:
    for seed in range(6):
        kept.restore()
        log = with_a_log(kept)
        data = bytearray(log.read_bytes())
        damage(data, random.Random(seed), 8192)
        log.write_bytes(data)
        told(kept, right)


@pytest.mark.row("F3")
def test_the_log_of_another_library(kept: Kept, right: Right, tmp_path: Path) -> None:
    other = Album(tmp_path)
    other.add("other.png", (7, 7, 7))
    other.index()
    connection = sqlite3.connect(other.library / "catalogue.sqlite")
    connection.execute("UPDATE roots SET added_at = 5")
    connection.commit()
    kept.restore()
    shutil.copy(
        other.library / "catalogue.sqlite-wal", kept.catalogue.with_name("catalogue.sqlite-wal")
    )
    connection.close()
    told(kept, right)


def with_a_log(kept: Kept) -> Path:
    """A change that lies in the log alone, as a killed writer leaves it; the log's path."""
    database = sqlite3.connect(kept.catalogue)
    database.execute("PRAGMA wal_autocheckpoint = 0")
    database.execute("UPDATE roots SET added_at = added_at + 1")
    database.commit()
    kept_log = kept.catalogue.with_name("catalogue.sqlite-wal")
    data = kept_log.read_bytes()
    main = kept.catalogue.read_bytes()
    database.close()
    kept.catalogue.write_bytes(main)
    kept_log.write_bytes(data)
    assert data
    return kept_log


@pytest.mark.row("F3")
@pytest.mark.parametrize("column", ["camera", "live_photos", "checksum"])
def test_a_column_of_another_name_is_found_and_mended(
    kept: Kept, right: Right, column: str
) -> None:
    """SQLite believes whatever the schema says, and no row is any the worse for it."""
    kept.restore()
    with closing(sqlite3.connect(kept.catalogue)) as database:
        database.execute("PRAGMA writable_schema = ON")
        changed = column[:-1] + "x"
        database.execute("UPDATE sqlite_master SET sql = replace(sql, ?, ?)", (column, changed))
        database.commit()
    told(kept, right)
    report = check(kept.album.library, kept.album.library)
    assert report.is_damaged("catalogue")
    check_repair(kept, right, report)
    assert kept.pairs() == right.pairs
