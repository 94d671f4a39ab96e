"""`clipsearch teach` as a program: teach, use, list, add, forget."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import Program

GREENS = ["0", "1", "2"]


@pytest.fixture(scope="module")
def leafy(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Three greens and a dozen other colours, indexed."""
    program = Program(tmp_path_factory.mktemp("leafy"))
    for i in range(3):
        program.add(f"leaf/{i}.png", (10 * i, 150 + 40 * i, 5))
    for i in range(12):
        program.add(f"rest/{i:02}.png", (20 * i, 30, 255 - 15 * i))
    program.index()
    return program


@pytest.fixture
def program(leafy: Program) -> Iterator[Program]:
    """The same with nothing taught."""
    yield leafy
    for record in leafy.run("teach", "--list", "--json").records:
        assert leafy.run("teach", "--forget", str(record["name"])).code == 0


def teach(program: Program, name: str = "leaf", *more: str) -> None:
    answer = program.run("teach", name, *(f"album/leaf/{i}.png" for i in GREENS), *more)
    assert answer.code == 0, answer


def names(lines: list[str]) -> list[str]:
    return sorted(os.path.basename(line.split("\t")[-1]) for line in lines)


def test_teaching_and_using_a_name(program: Program) -> None:
    answer = program.run("teach", "leaf", "album/leaf", "--quiet")
    assert answer.code == 0, answer
    assert answer.lines[0] == "@leaf: learned from 3 photos"
    assert answer.lines[-1] == "try: clipsearch search @leaf"
    found = program.run("search", "@LEAF", "-k", "3", "--min-score", "-1")
    assert names(found.lines) == ["0.png", "1.png", "2.png"]
    nothing = program.run("search", "@leaf", "in:rest")
    assert (nothing.code, nothing.raw) == (1, b"")
    assert "--min-score -1" in nothing.errors
    assert program.run("search", "blue", "-@leaf").code == 0


def test_as_a_label(program: Program) -> None:
    teach(program)
    answer = program.run(
        "classify", "--all", "--labels", "@leaf,red", "--none-of-these", "--json", "--quiet"
    )
    assert answer.code == 0, answer
    leaves = [r for r in answer.records if r["assigned"] == ["leaf"]]
    assert {os.path.dirname(str(r["path"]))[-4:] for r in leaves} == {"leaf"}
    csv = program.run("classify", "--all", "--labels", "@leaf,red", "--csv", "--quiet")
    assert csv.lines[0] == "path,label,label_1,probability_1,label_2,probability_2"


def test_names_with_spaces_as_a_shell_passes_them(program: Program) -> None:
    teach(program, "our leaf")
    for typed in (["@our leaf"], ['@"our leaf"'], ["text:blue", "-@our leaf"]):
        assert program.run("search", *typed, "-k", "1").code == 0, typed
    answer = program.run("classify", "--all", "--labels", "@our leaf,red", "--json", "--quiet")
    assert answer.code == 0, answer


def test_listing_adding_forgetting(program: Program) -> None:
    assert program.run("teach", "--list").code == 1
    teach(program, "leaf", "--is", "green", "--not", "album/rest/00.png")
    assert "--add" in program.fails(2, "teach", "Leaf", "album/leaf/0.png")
    assert program.run("teach", "leaf", "--add", "album/rest/01.png").code == 0
    (line,) = program.run("teach", "--list").lines
    name, contents, words, _, note = line.split("\t")
    assert (name, contents, words, note) == (
        "@leaf",
        "4 photos, 1 of what it is not",
        "green",
        "",
    )
    (record,) = program.run("teach", "--list", "--json").records
    photos = record["photos"]
    assert isinstance(photos, list)
    assert [photo["example"] for photo in photos] == [True, True, True, False, True]
    assert len(photos[0]["content_hash"]) == 64
    assert record["current"] is True
    again = program.run("teach", "@Leaf", "--json", "--quiet")
    assert again.code == 0
    assert again.records[0]["encoded"] == 0
    assert program.run("teach", "--forget", "@LEAF").out.startswith("forgot @leaf")
    assert "no concept @leaf" in program.fails(2, "search", "@leaf")


def test_forgetting_for_programs(program: Program) -> None:
    teach(program)
    answer = program.run("teach", "--forget", "@LEAF", "--json")
    assert answer.code == 0
    assert answer.records == [{"forgotten": "leaf", "photos": 3}]
    assert program.run("teach", "--list").code == 1


def test_folders_whose_names_are_no_text_have_one_spelling(program: Program) -> None:
    pair = program.folder / "pair"
    for i in range(3):
        program.add(os.path.join(os.fsencode(pair), b"b\xfe", b"%d.png" % i), (250, 9 * i, 0))
        program.add(os.path.join(os.fsencode(pair), b"b\xff", b"%d.png" % i), (0, 9 * i, 250))
    taught = program.run("teach", "pair", "--folders", "pair", "--quiet")
    assert [line.split("\t")[0] for line in taught.lines[2:4]] == ["b\\xfe", "b\\xff"]
    arguments = ("classify", "pair", "--labels", "@pair", "--truth-from-folders")
    found = program.run(*arguments, "--quiet")
    assert {line.split("\t")[0] for line in found.lines[:6]} == {"b\\xfe", "b\\xff"}
    assert "agreement with folder names: 6 photos" in found.lines
    assert "b\\xfe\t3\t100.0 %" in found.lines
    twice = program.fails(2, "classify", "pair", "--labels", "@pair,x=@pair", "--quiet")
    assert "the label 'b\\xfe' is there twice" in twice
    program.run("classify", "pair", "--labels", "@pair", "--copy-to", "sorted", "--quiet")
    assert sorted(os.listdir(os.fsencode(program.folder / "sorted"))) == [b"b\xfe", b"b\xff"]


def test_folders_as_labels(program: Program) -> None:
    answer = program.run("teach", "sorts", "--folders", "album", "--quiet")
    assert answer.code == 0, answer
    assert answer.lines[0] == "@sorts: 2 labels learned from 15 photos"
    report = program.run(
        "classify", "--all", "--labels", "@sorts", "--truth-from-folders", "--csv", "--quiet"
    )
    assert '"top_1": 1.0' in report.lines[-1]
    assert "set of labels" in program.fails(2, "search", "@sorts")


def test_photos_that_fail_are_named_and_the_rest_counts(program: Program) -> None:
    (program.folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    answer = program.run("teach", "leaf", "album/leaf/0.png", "bad.png", "--quiet")
    assert answer.code == 3
    assert answer.lines[0] == "@leaf: learned from 1 photo"
    assert "bad.png" in answer.errors
    assert "expect mistakes" in answer.errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["teach"], "no name is given"),
        (["teach", ""], "the name is empty"),
        (["teach", "a\x1b[2J", "album/leaf/0.png"], "a\\\\x1b[2J"),
        (["teach", "a=b", "album/leaf/0.png"], "cannot be the name"),
        (["teach", "leaf", "nowhere.png"], "there is no nowhere.png"),
        (["teach", "leaf"], "there is no concept @leaf"),
        (["teach", "leaf", ""], "empty"),
        (["teach", "leaf", "album/leaf/0.png", "--is", ""], "empty"),
        (["teach", "leaf", "--folders"], "no folder is given"),
        (["teach", "leaf", "album/leaf/0.png", "--folders"], "is no folder"),
        (["teach", "leaf", "album", "--folders", "--is", "x"], "Choose one"),
        (["teach", "leaf", "--list"], "Choose one"),
        (["teach", "--forget", "nobody"], "there is no concept @nobody"),
        (["search", "@nobody"], "there is no concept @nobody"),
        (["search", "@no\x1b[2Jbody"], "there is no concept"),
        (["classify", "--all", "--labels", "@nobody"], "there is no concept @nobody"),
    ],
)
def test_slips_are_usage_errors_in_one_line(
    arguments: list[str], said: str, program: Program
) -> None:
    line = program.fails(2, *arguments)
    assert said in line
    assert line.isprintable()


def test_without_a_library(tmp_path: Path) -> None:
    program = Program(tmp_path)
    assert "no library" in program.fails(6, "teach", "leaf", "a.png").lower()


def test_searching_a_concept_imports_no_torch(program: Program) -> None:
    teach(program)
    check = (
        "import sys; from clipsearch.cli.program import run; code = run(sys.argv[1:]);"
        "assert not {'torch', 'open_clip', 'torchvision'} & set(sys.modules); sys.exit(code)"
    )
    assert program.python("-c", check, "search", "@leaf").code == 0
    assert program.python("-c", check, "teach", "leaf").code == 0


@pytest.mark.parametrize(("place", "taught"), [("before_commit", 0), ("after_commit", 1)])
def test_killed_while_saving_a_name_is_there_whole_or_not_at_all(
    program: Program, place: str, taught: int
) -> None:
    paths = [f"album/leaf/{i}.png" for i in GREENS]
    killed = program.run("teach", "leaf", *paths, CLIPSEARCH_FAILPOINT=f"{place}=exit")
    assert killed.code == -9
    assert len(program.run("teach", "--list", "--json").records) == taught
    assert program.run("search", "@leaf").code == (0 if taught else 2)
