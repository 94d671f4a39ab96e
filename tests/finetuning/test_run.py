"""A run from a caption file to a model: its directory, its verdict, and its end at any moment."""

import json
import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file

import clipsearch
from clipsearch.encoders.naming import LocalSource, resolve
from clipsearch.encoders.originals import write_random
from clipsearch.errors import ClipsearchError, DamageError, LockedError, UsageError
from clipsearch.finetuning import (
    Event,
    Finished,
    Judged,
    Remark,
    Stopped,
    Trained,
    Wishes,
    resumed,
    run,
)
from clipsearch.finetuning.beginning import fetch_original
from clipsearch.prompts import template_set
from clipsearch.storage.lock import writer_lock
from clipsearch.training.objective import PairObjective
from clipsearch.training.pair_batches import PairBatches
from clipsearch.training.runs import read_metrics
from clipsearch.training.states import load_weights, save_weights
from tests.encoders.tiny import write_clip
from tests.finetuning.tiny_run import WISHES, Workshop, digest

PARTS = {
    "settings.json", "data.json", "metrics.csv", "curves.png", "mixing.png", "report.json",
    "report.txt", "photos.tsv", "checkpoints", "best.safetensors", "original", "model", "lock",
}  # fmt: skip


def test_a_run_is_a_directory_with_everything_in_it(undisturbed: Workshop) -> None:
    run = undisturbed.folder / "undisturbed"
    assert {path.name for path in run.iterdir()} == PARTS
    settings = json.loads((run / "settings.json").read_text())
    assert settings["basis"]["learning_rate"] == WISHES.learning_rate
    assert settings["basis"]["clipsearch"] == clipsearch.__version__
    assert settings["basis"]["threads"] == 1
    data = json.loads((run / "data.json").read_text())
    assert (data["learned_from"], data["validation"], data["test"]) == (36, 5, 7)
    lines = (run / "photos.tsv").read_text().splitlines()
    parts = [line.split("\t")[0] for line in lines[1:]]
    assert [parts.count(part) for part in ("learned", "validation", "test")] == [36, 5, 7]
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((run / "checkpoints").iterdir())) == 2


def test_metrics_hold_every_step_s_report_and_every_evaluation(undisturbed: Workshop) -> None:
    lines = (undisturbed.folder / "undisturbed" / "metrics.csv").read_text().splitlines()
    assert lines[0].startswith("step,epoch,loss,learning_rate")
    scored = [line for line in lines[1:] if line.split(",")[-1]]
    assert [line.split(",")[1] for line in scored] == ["1", "2", "3"]


def test_the_model_is_an_ordinary_one_and_differs_from_the_original(workshop: Workshop) -> None:
    workshop.run("longer", replace(WISHES, epochs=8))  # long enough to be likely to help
    run = workshop.folder / "longer"
    model, _ = open_clip.create_model_from_pretrained(f"local-dir:{run / 'model'}")
    before = load_file(run / "original" / "open_clip_model.safetensors")
    after = load_file(run / "model" / "open_clip_model.safetensors")
    assert after.keys() == before.keys()
    assert any(not torch.equal(after[name], before[name]) for name in after)
    assert all(after[name].dtype == before[name].dtype for name in after)
    assert model.encode_text(torch.zeros(1, 12, dtype=torch.int64)).shape == (1, 16)


def test_the_run_stands_for_its_model(undisturbed: Workshop, tmp_path: Path) -> None:
    run = undisturbed.folder / "undisturbed"
    assert resolve(str(run), tmp_path) == LocalSource(str(run), run / "model")


def test_the_verdict_is_that_of_photos_that_had_no_say(undisturbed: Workshop) -> None:
    record = json.loads((undisturbed.folder / "undisturbed" / "report.json").read_text())
    assert record["test_photos"] == 7
    assert record["word"] in ("better", "probably better", "kept")
    assert len(record["curve"]) == 11
    names = [row["name"] for row in record["rows"]]
    assert "photo for a caption, recall@5" in names
    row = record["rows"][0]
    assert row["before"]["low"] <= row["before"]["value"] <= row["before"]["high"]


def test_a_finished_run_is_told_again_and_not_done_again(undisturbed: Workshop) -> None:
    events: list[Event] = []
    again = undisturbed.run("undisturbed", tell=events.append)
    assert isinstance(again, Finished)
    assert again.was_before
    assert not any(isinstance(event, Trained | Judged) for event in events)


def stop_at(kind: type[Event], number: int):  # type: ignore[no-untyped-def]
    """A listener that presses Ctrl-C at the so-many-th event of a kind."""
    seen = 0

    def tell(event: Event) -> None:
        nonlocal seen
        seen += isinstance(event, kind)
        if isinstance(event, kind) and seen == number:
            raise KeyboardInterrupt

    return tell


@pytest.mark.parametrize(
    ("kind", "number"), [(Trained, 1), (Trained, 2), (Judged, 1), (Judged, 2), (Judged, 4)]
)
@pytest.mark.row("J3")
def test_interrupted_and_run_again_gives_the_same_bytes(
    undisturbed: Workshop, monkeypatch: pytest.MonkeyPatch, kind: type[Event], number: int
) -> None:
    monkeypatch.setattr("clipsearch.finetuning.course.TELL_SECONDS", 0.0)
    name = f"stopped-{kind.__name__}-{number}"
    outcome = undisturbed.run(name, tell=stop_at(kind, number))
    assert isinstance(outcome, Stopped)
    assert 0 <= outcome.step <= outcome.steps == 9
    finished = undisturbed.run(name)
    assert isinstance(finished, Finished)
    assert undisturbed.learned(name) == undisturbed.learned("undisturbed")
    lines = (undisturbed.folder / name / "metrics.csv").read_text().splitlines()[1:]
    scored = [line.split(",")[1] for line in lines if line.split(",")[-1]]
    assert scored == ["1", "2", "3"], "each epoch is judged once"


def test_best_weights_that_did_not_come_by_again_are_still_weighed(undisturbed: Workshop) -> None:
    """Killed between the best weights and the record of them, then on a GPU another way."""
    wishes = replace(WISHES, learning_rate=1e-12)  # the first epoch stays the best
    undisturbed.run("another-way", wishes, tell=stop_at(Judged, 2))
    best = undisturbed.folder / "another-way" / "best.safetensors"
    weights, step = load_weights(best)
    save_weights(best, weights, step + 3)
    assert isinstance(undisturbed.run("another-way", wishes), Finished)


def test_a_stopped_run_goes_on_by_its_name_alone(undisturbed: Workshop) -> None:
    undisturbed.run("by-name", tell=stop_at(Judged, 2))
    request = resumed(undisturbed.folder / "by-name", Wishes())
    assert request.wishes == WISHES
    assert request.data == undisturbed.table
    assert isinstance(undisturbed.run("by-name", request.wishes), Finished)
    assert undisturbed.learned("by-name") == undisturbed.learned("undisturbed")


def test_nothing_was_begun_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no training was begun"):
        resumed(tmp_path, Wishes())


@pytest.mark.row("J6")
def test_a_run_is_not_taken_up_with_anything_else(
    undisturbed: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed.run("mixed", tell=stop_at(Judged, 2))
    with pytest.raises(UsageError, match=r"learning_rate was 0\.003, is 0\.1"):
        undisturbed.run("mixed", replace(WISHES, learning_rate=0.1))
    other = undisturbed.folder / "photos" / "others.csv"
    other.write_text(undisturbed.table.read_text().replace("a red disc", "a pink disc"))
    with pytest.raises(UsageError, match="data_sha256 was"):
        undisturbed.run("mixed", data=other)
    with monkeypatch.context() as patch:
        patch.setattr(clipsearch, "__version__", "99.0")
        with pytest.raises(UsageError, match=r'clipsearch was "0\..*--force'):
            undisturbed.run("mixed")
    forced = undisturbed.run("mixed", replace(WISHES, learning_rate=0.001), force=True)
    assert isinstance(forced, Finished)


def test_a_finished_run_that_goes_on_and_is_stopped_can_be_taken_up(workshop: Workshop) -> None:
    workshop.run("further", replace(WISHES, epochs=1))
    more = replace(WISHES, epochs=2)
    assert isinstance(workshop.run("further", more, stop_at(Judged, 1), force=True), Stopped)
    finished = workshop.run("further", more)
    assert isinstance(finished, Finished)
    assert not finished.was_before


def test_a_model_that_came_as_a_pickle_is_learned_from(
    undisturbed: Workshop, tmp_path: Path
) -> None:
    folder = shutil.copytree(undisturbed.model, tmp_path / "pickled")
    weights = folder / "open_clip_model.safetensors"
    torch.save(load_file(weights), folder / "open_clip_pytorch_model.bin")
    weights.unlink()
    assert isinstance(undisturbed.run("pickled", model=str(folder)), Finished)
    best = (undisturbed.folder / name / "best.safetensors" for name in ("pickled", "undisturbed"))
    assert len({digest(each) for each in best}) == 1


@pytest.mark.parametrize("loss", ["unicl", "sigmoid"])
def test_what_stays_as_it_was_is_measured_without_dropout(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    training: list[bool] = []
    for name in ("encode_text", "encode_image"):
        encode = getattr(PairObjective, name)

        def told(self: Any, rows: torch.Tensor, encode: Any = encode) -> torch.Tensor:
            if not torch.is_grad_enabled():
                training.append(self._model.training)
            encoded: torch.Tensor = encode(self, rows)
            return encoded

        monkeypatch.setattr(PairObjective, name, told)
    wishes = replace(WISHES, tune="text", epochs=1, loss=loss)
    assert isinstance(workshop.run(f"without-dropout-{loss}", wishes), Finished)
    assert training
    assert not any(training)


@pytest.mark.parametrize(("asked", "drawn"), [(None, 1), (0, 0), (7, 7)])
def test_first_weights_are_drawn_from_the_seed(
    workshop: Workshop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: int | None,
    drawn: int,
) -> None:
    seeds: list[int] = []

    def write(architecture: str, folder: Path, seed: int) -> None:
        seeds.append(seed)
        folder.mkdir()

    monkeypatch.setattr("clipsearch.encoders.originals.write_random", write)
    request = workshop.request(
        "from-seed", replace(WISHES, seed=asked), model=None, architecture="ViT-B-32"
    )
    fetch_original(request, tmp_path / "original", workshop.models, lambda *_: None)
    assert seeds == [drawn]


def test_asked_for_random_weights_are_no_reason_to_warn(
    workshop: Workshop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_random(str(workshop.model), tmp_path, 1)
    assert not caplog.records
    logging.warning("heard again")
    assert [record.message for record in caplog.records] == ["heard again"]


def test_no_force_makes_a_run_judge_itself_by_what_it_learned(undisturbed: Workshop) -> None:
    undisturbed.run("divided", tell=stop_at(Judged, 2))
    fewer = undisturbed.folder / "photos" / "fewer.csv"
    lines = undisturbed.table.read_text().splitlines(keepends=True)
    fewer.write_text("".join(lines[:1] + lines[11:]))
    for change in ({"data": fewer}, {"wishes": replace(WISHES, seed=2)}):
        with pytest.raises(UsageError, match=r"judged by would be others now.*--out"):
            undisturbed.run("divided", **change, force=True)  # type: ignore[arg-type]


def test_somebodys_own_folder_is_no_place_for_a_run(undisturbed: Workshop) -> None:
    album = undisturbed.folder / "album"
    album.mkdir()
    (album / "rex.jpg").write_bytes(b"a photo")
    with pytest.raises(UsageError, match=r"holds other things \(rex.jpg\)"):
        undisturbed.run("album")
    assert [path.name for path in album.iterdir()] == ["rex.jpg"]
    with pytest.raises(UsageError, match="is a file"):
        undisturbed.run("album/rex.jpg")


def test_a_run_that_is_being_trained_is_left_alone(undisturbed: Workshop) -> None:
    (undisturbed.folder / "busy").mkdir()
    with writer_lock(undisturbed.folder / "busy"), pytest.raises(LockedError, match="training run"):
        undisturbed.run("busy")


@pytest.mark.row("J1")
def test_a_run_that_diverges_names_its_photos_and_saves_nothing_of_it(workshop: Workshop) -> None:
    with pytest.raises(ClipsearchError, match=r"no number.*\.png.*--learning-rate") as raised:
        workshop.run("diverged", replace(WISHES, learning_rate=1e30))
    assert "not applied" in str(raised.value) or "not saved" in str(raised.value)
    for path in (workshop.folder / "diverged").rglob("*.safetensors"):
        for tensor in load_file(path).values():
            assert not tensor.is_floating_point() or bool(torch.isfinite(tensor).all()), path


def test_after_diverging_the_same_place_takes_another_rate(workshop: Workshop) -> None:
    """Nothing was learned there yet, and it says so; later it asks for --force."""
    with pytest.raises(ClipsearchError, match=r"--learning-rate 1e\+29 .* the same --out"):
        workshop.run("again", replace(WISHES, learning_rate=1e30))
    tamer = replace(WISHES, learning_rate=1e-3)
    assert isinstance(workshop.run("again", tamer, stop_at(Judged, 2)), Stopped)
    with pytest.raises(UsageError, match=r"learning_rate was 0\.001, is 0\.002"):
        workshop.run("again", replace(WISHES, learning_rate=2e-3))
    with pytest.raises(ClipsearchError, match=r"--force, to go on with it after step 3,"):
        workshop.run("again", replace(WISHES, learning_rate=1e30), force=True)


def test_a_start_that_is_refused_leaves_nothing(workshop: Workshop, tmp_path: Path) -> None:
    two = tmp_path / "two.csv"
    rows = workshop.table.read_text().splitlines()[:3]
    two.write_text("\n".join(row.replace("red", f"{workshop.table.parent}/red", 1) for row in rows))
    with pytest.raises(UsageError, match="cannot be split"):
        workshop.run("few", data=two)
    assert not (workshop.folder / "few").exists()
    (workshop.folder / "mine").mkdir()
    with pytest.raises(UsageError, match="cannot be split"):
        workshop.run("mine", data=two)
    assert not any((workshop.folder / "mine").iterdir())


def test_a_table_without_its_photos_is_asked_where_they_are(
    workshop: Workshop, tmp_path: Path
) -> None:
    alone = Path(shutil.copy(workshop.table, tmp_path))
    with pytest.raises(UsageError, match=r"48 missing; 100.0 % is bad.* --photos DIR"):
        workshop.run("nowhere", data=alone)


@pytest.mark.parametrize(
    ("rows", "remedy"),
    [
        ("image,caption\na red disc,red-disc-8.png\n", "columns the wrong way round"),
        ("image,caption\nhttps://a.example/red.png,a red disc\n", "not fetched from the web"),
    ],
)
def test_what_is_no_file_is_said_to_be_none(workshop: Workshop, rows: str, remedy: str) -> None:
    table = workshop.table.with_name("none.csv")
    table.write_text(rows)
    with pytest.raises(UsageError, match=remedy):
        workshop.run("none", data=table)


def test_what_cannot_be_learned_is_refused_before_the_first_step(workshop: Workshop) -> None:
    same = workshop.table.with_name("same.csv")
    names = [line.split(",")[0] for line in workshop.table.read_text().splitlines()[1::2]]
    same.write_text("image,caption\n" + "".join(f"{name},a photo\n" for name in names))
    with pytest.raises(UsageError, match="all 48 photos are called 'a photo'"):
        workshop.run("same", data=same)
    with pytest.raises(UsageError, match="named after what they show"):
        workshop.run("same", retain=workshop.table.parent)
    with pytest.raises(UsageError, match="Leave out one of them"):
        workshop.run("same", replace(WISHES, tune="image", anchor=1.0))
    with pytest.raises(UsageError, match="large enough for LoRA of rank 4000"):
        workshop.run("large", replace(WISHES, tune="lora:4000"))
    assert not (workshop.folder / "same").exists()


def test_mixing_is_counted_once_over_both_lines(workshop: Workshop) -> None:
    """The first epoch stays the best, so that there is a line to it and one to the last."""
    seen: list[tuple[int, int | None]] = []

    def progress(stage: str, done: int, total: int | None) -> None:
        if stage == "mix":
            seen.append((done, total))

    wishes = replace(WISHES, learning_rate=1e-12)
    run(workshop.request("mixing", wishes), workshop.models, lambda _: None, progress)
    assert seen == [(done, 22) for done in range(23)]


def test_when_nothing_is_better_the_original_is_kept_byte_for_byte(workshop: Workshop) -> None:
    finished = workshop.run("useless", replace(WISHES, learning_rate=1e-12, epochs=1))
    assert isinstance(finished, Finished)
    assert not finished.helped
    assert "It did not help" in finished.text
    assert workshop.weights("useless") == digest(workshop.model / "open_clip_model.safetensors")


def test_too_much_forgetting_keeps_the_original(workshop: Workshop) -> None:
    """No point of the line but the original forgets nothing at all."""
    finished = workshop.run("strict", replace(WISHES, learning_rate=0.01, forgetting=0.0))
    assert isinstance(finished, Finished)
    assert not finished.helped
    record = json.loads((workshop.folder / "strict" / "report.json").read_text())
    assert record["weight"] == 0
    assert record["curve"][-1]["forgetting"] > 0


def test_few_photos_train_the_text_tower_on_stored_embeddings(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default for few photos: the image tower stays as it is, and photos are read once."""
    monkeypatch.setattr("clipsearch.training.word_teacher.FEWEST_PHOTOS", 20)
    wishes = Wishes(epochs=4, learning_rate=3e-3, threads=1, forgetting=1.0)
    stopped = workshop.run("stopped-text", wishes, tell=stop_at(Judged, 3))
    assert isinstance(stopped, Stopped)
    for name in ("stopped-text", "text"):
        assert isinstance(workshop.run(name, wishes), Finished)
    assert workshop.learned("stopped-text") == workshop.learned("text")
    best = load_file(workshop.folder / "text" / "best.safetensors")
    assert not any(name.startswith("visual.") for name in best)
    assert (workshop.folder / "text" / "views.safetensors").is_file()
    settings = json.loads((workshop.folder / "text" / "settings.json").read_text())["basis"]
    assert (settings["tune"], settings["stored_views"], settings["anchor"]) == ("text", 4, 240.0)
    assert (settings["words"], settings["pairs_beside_words"]) == (30.0, 0.1)


def test_words_that_find_photos_better_than_the_model_are_learned_from(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clipsearch.training.word_teacher.FEWEST_PHOTOS", 20)
    wishes = Wishes(epochs=2, learning_rate=3e-3, threads=1, forgetting=1.0)
    told: list[Event] = []
    for name, words in (("with-words", None), ("without", 0.0)):
        assert isinstance(workshop.run(name, replace(wishes, words=words), told.append), Finished)
    assert workshop.learned("with-words") != workshop.learned("without")
    # The model is random: words that name colours and shapes find more than it does.
    (remark,) = (event.text for event in told if isinstance(event, Remark))
    assert "learns from them too" in remark
    record = json.loads((workshop.folder / "with-words" / "report.json").read_text())
    assert record["words"]["words"] > record["words"]["model"]
    assert json.loads((workshop.folder / "without" / "report.json").read_text())["words"] is None
    # Words that weigh nothing leave the pairs' own loss, which counts a tenth beside them.
    workshop.run("hardly", replace(wishes, words=1e-9))
    hardly, alone = (
        float(read_metrics(workshop.folder / name / "metrics.csv")[0]["loss"])
        for name in ("hardly", "without")
    )
    assert hardly == pytest.approx(0.1 * alone, rel=0.01)


def test_from_nothing_a_model_is_trained_and_nothing_is_mixed(workshop: Workshop) -> None:
    finished = workshop.run(
        "nothing", replace(WISHES, epochs=2), kind="train", model=None,
        architecture=str(workshop.model),
    )  # fmt: skip
    assert isinstance(finished, Finished)
    run = workshop.folder / "nothing"
    assert not (run / "mixing.png").exists()
    assert digest(run / "original" / "open_clip_model.safetensors") != digest(
        workshop.model / "open_clip_model.safetensors"
    )


def test_labelled_folders_and_retained_photos(workshop: Workshop, tmp_path: Path) -> None:
    for colour in ("red", "green", "blue"):
        (tmp_path / colour).mkdir()
        for path in workshop.table.parent.glob(f"{colour}-*.png"):
            shutil.copy(path, tmp_path / colour)
    finished = workshop.run("labels", replace(WISHES, epochs=1), data=tmp_path, retain=tmp_path)
    assert isinstance(finished, Finished)
    assert "the right label first" in finished.text


def test_photos_to_measure_forgetting_on_must_be_readable(
    workshop: Workshop, tmp_path: Path
) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.png").write_bytes(b"nothing")
    with pytest.raises(UsageError, match=r"not one photo in .* can be read"):
        workshop.run("unreadable", replace(WISHES, epochs=1), retain=tmp_path)


def test_the_sigmoid_loss_does_not_begin_by_forgetting(workshop: Workshop) -> None:
    """Its bias is fitted to the model; at -10 beside a scale of 14 the loss would be 11."""
    wishes = replace(WISHES, loss="sigmoid", learning_rate=1e-9, epochs=1, anchor=0.0)
    losses: list[float] = []

    def tell(event: Event) -> None:
        if isinstance(event, Trained):
            losses.append(event.loss)

    workshop.run("sigmoid", wishes, tell)
    assert losses[0] < 6, losses


def test_a_folder_s_name_is_learned_as_words(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As classify reads it, in the same sentences; folders of one name are one label."""
    for name, colour in (("Stop-Sign", "red"), ("stop_sign", "blue"), ("tree", "green")):
        (tmp_path / name).mkdir()
        for path in workshop.table.parent.glob(f"{colour}-*.png"):
            shutil.copy(path, tmp_path / name)
    learned: set[str] = set()

    class Seen(PairBatches):
        def __init__(self, *arguments: Any, **others: Any) -> None:
            super().__init__(*arguments, **others)
            learned.update(text for texts in self._texts for text in texts)

    monkeypatch.setattr("clipsearch.training.pair_batches.PairBatches", Seen)
    assert isinstance(workshop.run("words", replace(WISHES, epochs=1), data=tmp_path), Finished)
    prompts = template_set().prompts
    assert learned == {*prompts("Stop Sign"), *prompts("tree")}


def test_a_failed_start_leaves_nothing_that_decides(workshop: Workshop, tmp_path: Path) -> None:
    """A slip, then another model into the same directory: it begins with that one."""
    with pytest.raises(UsageError, match="no way of tuning"):
        workshop.run("slip", replace(WISHES, tune="some"))
    other = write_clip(tmp_path / "other", seed=7)
    finished = workshop.run("slip", replace(WISHES, epochs=1), model=str(other))
    assert isinstance(finished, Finished)
    name = "open_clip_model.safetensors"
    assert digest(workshop.folder / "slip" / "original" / name) == digest(other / name)
    with pytest.raises(UsageError, match="begins_with was"):
        workshop.run("slip", replace(WISHES, epochs=1))


@pytest.mark.row("G1")
@pytest.mark.row("J6")
def test_a_poisoned_checkpoint_is_refused_and_never_run(
    undisturbed: Workshop, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"

    class Poison:
        def __reduce__(self) -> object:
            return (os.system, (f"touch {canary}",))

    undisturbed.run("poisoned", tell=stop_at(Judged, 2))
    newest = undisturbed.folder / "poisoned" / "checkpoints" / "step-99999999.safetensors"
    torch.save({"model": Poison()}, newest)
    with pytest.raises(DamageError, match=r"step-99999999.*Delete it"):
        undisturbed.run("poisoned")
    newest.unlink()
    assert isinstance(undisturbed.run("poisoned"), Finished)
    assert undisturbed.learned("poisoned") == undisturbed.learned("undisturbed")
    assert not canary.exists()
