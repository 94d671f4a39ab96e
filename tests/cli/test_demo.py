"""`clipsearch demo` as a program: on a folder of one's own, and on the sample photographs."""

import importlib.util
import os
from pathlib import Path

import pytest

from tests.cli.program import Program

SAMPLES = all(importlib.util.find_spec(package) for package in ("skimage", "sklearn"))


def test_a_folder_of_one_s_own(program: Program) -> None:
    program.add_colours()
    answer = program.run("demo", "album", "--model", "fake", "--into", "here")
    assert answer.code == 0, answer
    assert "5 new" in answer.out
    for command in ("index", "search", "classify"):
        assert f"$ clipsearch {command} " in answer.out
    assert "What to type next:" in answer.out
    assert sorted(os.listdir(program.folder)) == ["album", "here"]
    assert sorted(os.listdir(program.album)) == sorted(f"{c}.png" for c in (
        "red", "green", "blue", "yellow", "black"))  # fmt: skip


def test_what_it_shows_is_what_a_search_finds(program: Program) -> None:
    program.add_colours()
    shown = program.run("demo", "album", "--model", "fake", "--into", "here").out
    block = shown.split('$ clipsearch search "food" -k 3\n')[1].split("\n\n")[0]
    found = program.run("search", "food", "-k3", "--library", "here/library")
    expected = [(row.split("\t")[0], os.path.basename(row)) for row in found.lines]
    assert [tuple(line.split()) for line in block.splitlines()] == expected


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere"], 2, "there is no folder nowhere"),
        ([""], 2, "the folder's name is empty"),
        (["album", "--into", ""], 2, "after --into is empty"),
        (["album", "--model", "nope"], 2, "nope"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input(arguments: list[str], code: int, said: str, program: Program) -> None:
    assert said in program.fails(code, "demo", *arguments, TMPDIR=str(program.folder))


def test_an_empty_folder_is_nothing_found(program: Program) -> None:
    answer = program.run("demo", "album", "--model", "fake", "--into", "here")
    assert answer.code == 1
    assert "no photos were found" in answer.errors


@pytest.mark.real
@pytest.mark.timeout(900)  # the model is exported here, with torch, on whatever machine this is
@pytest.mark.skipif(not SAMPLES, reason="the demo extra is not installed")
def test_the_starter_model_on_real_photographs(program: Program, tmp_path: Path) -> None:
    answer = program.run("demo", "--into", str(tmp_path / "demo"), "--quiet")
    assert answer.code == 0, answer
    assert "15 new" in answer.out
    assert "astronaut.png: the astronaut Eileen Collins (NASA, public domain)" in answer.out
    found = answer.out.split("motorcycle_left.png -k")[1].splitlines()
    assert "motorcycle_left.png" in found[1]
    assert "motorcycle_right.png" in found[2]
