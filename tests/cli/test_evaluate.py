"""`clipsearch evaluate` as a program: captions, labels, standard sets, bad photos."""

import json
from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.evaluating.colours import write_standard_set


@pytest.fixture
def captioned(program: Program) -> Program:
    """Five photos; one caption is wrong: it calls the black photo blue."""
    program.add_colours()
    rows = [f"{name}.png,a photo of {name}" for name in ("red", "green", "blue", "yellow")]
    table = program.album / "captions.csv"
    table.write_text("\n".join(["image,caption", *rows, "black.png,blue"]) + "\n")
    return program


def test_captions_as_a_table(captioned: Program) -> None:
    answer = captioned.run("evaluate", "album/captions.csv", "--model", "fake")
    assert answer.code == 0, answer
    assert answer.lines[0] == "fake: 5 photos, 5 captions"
    figures = {line.split("\t")[0]: line.split("\t")[1:] for line in answer.lines[1:-1]}
    # Four captions have their photo first; "blue" finds the black one after the blue one. The
    # caption of the blue photo ties with it, so it is second for blue.
    assert figures["photo for a caption, recall@1"][0] == "80.0 %"
    assert figures["photo for a caption, recall@5"] == ["100.0 %", "100.0 to 100.0 %"]
    assert figures["caption for a photo, recall@1"][0] == "60.0 %"
    assert figures["photo for a caption, median rank"][0] == "1"
    assert answer.lines[-1].startswith("FAISS finds 100.00 % of the 5 nearest")


def test_captions_as_json(captioned: Program) -> None:
    answer = captioned.run("evaluate", "album", "--model", "fake", "--json", "--quiet")
    (record,) = answer.records
    assert record["event"] == "evaluation"
    assert (record["photos"], record["captions"], record["left_out"]) == (5, 5, 0)
    retrieval = record["retrieval"]
    assert isinstance(retrieval, dict)
    recall = retrieval["to_photo"]["recall_at"]["1"]
    assert recall["value"] == 0.8
    assert 0 <= recall["low"] < 0.8 < recall["high"] == 1
    assert record["zero_shot"] is None
    assert record["snapshot"] == {"agreement": 1.0, "k": 5, "photos": 5, "queries": 5}


def test_the_same_figures_on_every_run(captioned: Program) -> None:
    runs = [captioned.run("evaluate", "album", "--model", "fake", "--json") for _ in range(2)]
    assert runs[0].raw == runs[1].raw


def test_folders_as_labels(program: Program) -> None:
    program.add("red/1.png", "red")
    program.add("red/2.png", (250, 10, 10))
    program.add("red/3.png", "green")
    program.add("Green/1.png", "green")
    answer = program.run("evaluate", "album", "--model", "fake", "--by-label")
    assert answer.code == 0, answer
    assert "zero-shot top-1\t75.0 %" in answer.out
    assert "zero-shot top-1, mean of the labels\t83.3 %" in answer.out
    assert "Green\t1\t100.0 %" in answer.lines
    assert "     1  red taken for Green" in answer.lines


def test_a_standard_set_brings_its_templates(program: Program) -> None:
    folder = write_standard_set(program.folder / "wds")
    (folder / "zeroshot_classification_templates.txt").write_text("{c} {c}\nblue\n")
    # A template without a place for the name is refused by name, not guessed at.
    assert "must hold {}" in program.fails(2, "evaluate", "wds", "--model", "fake", "--quiet")
    (folder / "zeroshot_classification_templates.txt").write_text("no red, a {c}\n")
    # The data's own template names red: with red in every prompt all labels drift to it ...
    own = json.loads(program.run("evaluate", "wds", "--model", "fake", "--json").raw)
    plain = json.loads(
        program.run("evaluate", "wds", "--model", "fake", "--json", "--templates", "plain").raw
    )
    assert plain["zero_shot"]["top_1"]["value"] == 0.75
    assert own["zero_shot"]["calibration_error"] != plain["zero_shot"]["calibration_error"]


def test_bad_photos_are_named_and_the_rest_is_measured(captioned: Program) -> None:
    (captioned.album / "red.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    (captioned.album / "green.png").unlink()
    answer = captioned.run("evaluate", "album/captions.csv", "--model", "fake", "--quiet")
    assert answer.code == 3
    assert answer.lines[0] == "fake: 3 photos, 3 captions"
    assert "red.png: " in answer.errors
    assert "green.png: " in answer.errors


def test_captions_that_are_cut_or_unknown_are_counted(captioned: Program) -> None:
    with (captioned.album / "captions.csv").open("a") as table:
        table.write(f"red.png,{'red ' * 20}\nblue.png,zebra\n")
    answer = captioned.run("evaluate", "album", "--model", "fake", "--quiet")
    assert "reads only the beginning of 1 caption" in answer.errors
    assert "1 caption of 7 uses words" in answer.errors


def test_captions_of_photos_that_are_left_out_are_not_counted(captioned: Program) -> None:
    with (captioned.album / "captions.csv").open("a") as table:
        table.write(f"gone.png,{'red ' * 20}\ngone.png,quagga\nblue.png,zebra\n")
    answer = captioned.run("evaluate", "album/captions.csv", "--model", "fake", "--quiet")
    assert answer.code == 3
    assert "reads only the beginning" not in answer.errors
    assert "1 caption of 6 uses words" in answer.errors


def test_empty_captions_copies_and_broken_rows_are_said(captioned: Program) -> None:
    red = (captioned.album / "red.png").read_bytes()
    (captioned.album / "crimson.png").write_bytes(red)
    with (captioned.album / "captions.csv").open("a") as table:
        table.write("crimson.png,a red photo\nred.png,\nred.png,red,not quoted\n")
    answer = captioned.run("evaluate", "album", "--model", "fake", "--quiet")
    assert answer.code == 3
    assert answer.lines[0] == "fake: 6 photos, 6 captions"
    assert "1 empty or repeated caption left out" in answer.errors
    assert "1 photo has the content of another one" in answer.errors
    assert "captions.csv, line 9: 3 cells where there should be 2" in answer.errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "there is no nowhere"),
        ([""], "the data's name is empty"),
        (["album", "--template", "a {}", "--templates", "plain"], "--template and --templates"),
        (["album/captions.csv", "--labels-from-folders"], "is no folder"),
        (["album", "--split", "test"], "no splits"),
        (["album", "--against", "fake"], "are one model"),
        (["empty"], "there are no photos in"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input(arguments: list[str], said: str, captioned: Program) -> None:
    (captioned.folder / "empty").mkdir(exist_ok=True)
    line = captioned.fails(2, "evaluate", *arguments, "--model", "fake", "--quiet")
    assert said in line


@pytest.mark.real
def test_two_models_side_by_side(captioned: Program) -> None:
    arguments = ("evaluate", "album", "--model", "fake", "--against", "starter")
    answer = captioned.run(*arguments, "--quiet")
    assert answer.code == 0, answer
    assert answer.lines[0].startswith("fake compared with starter: 5 photos, 5 captions")
    # With five photos nothing is ever sure.
    verdict = answer.lines[-1]
    assert verdict.startswith(("no sure difference between", "fake and starter are equal")), verdict
    records = captioned.run(*arguments, "--quiet", "--json").records
    assert [record["event"] for record in records] == ["evaluation", "evaluation", "comparison"]
    assert (records[2]["first"], records[2]["second"]) == ("starter", "fake")


def test_help_costs_nothing_heavy(program: Program) -> None:
    loaded = program.python(
        "-c",
        "import sys; from clipsearch.cli.program import run; run(['evaluate', '--help']);"
        "print([n for n in ('torch', 'numpy', 'faiss', 'PIL', 'rich') if n in sys.modules])",
    )
    assert loaded.lines[-1] == "[]"
    assert "clipsearch evaluate captions.csv --model starter" in loaded.out


def test_nothing_is_left_in_the_album(captioned: Program) -> None:
    before = sorted(Path(captioned.album).rglob("*"))
    captioned.run("evaluate", "album", "--model", "fake", "--quiet")
    assert sorted(Path(captioned.album).rglob("*")) == before
    assert not captioned.library.exists()
