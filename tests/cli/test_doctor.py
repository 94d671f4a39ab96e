"""`clipsearch doctor` as a program: every line says what was found, and what to do about it."""

import os

from tests.cli.program import Program


def test_a_healthy_machine_has_exit_code_0(colours: Program) -> None:
    answer = colours.run("doctor", "--json")
    assert answer.code == 0, answer
    found = {str(record["subject"]): record for record in answer.records}
    assert {"clipsearch", "python", "numpy", "torch", "processor", "library", "catalogue"} <= set(
        found
    )
    assert all(record["state"] != "problem" for record in found.values())
    assert all(record["remedy"] for record in found.values() if record["state"] != "ok")
    assert found["library"]["finding"] == "5 photos, 5 searchable"


def test_without_a_library_it_says_how_to_make_one(program: Program) -> None:
    answer = program.run("doctor")
    assert answer.code == 0
    assert "note  library: none yet" in answer.out
    assert "clipsearch index FOLDER" in answer.out


def test_a_damaged_library_is_damage(indexed: Program) -> None:
    catalogue = indexed.library / "catalogue.sqlite"
    catalogue.write_bytes(b"x" * 5000)
    answer = indexed.run("doctor")
    assert answer.code == 4
    assert "FAIL  library: " in answer.out
    assert "must be mended" in answer.errors


def test_a_folder_that_is_away_is_a_warning(indexed: Program) -> None:
    os.rename(indexed.album, indexed.folder / "away")
    answer = indexed.run("doctor")
    assert answer.code == 0
    assert f"WARN  folder: {indexed.album} is not there" in answer.out


def test_it_does_not_start_torch(colours: Program) -> None:
    check = (
        "import sys; from clipsearch.cli.program import run; code = run(['doctor']);"
        "sys.stdout.flush(); print('torch' in sys.modules, code)"
    )
    assert colours.python("-c", check).lines[-1] == "False 0"
