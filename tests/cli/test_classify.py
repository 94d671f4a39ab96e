"""`clipsearch classify` as a program: decisions, formats, folders per label, agreement."""

import csv
import io
import os
from pathlib import Path

import pytest

from tests.cli.program import Program

LABELS = "red,green,blue"


def decided(program: Program, *arguments: str) -> dict[str, object]:
    answer = program.run("classify", *arguments, "--json", "--quiet")
    assert answer.code == 0, answer
    return {os.path.basename(str(r["path"])): r["assigned"] for r in answer.records}


def test_indexed_and_other_photos_are_classified_alike(indexed: Program) -> None:
    everything = decided(indexed, "--all", "--labels", LABELS)
    assert everything["red.png"] == ["red"]
    assert decided(indexed, "album", "--labels", LABELS) == everything
    assert decided(indexed, "album/blue.png", "--labels", LABELS) == {"blue.png": ["blue"]}
    indexed.add("new.png", (0, 200, 0))
    assert decided(indexed, "album/new.png", "--labels", LABELS) == {"new.png": ["green"]}
    assert "new.png" not in decided(indexed, "--all", "--labels", LABELS)


def test_without_a_library_a_model_is_enough(program: Program) -> None:
    program.add("a.png", "blue")
    found = decided(program, "album", "--labels", LABELS, "--model", "fake")
    assert found == {"a.png": ["blue"]}
    assert not program.library.exists()


def test_json_has_the_best_labels_with_probabilities(colours: Program) -> None:
    answer = colours.run("classify", "album/yellow.png", "--labels", LABELS, "-n2", "--json")
    (record,) = answer.records
    labels = record["labels"]
    assert isinstance(labels, list)
    # yellow is as near to red as to green: half each, and blue has nothing.
    assert [each["label"] for each in labels] == ["red", "green"]
    assert [each["probability"] for each in labels] == [0.5, 0.5]


def test_several_labels_or_none(colours: Program) -> None:
    several = decided(colours, "--all", "--labels", "red,yellow", "--multi-label")
    assert several["yellow.png"] == ["red", "yellow"]
    assert several["red.png"] == ["red", "yellow"]
    assert several["blue.png"] == []
    none = decided(colours, "--all", "--labels", "red,yellow", "--none-of-these")
    # The neutral prompts' vector has a cosine of 0.376 with blue, more than these labels' 0.
    assert none["blue.png"] == []
    assert none["red.png"] == ["red"]
    unsure = decided(colours, "album/yellow.png", "--labels", "red,green", "--threshold", "0.6")
    assert unsure == {"yellow.png": []}


def test_none_of_these_stands_at_its_place(colours: Program) -> None:
    answer = colours.run(
        "classify", "album/blue.png", "album/red.png", "--labels", "red,yellow", "--none-of-these"
    )
    assert answer.code == 0, answer
    for line in answer.lines:
        label, shown, _ = line.split("\t")
        named = [each.rsplit(" ", 1) for each in shown.split("  ")]
        assert named[0][0] == label
        shares = [float(share) for _, share in named]
        assert shares == sorted(shares, reverse=True)
        assert len(named) == 3


def test_csv_is_neutralised_and_reads_back(program: Program) -> None:
    program.add('=1+1,"x\ny.png', "red")
    program.add("plain.png", "green")
    program.index()
    answer = program.run(
        "classify", "--all", "--labels", "=cmd=red,+plus=green", "--csv", "--quiet", "-n1"
    )
    assert answer.code == 2  # an empty name before the first "="
    answer = program.run("classify", "--all", "--labels-file", labels_file(program), "--csv", "-n1")
    header, *rows = csv.reader(io.StringIO(answer.out))
    assert header == ["path", "label", "label_1", "probability_1"]
    assert {row[1] for row in rows} == {"'+red", "'@green"}
    assert all(row[1] == row[2] and 0.9 < float(row[3]) <= 1 for row in rows)
    assert sum(row[0].endswith('=1+1,"x\\ny.png') for row in rows) == 1


def labels_file(program: Program) -> str:
    path = program.folder / "labels.csv"
    path.write_text("label,words\n+red,red\n@green,green\n")
    return str(path)


def test_each_label_gets_a_folder(colours: Program, tmp_path: Path) -> None:
    answer = colours.run(
        "classify", "--all", "--labels", "a/b=red,..=yellow,green", "--none-of-these",
        "--copy-to", str(tmp_path / "sorted"),
    )  # fmt: skip
    assert answer.code == 0, answer
    found = {path.name: set(os.listdir(path)) for path in (tmp_path / "sorted").iterdir()}
    assert "red.png" in found["a_b"]
    assert "yellow.png" in found["_"]
    assert "green.png" in found["green"]
    assert found["none of these"] == {"blue.png"}
    assert os.listdir(tmp_path) == ["sorted"]


def test_agreement_with_folder_names(program: Program) -> None:
    program.add("red/1.png", "red")
    program.add("red/2.png", (250, 10, 10))
    program.add("red/3.png", "green")
    program.add("Green/1.png", "green")
    program.add("holiday/1.png", "blue")
    program.index()
    answer = program.run(
        "classify", "album", "--labels", LABELS, "--truth-from-folders", "--json", "--quiet"
    )
    *photos, report = answer.records
    assert report["event"] == "truth"
    assert (report["photos"], report["others"], report["top_1"]) == (4, 1, 0.75)
    assert report["confusions"] == [{"truth": "red", "predicted": "green", "count": 1}]
    assert {photo["truth"] for photo in photos} == {"red", "green", None}
    words = program.run("classify", "--all", "--truth-from-folders").out
    assert "agreement with folder names: 5 photos" in words
    assert "1  red taken for Green" in words


def test_folders_that_differ_in_a_byte_that_is_no_text_are_two_labels(program: Program) -> None:
    program.add(b"b\xfe/1.png", "red")
    program.add(b"b\xff/1.png", "blue")
    answer = program.run(
        "classify", "album", "--truth-from-folders", "--model", "fake", "--json", "--quiet"
    )
    *photos, report = answer.records
    assert {os.fsencode(str(photo["truth"])) for photo in photos} == {b"b\xfe", b"b\xff"}
    # A model reads both as "b?": it cannot tell them, and is not said to.
    assert (report["photos"], report["top_1"]) == (2, 0.0)


def test_what_cannot_be_read_costs_only_itself(indexed: Program) -> None:
    (indexed.album / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    answer = indexed.run("classify", "album", "--labels", LABELS)
    assert answer.code == 3
    assert len(answer.lines) == 5
    assert "cut.jpg: " in answer.errors


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--all"], 2, "no labels are given"),
        (["--labels", "a"], 2, "no photos are named"),
        (["", "--labels", "a"], 2, "the folder's name is empty"),
        (["album", "--all", "--labels", "a"], 2, "a path and --all"),
        (["album", "--labels", "a", "--labels-file", "b"], 2, "--labels and --labels-file"),
        (["album", "--labels", "a", "--json", "--csv"], 2, "--json and --csv"),
        (["album", "--labels", "a", "--multi-label", "--none-of-these"], 2, "--multi-label and"),
        (["album", "--labels", "a,A"], 2, "is there already"),
        (["album", "--labels-file", "nowhere"], 2, "cannot read nowhere"),
        (["album", "--labels-file", "./empty"], 2, "cannot read ./empty: Is a directory. Name"),
        (["album", "--labels", "a", "--template", "no place"], 2, "must hold {}"),
        (["album", "--labels", "a", "--templates", "nope"], 2, "no template set"),
        (["nowhere", "--labels", "a"], 2, "there is no nowhere"),
        (["album", "--labels", "a", "--threshold", "2"], 2, "--threshold"),
        (["--all", "--labels", "a", "--library", "elsewhere"], 6, "no library"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input(arguments: list[str], code: int, said: str, colours: Program) -> None:
    answer = colours.run("classify", *arguments, "--quiet")
    assert answer.code == code
    assert answer.raw == b""
    assert said in answer.errors.splitlines()[-1]


def test_an_empty_folder_is_nothing_found(colours: Program) -> None:
    answer = colours.run("classify", "empty", "--labels", LABELS)
    assert (answer.code, answer.raw) == (1, b"")
    assert "no photo was found" in answer.errors
