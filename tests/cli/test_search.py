"""`clipsearch search` as a program, with the model whose vectors are computed by hand."""

import base64
import os
import stat
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.program import Program


def names(program: Program, *arguments: str) -> list[str]:
    answer = program.run("search", *arguments, "--json")
    assert answer.code == 0, answer
    assert [record["rank"] for record in answer.records] == list(range(1, len(answer.records) + 1))
    return [os.path.basename(str(record["path"])) for record in answer.records]


def test_words_find_their_colour_with_the_cosine_as_score(colours: Program) -> None:
    answer = colours.run("search", "yellow", "--json", "-k3")
    assert answer.code == 0
    found = [(os.path.basename(str(r["path"])), r["score"]) for r in answer.records]
    # yellow = (1, 1, 0, 0)/sqrt 2, red = (1, 0, 0, 0): a cosine of 0.707107.
    assert found == [("yellow.png", 1.0), ("green.png", 0.707107), ("red.png", 0.707107)]
    first = answer.records[0]
    assert (first["width"], first["height"], first["format"]) == (40, 30, "PNG")


@pytest.mark.parametrize(
    ("query", "best"),
    [
        (["yellow", "-red", "-k", "1"], ["green.png"]),
        (["-k1", "yellow", "-green"], ["red.png"]),
        (["album/blue.png", "-k1"], ["blue.png"]),
        (["red", "+album/green.png", "--top-k=1"], ["yellow.png"]),
        (["red", "in:nowhere-else", "red"], []),
    ],
    ids=" ".join,
)
def test_the_query_language_passes_the_shell(
    query: list[str], best: list[str], colours: Program
) -> None:
    if best:
        assert names(colours, *query) == best
    else:
        answer = colours.run("search", *query)
        assert (answer.code, answer.raw) == (1, b"")
        assert "no photo was found" in answer.errors


def test_an_example_that_is_not_indexed_is_encoded(indexed: Program) -> None:
    Image.new("RGB", (50, 50), (0, 0, 250)).save(indexed.folder / "sky.jpg", quality=95)
    assert names(indexed, "./sky.jpg", "-k1") == ["blue.png"]


def test_plain_output_is_tabs_and_three_decimals(colours: Program) -> None:
    answer = colours.run("search", "red", "--min-score", "0.5")
    rows = [line.split("\t") for line in answer.lines]
    assert [(row[0], os.path.basename(row[2])) for row in rows] == [
        ("1.000", "red.png"),
        ("0.707", "yellow.png"),
    ]


def test_hostile_names_come_out_safe_exact_or_raw_as_asked(program: Program) -> None:
    evil = "\x1b]0;x\x07\u202egnp.\n1\t=\u200b.png"
    program.add(evil, "red")
    program.add(b"\xff\xfe.png", "blue")
    program.index()
    plain = program.run("search", "red", "-k1")
    assert plain.out.count("\n") == 1
    assert "\\x1b]0;x\\x07\\u202egnp.\\n1\\t=\\u200b.png" in plain.out
    (record,) = program.run("search", "red", "-k1", "--json").records
    assert record["path"] == str(program.album / evil)
    (record,) = program.run("search", "blue", "-k1", "--json").records
    exact = os.path.join(os.fsencode(program.album), b"\xff\xfe.png")
    assert base64.b64decode(str(record["path_bytes"])) == exact
    raw = program.run("search", "in:album", "--print0").raw
    assert sorted(raw.split(b"\0")) == sorted([b"", exact, os.fsencode(program.album / evil)])
    for path in raw.split(b"\0")[:-1]:
        os.stat(path)


def test_copies_keep_their_time_and_overwrite_nothing(indexed: Program) -> None:
    other = indexed.add("more/red.png", (250, 0, 0))
    os.utime(other, (1_000_000_000, 1_000_000_000))
    indexed.index()
    target = indexed.folder / "found" / "here"
    answer = indexed.run("search", "red", "-k", "2", "--copy-to", str(target))
    assert answer.code == 0
    assert f"2 copied in {target}" in answer.errors
    assert sorted(os.listdir(target)) == ["red (2).png", "red.png"]
    assert (target / "red (2).png").stat().st_mtime == 1_000_000_000
    again = indexed.run("search", "red", "-k", "2", "--copy-to", str(target))
    assert "0 copied, 2 already in" in again.errors
    assert sorted(os.listdir(target)) == ["red (2).png", "red.png"]


def test_copies_among_the_indexed_photos_are_announced(indexed: Program) -> None:
    inside = indexed.run("search", "red", "-k1", "--copy-to", str(indexed.album / "found"))
    assert inside.code == 0
    assert f"is in the indexed folder {indexed.album}: the copies will be" in inside.errors
    labels = ("--labels", "red", "--copy-to", str(indexed.album))
    assert "is in the indexed folder" in indexed.run("classify", "--all", *labels).errors
    for arguments in (("--copy-to", f"{indexed.album} 2"), ("--link-to", str(indexed.album))):
        other = indexed.run("search", "red", "-k1", *arguments)
        assert "indexed folder" not in other.errors


def test_a_photo_that_is_not_there_is_searched_as_words_and_said(colours: Program) -> None:
    for query in (["missing.JPG"], ["red", "-missing.JPG"], ["red", "missing.JPG"]):
        answer = colours.run("search", *query)
        assert answer.code == 0
        assert "there is no file missing.JPG: searched as words" in answer.errors
    for query in (["album/red.png"], ["red", "text:missing.jpg"], ["red", "v1.5"]):
        assert "there is no file" not in colours.run("search", *query).errors


def test_links_lead_to_the_photos(indexed: Program) -> None:
    target = indexed.folder / "links"
    assert indexed.run("search", "red", "-k1", "--link-to", str(target)).code == 0
    assert os.readlink(target / "red.png") == str(indexed.album / "red.png")


def test_a_photo_that_went_away_costs_only_itself(indexed: Program) -> None:
    (indexed.album / "red.png").unlink()
    answer = indexed.run("search", "red", "-k2", "--copy-to", str(indexed.folder / "out"))
    assert answer.code == 3
    assert "red.png: No such file or directory" in answer.errors
    assert os.listdir(indexed.folder / "out") == ["yellow.png"]


def test_the_best_few_are_opened_in_the_viewer(indexed: Program, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    viewer = programs / "xdg-open"
    viewer.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/opened\n')
    viewer.chmod(viewer.stat().st_mode | stat.S_IXUSR)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    assert indexed.run("search", "red", "-k2", "--open", PATH=path).code == 0
    opened = (tmp_path / "opened").read_text().splitlines()
    assert opened == [str(indexed.album / "red.png"), str(indexed.album / "yellow.png")]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([""], 2, "the query is empty"),
        (["  ", " "], 2, "the query is empty"),
        (["-red"], 2, "only leaves things out"),
        (["./notes.txt"], 2, "cannot be an example"),
        (["./nowhere.jpg"], 2, "there is no photo"),
        (["./album"], 2, "is a folder"),
        (["red", "after:yesterday"], 2, "is no date"),
        (["red", "+@"], 2, "nothing follows +@"),
        (["red^nan"], 2, "nan is no weight"),
        (["red", "--min-score", "nan"], 2, "nan is no score"),
        (["red", "--min-score", "inf"], 2, "--min-score"),
        (["red", "--copy-to", ""], 2, "after --copy-to is empty"),
        (["red", "--library", "elsewhere"], 6, "There is no library"),
        (["red", "--copy-to", "notes.txt"], 6, "cannot be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input(arguments: list[str], code: int, said: str, colours: Program) -> None:
    answer = colours.run("search", *arguments)
    assert answer.code == code
    (line,) = answer.errors.splitlines()
    assert line.startswith("clipsearch: ")
    assert said in line


def test_a_search_imports_neither_torch_nor_anything_it_does_not_need(colours: Program) -> None:
    check = (
        "import sys; from clipsearch.cli.program import run;"
        "code = run(['search', 'red']); sys.stdout.flush();"
        "print(sorted({'torch', 'open_clip', 'torchvision', 'transformers', 'rich', 'PIL'}"
        " & set(sys.modules)), code)"
    )
    answer = colours.python("-c", check)
    assert answer.lines[-1] == "[] 0"
