"""`clipsearch library check`, `backup` and `purge` as a program."""

import os
import pty
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.cli.program import COLOURS, Program
from tests.maintaining.ready_made import write_library


@pytest.fixture
def indexed(program: Program) -> Program:
    """A program whose library holds one photo of each colour."""
    program.add_colours()
    write_library(program.library, program.album)
    return program


def sql(program: Program, statement: str) -> None:
    database = sqlite3.connect(program.library / "catalogue.sqlite")
    database.execute(statement)
    database.commit()
    database.close()


@pytest.mark.parametrize(
    "command",
    [
        ["library", "check", "--repair"],
        ["library", "purge", "--yes"],
        ["search", "red"],
        ["finetune"],
    ],
)
def test_an_empty_name_of_a_library_is_not_the_usual_library(
    command: list[str], program: Program
) -> None:
    assert "after --library is empty" in program.fails(2, *command, "--library", "")


def test_a_whole_library_is_said_to_be_whole(colours: Program) -> None:
    answer = colours.run("library", "check")
    assert (answer.code, answer.out) == (0, "")
    assert "looked at 5 photos, 5 contents, 5 embeddings, 1 model, 1 folder" in answer.errors
    assert "no damage was found" in answer.errors
    (record,) = colours.run("library", "check", "--read-data", "--json", "--quiet").records
    assert record["damage"] == 0
    examined = record["examined"]
    assert isinstance(examined, dict)
    assert examined["photos read"] == 5
    assert "files: 5 photos read" in colours.run("library", "check", "--read-data").errors


def test_damage_is_listed_mended_and_counted(indexed: Program) -> None:
    sql(indexed, "UPDATE photos SET checksum = 1 WHERE id = 2")
    sql(indexed, "UPDATE embeddings SET checksum = 1 WHERE id = 3")
    found = indexed.run("library", "check")
    assert found.code == 4
    assert [line.split("\t")[:2] for line in found.lines] == [
        ["rows", "damage"],
        ["embeddings", "damage"],
    ]
    assert str(indexed.album) in found.lines[0]
    assert found.errors.endswith("library check --repair\n")
    elsewhere = indexed.run("library", "check", "--library", str(indexed.library))
    assert elsewhere.errors.endswith(f"library check --repair --library {indexed.library}\n")
    *findings, last = indexed.run("library", "check", "--json", "--quiet").records
    assert [finding["part"] for finding in findings] == ["rows", "embeddings"]
    assert str(findings[0]["path"]).startswith(str(indexed.album))
    assert last["damage"] == 2
    mended = indexed.run("library", "check", "--repair")
    assert mended.code == 0
    assert "kept       4 photos, 5 contents, 4 embeddings, 1 model, 1 folder" in mended.out
    assert "set aside  1 photo, 0 contents, 1 embedding" in mended.out
    assert "catalogue.sqlite.damaged-" in mended.out
    assert "clipsearch index" in mended.errors
    again = indexed.run("library", "check")
    assert (again.code, len(again.lines)) == (0, 1)
    indexed.index()
    assert len(indexed.run("search", "red", "--json").records) == 5


def test_what_a_repair_did_is_told_to_programs_too(indexed: Program) -> None:
    sql(indexed, "UPDATE embeddings SET checksum = 1 WHERE id = 3")
    *_, record = indexed.run("library", "check", "--repair", "--json", "--quiet").records
    assert record["set_aside"]["embeddings"] == 1  # type: ignore[index]
    assert os.path.exists(str(record["damaged_catalogue"]))
    assert record["remaining"] == []


@pytest.mark.parametrize("as_json", [False, True])
def test_what_a_lost_page_took_with_it_is_said(indexed: Program, as_json: bool) -> None:
    path = indexed.library / "catalogue.sqlite"
    database = sqlite3.connect(path)
    (page,) = database.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'embeddings'"
    ).fetchone()
    database.execute("PRAGMA journal_mode = DELETE")
    database.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * 8192)
        file.write(bytes(8192))
    if as_json:
        *_, record = indexed.run("library", "check", "--repair", "--json", "--quiet").records
        assert (record["unreadable"], record["lost_pages"], record["to_encode"]) == (0, 1, 5)
    else:
        mended = indexed.run("library", "check", "--repair")
        assert "lost       0 rows, and 1 page with all rows in them\n" in mended.out
        assert "run clipsearch index: 5 embeddings of kept photos will be enc" in mended.errors
    assert indexed.index("--json").records[-1]["encoded"] == 5


def test_what_cannot_be_mended_is_said_and_is_still_damage(indexed: Program) -> None:
    name = b"caf\xe9\x1b[31m.png"
    indexed.add(name, "red")
    indexed.index()
    path = os.path.join(os.fsencode(indexed.album), name)
    known = os.lstat(path)
    os.unlink(path)
    os.mkfifo(path)
    now = os.lstat(path)
    sql(
        indexed,
        f"UPDATE photos SET size = 0, mtime_ns = {now.st_mtime_ns}, ctime_ns = {now.st_ctime_ns}, "
        f"inode = {now.st_ino} WHERE inode = {known.st_ino}",
    )
    answer = indexed.run("library", "check", "--read-data", "--repair")
    assert answer.code == 4
    assert "not mended: photos: " in answer.out
    assert "caf\\xe9\\x1b[31m.png: cannot be read: not a regular file" in answer.out
    records = indexed.run("library", "check", "--read-data", "--repair", "--json").records
    (finding,) = records[-1]["remaining"]  # type: ignore[misc]
    assert "path_bytes" in finding
    os.unlink(path)


def test_photos_that_differ_are_read_again(indexed: Program) -> None:
    sql(indexed, "UPDATE contents SET hash = zeroblob(32) WHERE id = 1")
    sql(indexed, "DELETE FROM embeddings WHERE content_id = 1")
    import zlib

    database = sqlite3.connect(indexed.library / "catalogue.sqlite")
    (name,) = database.execute("SELECT name FROM photos WHERE content_id = 1").fetchone()
    path = os.path.join(os.fsencode(indexed.album), name)
    database.execute(
        "UPDATE photos SET checksum = ? WHERE content_id = 1",
        (zlib.crc32(bytes(32), zlib.crc32(path)),),
    )
    database.commit()
    database.close()
    answer = indexed.run("library", "check", "--read-data", "--repair")
    assert answer.code == 0
    assert "1 photo will be read again by the next index run" in answer.out


def test_a_damaged_snapshot_is_written_again(indexed: Program) -> None:
    indexed.run("library", "rebuild")
    (snapshot,) = indexed.library.glob("*.faiss")
    snapshot.write_bytes(snapshot.read_bytes()[:-1])
    answer = indexed.run("library", "check", "--repair")
    assert (answer.code, answer.lines[-1]) == (0, "the search snapshot was written again")


def test_a_backup_says_where_it_is_and_how_to_use_it(indexed: Program) -> None:
    answer = indexed.run("library", "backup", "copy")
    copy = indexed.folder / "copy"
    assert answer.lines[0] == f"backup   {copy}"
    assert "5 photos, 5 embeddings" in answer.lines[1]
    assert answer.lines[2] == f"use it   clipsearch search --library {copy} ..."
    assert str(indexed.library) in answer.lines[3]
    assert len(indexed.run("search", "red", "--json", "--library", str(copy)).records) == 5
    assert "is a library already" in indexed.fails(2, "library", "backup", "copy")
    spaced = indexed.run("library", "backup", "a copy")
    assert f"--library '{indexed.folder / 'a copy'}' ..." in spaced.out
    (record,) = indexed.run("library", "backup", "--json").records
    assert str(record["backup"]).startswith(str(indexed.folder / "clipsearch-backup-"))
    assert "empty" in indexed.fails(2, "library", "backup", "")


def restored(program: Program) -> list[str]:
    return sorted(str(record["path"]) for record in program.run("search", "red", "--json").records)


def test_a_restored_backup_answers_as_before(indexed: Program) -> None:
    before = restored(indexed)
    indexed.run("library", "backup", "copy")
    indexed.add("late.png", (1, 2, 3))
    indexed.index()
    indexed.library.rename(indexed.folder / "old")
    (indexed.folder / "copy").rename(indexed.library)
    assert restored(indexed) == before


def miss(program: Program, *names: str) -> None:
    for name in names:
        (program.album / name).unlink()
    program.run("index")
    sql(program, "UPDATE photos SET missing_since = 1000 WHERE missing_since IS NOT NULL")


def test_purging_tells_first_and_erases_only_when_told_to(indexed: Program) -> None:
    assert indexed.run("library", "purge").out == "there is nothing to erase\n"
    miss(indexed, "red.png")
    nobody = indexed.run("library", "purge")
    assert nobody.code == 2
    assert "would erase 1 photo row, 1 content that no photo has, 1 embedding" in nobody.out
    assert f"  {indexed.album}/red.png" in nobody.lines
    assert "add --yes" in nobody.errors
    (record,) = indexed.run("library", "purge", "--json").records
    assert (record["erased"], record["photos"]) == (False, 1)
    assert record["paths"] == [{"path": f"{indexed.album}/red.png"}]
    done = indexed.run("library", "purge", "--yes", "--missing-for", "1y")
    assert done.lines[-1] == "erased 1 photo row, 1 content that no photo has, 1 embedding"
    assert indexed.run("library", "purge", "--yes", "--json").records[0]["erased"] is False


@pytest.mark.parametrize(("typed", "erased"), [("y", True), ("n", False), ("", False)])
def test_on_a_terminal_it_asks(indexed: Program, typed: str, erased: bool) -> None:
    miss(indexed, "red.png")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        indexed.command("library", "purge"),
        cwd=indexed.folder,
        env=indexed.environment(),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.write(ours, f"{typed}\n".encode())
    _, errors = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0
    assert errors.startswith(b"Erase this? [y/N] ")
    assert (b"nothing was erased" in errors) != erased
    (record,) = indexed.run("library", "purge", "--json").records
    assert record["photos"] == (0 if erased else 1)


def test_what_is_kept_is_told_and_many_paths_are_not(program: Program) -> None:
    for number in range(12):
        program.add(f"{number}.png", (number, number, number))
    program.add("stays.png", "red")
    program.add("back.png", "green")
    program.run("index", str(program.album), "--model", "fake")
    away = program.folder / "away"
    away.mkdir()
    sql(program, "UPDATE photos SET missing_since = 1000")
    sql(program, "UPDATE photos SET missing_since = NULL WHERE name = CAST('stays.png' AS BLOB)")
    for number in range(12):
        (program.album / f"{number}.png").unlink()
    lines = program.run("library", "purge", "--yes").lines
    assert "  and 2 more" in lines
    assert any(line.startswith("kept        1 row whose file is there") for line in lines)
    program.album.rename(program.folder / "unmounted")
    lines = program.run("library", "purge", "--yes").lines
    assert lines[-1] == "kept        1 row of folders that are not there now"


def test_times_and_models_are_not_guessed(indexed: Program) -> None:
    assert "no length of time" in indexed.fails(2, "library", "purge", "--missing-for", "soon")
    assert "no length of time" in indexed.fails(2, "library", "purge", "--missing-for", "9999y")
    assert "is the one that answers" in indexed.fails(2, "library", "purge", "--model", "fake")
    assert "no model nope" in indexed.fails(2, "library", "purge", "--model", "nope")
    assert "empty" in indexed.fails(2, "library", "purge", "--model", "")


def test_an_old_model_is_erased_by_name(indexed: Program) -> None:
    sql(
        indexed,
        "INSERT INTO models SELECT 2, 'abab', replace(replace(info, "
        "(SELECT fingerprint FROM models), 'abab'), '\"fake\"', '\"older\"') FROM models",
    )
    sql(indexed, "INSERT INTO embeddings SELECT id + 9, 2, content_id, 1, vector FROM embeddings")
    answer = indexed.run("library", "purge", "--model", "older", "--yes")
    assert answer.lines[0] == f"would erase {len(COLOURS)} embeddings by older"
    assert "5 embeddings" in answer.lines[-1]
    assert len(indexed.run("library", "status", "--json").records[0]["models"]) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("command", [["check"], ["backup"], ["purge"]], ids=" ".join)
def test_without_a_library_the_way_to_one_is_named(command: list[str], program: Program) -> None:
    assert "clipsearch index" in program.fails(6, "library", *command)
    assert not program.library.exists()


def test_a_space_that_could_not_be_given_back_is_told(indexed: Program) -> None:
    miss(indexed, "red.png")
    answer = indexed.run(
        "library", "purge", "--yes", CLIPSEARCH_FAILPOINT="before_compacting=raise"
    )
    assert answer.code == 0
    assert "the file stays as large" in answer.lines[-1]


def test_a_backup_that_cannot_be_written_is_one_line(indexed: Program, tmp_path: Path) -> None:
    line = indexed.fails(6, "library", "backup", "copy", CLIPSEARCH_FAILPOINT="before_backup=raise")
    assert "copy cannot be written (" in line
    assert not (indexed.folder / "copy").exists()
