"""`clipsearch index` as a program: numbers that add up, exit codes, what is said of problems."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from clipsearch.cli.index import describe
from clipsearch.indexing import IndexSummary
from tests.cli.program import Program

PARTS = [
    *("unchanged", "restored", "new", "changed", "reencoded", "moved"),
    *("other_files", "gone", "remaining"),
]


def summary(program: Program, *arguments: str, code: int = 0) -> dict[str, object]:
    answer = program.run("index", *arguments, "--json")
    assert answer.code == code, answer
    *_, last = answer.records
    assert last.pop("event") == "summary"
    problems = last["problems"]
    assert isinstance(problems, dict)
    parts = [last[name] for name in PARTS]
    assert last["found"] == sum(problems.values()) + sum(p for p in parts if isinstance(p, int))
    return last


def numbers(record: dict[str, object]) -> dict[str, object]:
    return {name: record[name] for name in PARTS if record[name]}


def test_the_numbers_of_a_life_add_up(program: Program) -> None:
    album = str(program.album)
    program.add_colours()
    program.add("notes.txt.png", "red")
    (program.album / "notes.txt").write_text("not a photo")
    first = summary(program, album, "--model", "fake")
    assert numbers(first) == {"new": 6, "other_files": 1}
    assert first["encoded"] == 5
    assert numbers(summary(program)) == {"unchanged": 6, "other_files": 1}
    os.rename(program.album / "red.png", program.album / "rot.png")
    program.add("blue.png", (1, 2, 3))
    (program.album / "green.png").unlink()
    third = summary(program, album)
    assert numbers(third) == {"unchanged": 3, "changed": 1, "moved": 1, "other_files": 1}
    assert third["missing"] == 1


def test_the_words_say_the_same(program: Program) -> None:
    program.add_colours()
    answer = program.index()
    assert answer.lines[0].startswith("5 files in ")
    assert answer.lines[0].endswith(", model fake")
    assert answer.lines[1].split() == ["5", "new"]


def test_problems_are_told_counted_and_listed_later(program: Program) -> None:
    program.add_colours()
    (program.album / "cut\n.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    answer = program.run("index", str(program.album), "--model", "fake")
    assert answer.code == 3
    assert "1 damaged" in answer.out
    assert "cut\\n.jpg: " in answer.errors
    listed = program.run("library", "problems", "--json")
    assert listed.code == 0
    (record,) = listed.records
    assert (record["kind"], record["path"]) == ("damaged", str(program.album / "cut\n.jpg"))
    known = program.run("index")
    assert known.code == 3
    assert "1 known problem: clipsearch library problems" in known.errors
    assert "known problem" not in answer.errors
    again = program.run("index", "--json")
    assert again.code == 3
    assert [record["event"] for record in again.records] == ["summary"]
    retried = program.run("index", "--retry", "--json")
    assert [record["event"] for record in retried.records] == ["problem", "summary"]


def test_many_problems_are_cut_short(program: Program) -> None:
    for number in range(9):
        (program.album / f"{number}.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    answer = program.run("index", str(program.album), "--model", "fake", "--quiet")
    assert answer.code == 3
    assert answer.errors.count(".jpg") == 5
    assert "4 problems more: clipsearch library problems" in answer.errors


def test_progress_goes_to_standard_error_as_json(program: Program) -> None:
    program.add_colours()
    answer = program.index("--json")
    events = [json.loads(line) for line in answer.errors.splitlines()]
    assert {event["event"] for event in events} == {"progress"}
    assert {"scan", "encode"} <= {event["stage"] for event in events}
    assert program.run("index", "--json", "--quiet").errors == ""


def test_exclusions_are_left_out(program: Program) -> None:
    program.add_colours()
    program.add("raw/red2.png", "red")
    program.add(".hidden.png", "red")
    record = summary(
        program, str(program.album), "--model", "fake", "--exclude", "raw", "--exclude", "b*.png"
    )
    assert record["new"] == 3
    assert summary(program, "--hidden")["new"] == 4


def test_an_empty_folder_is_nothing_found(program: Program) -> None:
    answer = program.run("index", str(program.album), "--model", "fake")
    assert answer.code == 1
    assert "no photos were found" in answer.errors
    assert "now answers" not in answer.out


def summary_of(**numbers: int | bool | dict[str, int]) -> IndexSummary:
    none = {field.name: 0 for field in dataclasses.fields(IndexSummary)}
    parts: dict[str, object] = {
        "problems": {},
        "fresh_problems": (),
        "folder_problems": (),
        "roots": (),
    }
    return IndexSummary(**{**none, "model": "m", **parts, **numbers})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"found": 1, "new": 1, "encoded": 1}, ["1 file in 0.0 s, model m", "1 new"]),
        ({"found": 1, "other_files": 1}, ["1 file in 0.0 s, model m", "1 other file"]),
        ({"missing": 1}, ["0 files in 0.0 s, model m", "1 photo missing: no longer found,"]),
        ({"new": 3, "encoded": 2}, ["1 known by content and not encoded again"]),
        # A model was switched to that knows the content of one of two photos already.
        ({"reencoded": 2, "encoded": 1}, ["1 known by content and not encoded again"]),
        ({"reencoded": 2, "encoded": 2, "model_activated": True}, ["now answers with the model m"]),
    ],
    ids=str,
)
def test_what_is_said_of_few(numbers: dict[str, int], said: list[str]) -> None:
    lines = "\n".join(describe(summary_of(**numbers)))
    assert [part for part in said if part not in lines] == []


def test_what_is_not_said() -> None:
    stopped = summary_of(found=9, new=4, remaining=5, encoded=4, model_activated=1, interrupted=1)
    assert "now answers" not in "\n".join(describe(stopped))
    switched = summary_of(found=2, reencoded=2, encoded=2)
    assert "known by content" not in "\n".join(describe(switched))


@pytest.mark.row("C1")
def test_a_folder_that_is_away_keeps_its_photos(indexed: Program) -> None:
    os.rename(indexed.album, indexed.folder / "elsewhere")
    answer = indexed.run("index")
    assert answer.code == 3
    assert "is not there or empty now: its photos are kept" in answer.errors
    assert indexed.run("library", "--help").code == 0
    assert indexed.run("library", "status", "--json").records[0]["photos"] == 5


@pytest.mark.row("C6")
def test_most_photos_gone_at_once_wants_a_word(program: Program) -> None:
    for number in range(20):
        program.add(f"{number}.png", (number, 0, 0))
    program.index()
    for number in range(15):
        (program.album / f"{number}.png").unlink()
    held = program.run("index")
    assert held.code == 3
    assert "--confirm-missing" in held.errors
    assert program.run("library", "status", "--json").records[0]["missing"] == 0
    assert summary(program, "--confirm-missing")["missing"] == 15


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere"], 2, "there is no folder nowhere"),
        (["nowhere", "--model", "fake"], 2, "there is no folder nowhere"),
        ([], 2, "no folder is given"),
        ([""], 2, "the folder's name is empty"),
        (["album", "", "--model", "fake"], 2, "the folder's name is empty"),
        (["album", "--model", "fake", "--exclude", ""], 2, "--exclude '' leaves nothing out"),
        (["album", "--model", "fake", "--exclude", "#x"], 2, "--exclude '#x' leaves nothing out"),
        (["album/red.png", "--model", "fake"], 2, "is a file"),
        (["album", "--model", "no-such-model"], 2, "no-such-model"),
        (["album", "--model", "fake", "--workers", "0"], 2, "--workers"),
        (["album", "--model", "fake", "--library", "album/red.png"], 6, "is a file, not a library"),
        (["album", "--model", "fake", "--library", "/proc/nothing/here"], 6, "cannot be created"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input(arguments: list[str], code: int, said: str, program: Program) -> None:
    program.add_colours()
    assert said in program.fails(code, "index", *arguments)


@pytest.mark.real
def test_the_default_model_is_announced_and_the_way_out_named(program: Program) -> None:
    program.add_colours()
    answer = program.run("index", str(program.album))
    assert answer.code == 6
    announced, failed = answer.errors.splitlines()
    assert "balanced" in announced
    assert "605 MB" in announced
    assert "--model starter" in failed
    assert not program.library.exists()


def damage(program: Program, at: int) -> Path:
    path = program.library / "catalogue.sqlite"
    data = bytearray(path.read_bytes())
    data[at : at + 100] = b"\xff" * 100
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize(
    "command", [["index"], ["search", "red"], ["library", "status"]], ids=" ".join
)
def test_a_damaged_library_is_refused_and_left_as_it_is(
    command: list[str], indexed: Program
) -> None:
    path = damage(indexed, 0)
    before = path.read_bytes()
    line = indexed.fails(4, *command)
    assert "catalogue.sqlite is damaged" in line
    assert f"clipsearch library check --repair --library {indexed.library}" in line
    assert path.read_bytes() == before


@pytest.mark.row("E1")
def test_a_library_that_is_being_written_is_locked(indexed: Program) -> None:
    import fcntl

    with open(indexed.library / "lock", "r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        line = indexed.fails(11, "index", "--quiet")
    assert "Another process is writing" in line


@pytest.mark.row("A4")
def test_ctrl_c_keeps_what_was_done(program: Program) -> None:
    for number in range(400):
        program.add(f"{number}.png", (number % 256, number // 256, 7))
    process = subprocess.Popen(
        program.command("index", str(program.album), "--model", "fake", "--json"),
        env=program.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    for line in process.stderr:
        event = json.loads(line)
        if event["stage"] == "encode" and event["done"]:
            break
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert b"Traceback" not in errors
    if process.returncode == 0:  # it was faster than the signal
        pytest.skip("the run had finished before it was interrupted")
    assert process.returncode == 130
    record = json.loads(output.splitlines()[-1])
    assert record["interrupted"]
    done = record["new"]
    assert 0 < done < 400
    # A batch that was committed while the signal came may not have been counted.
    kept = summary(program)["unchanged"]
    assert isinstance(kept, int)
    assert done <= kept < 400
    assert summary(program)["unchanged"] == 400


def test_photos_are_never_touched(program: Program) -> None:
    program.add_colours()
    copy = program.folder / "copy"
    shutil.copytree(program.album, copy, copy_function=shutil.copy2)
    before = {p.name: p.stat() for p in program.album.iterdir()}
    program.index()
    program.run("search", "red", "--link-to", str(program.folder / "links"))
    after = {p.name: p.stat() for p in program.album.iterdir()}
    for name, stat in before.items():
        assert (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_nlink) == (
            after[name].st_mtime_ns,
            after[name].st_ctime_ns,
            after[name].st_size,
            after[name].st_nlink,
        )
        assert (program.album / name).read_bytes() == (copy / name).read_bytes()
