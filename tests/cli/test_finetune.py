"""`clipsearch finetune` and `train` as programs: from a caption file to a model that is used."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.finetuning.tiny_run import digest, write_photos

OPTIONS = ["--tune", "all", "--batch-size", "12", "--threads", "1", "--anchor", "0"]


class Trainer(Program):
    """A program with a tiny model and photos with captions."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        # torch is imported by the programs that are run; here only for writing the model.
        from tests.encoders.tiny import write_clip

        self.model = write_clip(folder / "clip")
        self.table = write_photos(self.album)

    def environment(self, **more: str) -> dict[str, str]:
        return super().environment(OMP_NUM_THREADS="1", **more)

    def finetune(self, run: str, *more: str) -> list[str]:
        return [
            "finetune",
            str(self.table),
            "--model",
            str(self.model),
            "--out",
            run,
            *OPTIONS,
            *more,
        ]


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    return Trainer(tmp_path_factory.mktemp("trainer"))


@pytest.mark.row("J7")
def test_from_captions_to_a_model_that_the_library_switches_to(trainer: Trainer) -> None:
    done = trainer.run(
        *trainer.finetune("mine", "--epochs", "6", "--learning-rate", "3e-3", "--forgetting", "1")
    )
    assert done.code in (0, 1), done.errors
    assert "48 photos, 48 of them usable, 96 captions: 36 to learn from" in done.errors
    assert "the original: mean recall" in done.errors
    assert "epoch 6: loss" in done.errors
    assert "7 test photos" in done.out
    # The library answers with the original, then with what was made; never with both at once.
    first = trainer.run("index", str(trainer.album), "--model", str(trainer.model))
    assert first.code == 0, first.errors
    second = trainer.run("index", "--model", "mine")
    assert second.code == 0, second.errors
    assert f"the library now answers with the model {trainer.folder / 'mine'}" in second.out
    assert "48 unchanged, now also encoded with this model" in second.out or done.code == 1
    assert len(trainer.run("search", "a red disc", "-k", "3", "--json").records) == 3
    measured = trainer.run("evaluate", str(trainer.table), "--model", "mine")
    # A run that kept the original has learned from nothing.
    warned = "learned from, or was chosen by, 41 of these 48 photos" in measured.errors
    assert warned == (done.code == 0), measured.errors
    back = trainer.run("index", "--model", str(trainer.model))
    assert "now answers with the model" in back.out
    assert "now also encoded" not in back.out
    shutil.rmtree(trainer.library)


def test_events_are_json_and_the_same_run_is_not_made_twice(trainer: Trainer) -> None:
    command = [*trainer.finetune("events", "--epochs", "1"), "--json"]
    done = trainer.run(*command)
    events = [json.loads(line) for line in done.errors.splitlines()]
    kinds = [event["event"] for event in events if event["event"] != "progress"]
    assert kinds[:3] == ["checked", "began", "epoch"]
    assert kinds[-1] == "epoch"
    (finished,) = done.records
    assert finished["event"] == "finished"
    assert finished["word"] in ("better", "probably better", "kept")
    again = trainer.run(*command)
    assert again.code == done.code
    assert again.records == done.records


def test_check_only_looks(trainer: Trainer) -> None:
    table = trainer.album / "traps.csv"
    faults = "gone.png,a photo that is gone\nred-disc-8.png,a red disc, unquoted\n"
    table.write_text(trainer.table.read_text() + faults)
    command = ["finetune", str(table), "--model", str(trainer.model), "--check", "--quiet"]
    done = trainer.run(*command)
    assert done.code == 0, done.errors
    lines = done.out.splitlines()
    assert "gone.png" in lines[lines.index("  1 missing:") + 1]
    assert "    traps.csv, line 99: 3 cells where there should be 2; put a" in done.out
    assert done.errors == ""
    assert not list(trainer.folder.glob("finetune-*"))


@pytest.mark.row("J4")
def test_check_ends_as_a_start_would(trainer: Trainer) -> None:
    """More than a twentieth is bad: listed first, then refused, and nothing is left."""
    table = trainer.album / "mostly.csv"
    rows = "".join(f"gone{i}.png,nothing\n" for i in range(5))
    table.write_text(trainer.table.read_text() + rows)
    command = ["finetune", str(table), "--model", str(trainer.model), "--check"]
    done = trainer.run(*command)
    assert done.code == 2
    (refused,) = done.errors.splitlines()
    assert [line.split(".png")[0][-5:] for line in done.out.splitlines()[-5:]] == [
        f"gone{i}" for i in range(5)
    ]
    assert "too many cannot be used (5 missing; 9.4 % is bad, 5 % is the most)" in refused
    assert refused.endswith("nothing would be trained.")
    checked, *found = trainer.run(*command, "--json").records
    assert (checked["findings"], checked["learned"]) == ({"missing": 5}, None)
    assert [each["kind"] for each in found] == ["missing"] * 5
    assert not list(trainer.folder.glob("finetune-*"))


def test_check_lists_what_is_wrong_before_it_refuses_photos_of_one_name(trainer: Trainer) -> None:
    table = trainer.album / "one-name.csv"
    names = [line.split(",")[0] for line in trainer.table.read_text().splitlines()[1:]]
    rows = "".join(f"{name},a photo\n" for name in dict.fromkeys([*names, "gone.png"]))
    table.write_text("image,caption\n" + rows)
    command = ["finetune", str(table), "--model", str(trainer.model), "--check"]
    done = trainer.run(*command)
    assert done.code == 2
    assert "nothing would be learned" in done.out
    assert "gone.png" in done.out
    assert "48 photos are called 'a photo'" in done.errors


def test_check_refuses_what_the_model_is_too_small_for(trainer: Trainer) -> None:
    command = ["finetune", str(trainer.table), "--model", str(trainer.model), "--check"]
    done = trainer.run(*command, "--tune", "lora:4000")
    assert (done.code, "large enough for LoRA" in done.errors) == (2, True)


def test_exact_copies_are_not_told_again_as_near_duplicates(trainer: Trainer) -> None:
    names = sorted(path.name for path in trainer.album.glob("*.png"))
    for name in names[:3]:
        shutil.copy(trainer.album / name, trainer.album / f"copy-of-{name}")
    table = trainer.album / "copies.csv"
    copies = "".join(f"copy-of-{name},a copy\n" for name in names[:3])
    table.write_text(trainer.table.read_text() + copies)
    command = ["finetune", str(table), "--model", str(trainer.model), "--check", "--json"]
    with_copies = trainer.run(*command).records[0]
    without = trainer.run(*[str(trainer.table) if a == str(table) else a for a in command])
    assert with_copies["findings"]["same content"] == 3  # type: ignore[index]
    assert with_copies["near_duplicates"] == without.records[0]["near_duplicates"]


def test_too_much_that_is_bad_is_refused_with_a_list(trainer: Trainer) -> None:
    table = trainer.album / "bad.csv"
    rows = "".join(f"gone{i}.png,nothing\n" for i in range(9))
    table.write_text(trainer.table.read_text() + rows)
    command = ["finetune", str(table), "--model", str(trainer.model), "--out", "bad", "--quiet"]
    line = trainer.fails(2, *command)
    assert "9 missing" in line
    assert "findings.tsv" in line
    assert "gone0.png" in (trainer.folder / "bad" / "findings.tsv").read_text()
    # Nothing else that a next start would have to do with, whatever it is.
    assert {path.name for path in (trainer.folder / "bad").iterdir()} == {"findings.tsv", "lock"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Name a table"),
        (["x.csv"], "--model starter"),
        (["x.csv", "--library", "y", "--model", "starter"], "Choose one"),
        (["nowhere.csv", "--model", "starter", "--out", "x"], "nowhere.csv"),
        (["--resume", "nowhere"], "no training was begun"),
        (["{table}", "--model", "{model}", "--tune", "some", "--out", "x"], "no way of tuning"),
        (["{table}", "--model", "{model}", "--loss", "some", "--out", "y"], "no loss called"),
        (["{table}", "--model", "{model}", "--precision", "fp8", "--out", "z"], "fp32 and bf16"),
        (["{table}", "--model", "fake", "--out", "w"], "no weights to train"),
        (["{table}", "--model", "{model}", "--test", "0.95", "--out", "v"], "leave too little"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_slips_are_one_line(trainer: Trainer, arguments: list[str], said: str) -> None:
    names = {"table": str(trainer.table), "model": str(trainer.model)}
    filled = [argument.format(**names) for argument in arguments]
    assert said in trainer.fails(2, "finetune", *filled, "--quiet")
    if "--out" in filled:
        assert not (trainer.folder / filled[filled.index("--out") + 1]).exists()


def test_a_place_that_cannot_be_written_is_said_to_be_one(trainer: Trainer) -> None:
    """Below a file nothing can be made, by the superuser neither."""
    line = trainer.fails(6, *trainer.finetune(str(trainer.table / "run"), "--quiet"))
    assert "the run cannot be written to" in line
    assert "Give --out a directory in a place where you may write" in line


def test_ctrl_c_saves_says_how_to_go_on_and_the_same_command_does(trainer: Trainer) -> None:
    command = trainer.finetune("stopped", "--epochs", "40")
    process = subprocess.Popen(
        [sys.executable, "-m", "clipsearch", *command, "--json"],
        cwd=trainer.folder,
        env=trainer.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if json.loads(line)["event"] == "step":
            break
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - asked < 30
    assert process.returncode == 130
    assert "clipsearch finetune --resume" in errors
    assert "Traceback" not in errors
    straight = trainer.run(*trainer.finetune("straight", "--epochs", "40"))
    resumed = trainer.run("finetune", "--resume", "stopped")
    assert resumed.code == straight.code, resumed.errors
    assert "going on after step" in resumed.errors
    names = [trainer.folder / name / "best.safetensors" for name in ("stopped", "straight")]
    assert digest(names[0]) == digest(names[1])


def test_a_run_without_a_model_yet_says_so(trainer: Trainer) -> None:
    unfinished = trainer.folder / "unfinished"
    unfinished.mkdir()
    (unfinished / "settings.json").write_text("{}")
    line = trainer.fails(2, "index", str(trainer.album), "--model", "./unfinished")
    assert "clipsearch finetune --resume" in line


def test_tensorboard_is_asked_for_by_name(trainer: Trainer) -> None:
    blocked = trainer.folder / "blocked" / "tensorboard"
    blocked.mkdir(parents=True)
    (blocked / "__init__.py").write_text("raise ImportError('not here')")
    path = os.pathsep.join([str(blocked.parent), trainer.environment()["PYTHONPATH"]])
    command = [*trainer.finetune("board", "--epochs", "1"), "--tensorboard", "--quiet"]
    line = trainer.fails(6, *command, PYTHONPATH=path)
    assert "pip install 'clipsearch[tensorboard]'" in line


def test_train_begins_from_nothing(trainer: Trainer) -> None:
    done = trainer.run(
        "train", str(trainer.table), "--architecture", str(trainer.model), "--out", "nothing",
        "--epochs", "2", "--batch-size", "12",
    )  # fmt: skip
    assert done.code in (0, 1), done.errors
    assert (trainer.folder / "nothing" / "model" / "open_clip_model.safetensors").is_file()
