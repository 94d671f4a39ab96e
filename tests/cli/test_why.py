"""`clipsearch why` as a program: for any name, indexed or not."""

import os
import sqlite3
import struct

import pytest

from tests.cli.program import Program
from tests.maintaining.ready_made import write_library


@pytest.fixture
def indexed(program: Program) -> Program:
    """A program whose library holds one photo of each colour."""
    program.add_colours()
    write_library(program.library, program.album)
    return program


def facts(program: Program, *arguments: str | bytes) -> dict[str, str]:
    answer = program.run("why", *arguments)
    rows = [line.split("\t") for line in answer.lines]
    assert all(len(row) == 3 and all(row) for row in rows), rows
    return {fact: value for fact, _, value in rows}


def test_every_fact_comes_with_its_source(indexed: Program) -> None:
    indexed.add("again.png", "red")
    indexed.index()
    answer = indexed.run("why", "album/red.png")
    assert answer.code == 0
    rows = [line.split("\t") for line in answer.lines]
    assert [row[0] for row in rows] == [
        "photo", "state", "folder", "stat", "content", "facts", "stat now", "content now",
        "model", "snapshot", "copy",
    ]  # fmt: skip
    sources = {row[0]: row[1] for row in rows}
    assert sources["content"].startswith("catalogue, row ")
    assert sources["facts"] == "the photo, when it was read"
    assert sources["content now"] == "the file now"
    values = {row[0]: row[2] for row in rows}
    assert values["state"].startswith("live: ")
    assert values["content now"] == values["stat now"] == "the same as stored"
    assert values["facts"] == "PNG, 40 x 30"
    assert values["copy"] == f"{indexed.album}/again.png"


def test_the_photo_that_was_in_hand_when_a_run_died(indexed: Program) -> None:
    path = os.fsencode(indexed.album / "red.png")
    (indexed.library / "in-hand").write_bytes((struct.pack("<II", 2, len(path)) + path).ljust(8192))
    assert facts(indexed, "album/red.png")["in hand"].endswith("when a run died; 2 runs in a row")
    assert "in hand" not in facts(indexed, "album/blue.png")
    (record,) = indexed.run("why", "album/red.png", "--json").records
    assert record["in_hand"] == 2


def test_programs_get_all_of_it(indexed: Program) -> None:
    indexed.run("library", "rebuild")
    (record,) = indexed.run("why", "album/red.png", "--json").records
    assert (record["state"], record["unchanged"]) == ("live", True)
    stored, now = record["stored"], record["now"]
    assert isinstance(stored, dict)
    assert isinstance(now, dict)
    assert stored["content_hash"] == now["content_hash"]
    assert stored["facts"]["format"] == "PNG"
    (embedding,) = record["embeddings"]  # type: ignore[misc]
    assert embedding["model"] == "fake"
    assert embedding["snapshot"].endswith(".faiss")


def test_what_changed_went_or_never_was(indexed: Program) -> None:
    indexed.run("library", "rebuild")
    indexed.add("red.png", (9, 9, 9))
    changed = facts(indexed, "album/red.png")
    assert len(changed["content now"]) == 64
    assert "bytes" in changed["stat now"]
    assert changed["snapshot"].startswith("generation ")
    (indexed.album / "green.png").unlink()
    indexed.run("index")
    gone = facts(indexed, "album/green.png")
    assert gone["state"].startswith("missing: ")
    assert gone["file now"] == "no such file or directory"
    assert "missing since" in gone
    (record,) = indexed.run("why", "album/green.png", "--json").records
    assert record["stored"]["missing_since"] is not None  # type: ignore[index]
    never = indexed.run("why", "elsewhere.png")
    assert never.code == 1
    assert "it is in no folder of this library" in never.out
    (record,) = indexed.run("why", "elsewhere.png", "--json").records
    assert (record["stored"], record["root"]) == (None, None)


def test_problems_and_folders_that_are_away(indexed: Program) -> None:
    (indexed.album / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    indexed.run("index")
    assert facts(indexed, "album/cut.jpg")["state"].startswith("problem: damaged: ")
    (record,) = indexed.run("why", "album/cut.jpg", "--json").records
    assert record["stored"]["problem"]["kind"] == "damaged"  # type: ignore[index]
    indexed.album.rename(indexed.folder / "away")
    assert facts(indexed, "album/red.png")["folder"].endswith("(not there now)")


def test_what_the_photo_itself_says(indexed: Program) -> None:
    database = sqlite3.connect(indexed.library / "catalogue.sqlite")
    database.execute(
        "UPDATE contents SET taken_at = '2022-06-01T10:00:00', camera = 'X100V', "
        "latitude = 48.2, longitude = 16.37"
    )
    database.execute("UPDATE photos SET mtime_ns = -9000000000000000000")
    database.commit()
    database.close()
    told = facts(indexed, "album/red.png")
    assert told["facts"] == (
        "PNG, 40 x 30, taken 2022-06-01 10:00:00, camera X100V, at 48.20000, 16.37000"
    )
    # A time so far off is shown as it is.
    assert "modified" in told["stat"]


@pytest.mark.parametrize(
    "name", [b"caf\xe9.png", b"a\x1b[31m\n\tb.png", "\u202egnp.a.png".encode(), b"--help.png"]
)
def test_any_name_is_shown_safely_and_found(program: Program, name: bytes) -> None:
    path = program.add(name, "red")
    program.run("index", str(program.album), "--model", "fake")
    answer = program.run("why", path)
    assert answer.code == 0
    assert not any(ord(character) < 32 and character not in "\n\t" for character in answer.out)
    assert "\u202e" not in answer.out
    (record,) = program.run("why", path, "--json").records
    assert record["state"] == "live"
    assert os.path.basename(path) == name


def test_an_empty_name_is_refused(indexed: Program) -> None:
    assert "the photo's name is empty" in indexed.fails(2, "why", "")


def test_a_file_that_could_not_be_asked_has_no_made_up_size(indexed: Program) -> None:
    database = sqlite3.connect(indexed.library / "catalogue.sqlite")
    with database:
        database.execute(
            "UPDATE photos SET size = -1, mtime_ns = 0, ctime_ns = 0, inode = 0, device = 0"
        )
    database.close()
    assert "stat" not in facts(indexed, "album/red.png")
    (record,) = indexed.run("why", "album/red.png", "--json").records
    stored = record["stored"]
    assert isinstance(stored, dict)
    assert stored["stat"] is None
