"""The end of a run: the model is chosen, judged on photos that had no say, and written."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipsearch.finetuning.asking import Finished
from clipsearch.finetuning.gathering import words_of_photos
from clipsearch.finetuning.preparing import Prepared
from clipsearch.finetuning.restoring import restored
from clipsearch.finetuning.settings import Settings
from clipsearch.finetuning.verdict import Verdict, as_record, as_text, compare
from clipsearch.finetuning.yardstick import Yardstick
from clipsearch.types import Progress

if TYPE_CHECKING:
    from clipsearch.training.interpolation import Point
    from clipsearch.training.runs import RunDirectory
    from clipsearch.training.trainee import Evaluated, Weights
    from clipsearch.training.word_teacher import WordsFound


@dataclass(frozen=True)
class Made:
    """What training left behind, and what it is compared with.

    `last`: the weights after `step` steps; `best`: the best evaluation of all; `words`: what the
    captions' words alone found.
    """

    prepared: Prepared
    yardstick: Yardstick
    per_epoch: int
    step: int
    last: "Weights"
    best: "Evaluated | None"
    words: "WordsFound | None"

    @property
    def settings(self) -> Settings:
        """What was asked for or decided."""
        return self.prepared.settings

    @property
    def directory(self) -> "RunDirectory":
        """Where it is all written."""
        return self.prepared.directory


def finished_before(directory: "RunDirectory") -> Finished:
    """What a run that had come to its end said."""
    from clipsearch.training.runs import read_json

    record = read_json(directory.report)
    text = directory.report_text.read_text(encoding="utf-8")
    return Finished(directory.path, record.get("word") != "kept", text, record, was_before=True)


@dataclass(frozen=True)
class Line:
    """The models between the original and the weights after `epoch` epochs, and the chosen one."""

    epoch: int
    points: Sequence["Point"]
    chosen: "Point"

    @property
    def rank(self) -> tuple[float, float]:
        """What the better of two lines has more of."""
        return self.chosen.score, -self.chosen.forgetting


def finish(made: Made, progress: Progress) -> Finished:
    """Choose the mixing weight, write the model, judge it on the test part, write the report."""
    from clipsearch.encoders.openclip import load_model
    from clipsearch.training.runs import write_json, write_whole
    from clipsearch.training.whole_file import rename_folder

    directory = made.directory
    unfinished = directory.path / "model.unfinished"
    line = _write_best(made, unfinished, progress)
    # What is judged is what was written, not what it was written from.
    progress("test", 0, 1)
    written = load_model(unfinished).model.to(made.prepared.worker.device)
    test = made.yardstick.test
    after = test.part.measure(written, outlook=True)
    verdict = compare(
        test.before,
        after,
        weight=line.chosen.weight,
        best_epoch=line.epoch,
        forgetting=made.yardstick.forgotten(written, test, after),
        most_forgetting=made.settings.forgetting,
        is_forgetting_measured=made.yardstick.retained is not None,
    )
    progress("test", 1, 1)
    if verdict.word == "kept":
        shutil.rmtree(unfinished)
        shutil.copytree(directory.original, unfinished)
    shutil.rmtree(directory.model, ignore_errors=True)
    rename_folder(unfinished, directory.model)
    _draw(made, line)
    text = _text(made, verdict, line)
    words = None if made.words is None else asdict(made.words)
    record = as_record(verdict, [_as_dict(point) for point in line.points]) | {"words": words}
    write_whole(directory.report_text, text.encode())
    write_json(directory.report, record)
    return Finished(directory.path, verdict.word != "kept", text, record)


def _write_best(made: Made, folder: Path, progress: Progress) -> Line:
    """Write the best model of the better of two lines: to the weights best on the validation part,
    and to the last ones.

    Few validation photos often prefer weights from the middle of a run, by chance; the last ones
    have come to rest, and forget less.
    """
    from clipsearch.encoders.openclip import load_model
    from clipsearch.training.interpolation import interpolate
    from clipsearch.training.shipping import copy_of_state

    model = load_model(made.directory.original).model.to(made.prepared.worker.device)
    original = copy_of_state(model)
    best: tuple[Line, dict[str, Any]] | None = None
    candidates = _candidates(made)
    counter = _Counter(progress, len(candidates))
    for step in list(candidates):
        # One at a time: each is as large as the model.
        tuned = _merged(made, candidates.pop(step))
        points, chosen = _chosen(made, model, original, tuned, counter)
        line = Line(step // made.per_epoch, points, chosen)
        if best is None or line.rank > best[0].rank:
            best = line, tuned
    assert best is not None
    line, tuned = best
    _write_model(made, folder, interpolate(original, tuned, line.chosen.weight))
    return line


def _candidates(made: Made) -> "dict[int, Weights]":
    """The trained tensors that may be chosen, by the step they are from."""
    from clipsearch.training.states import load_weights

    # Not asked to be those of `trainee.best()`: a run killed after they were written and before it
    # was written down goes on from before, and on a GPU may not come by the same weights again.
    weights, step = load_weights(made.directory.best)
    candidates = {step: weights}
    if made.settings.kind == "finetune":
        candidates.setdefault(made.step, made.last)
    return candidates


def _merged(made: Made, weights: "Weights") -> dict[str, Any]:
    """Trained tensors as an ordinary model has them."""
    from clipsearch.training.tuning import merge

    model = restored(made.prepared, weights)
    merge(model)
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


class _Counter:
    """The points measured so far, over all lines together: one count from 0 to its end."""

    def __init__(self, progress: Progress, lines: int) -> None:
        from clipsearch.training.interpolation import WEIGHTS

        self._progress, self._done, self._total = progress, 0, lines * len({0.0, *WEIGHTS})
        progress("mix", 0, self._total)

    def one_more(self) -> None:
        self._done += 1
        self._progress("mix", self._done, self._total)


def _chosen(
    made: Made, model: Any, original: dict[str, Any], tuned: dict[str, Any], counter: "_Counter"
) -> tuple[list["Point"], "Point"]:
    """The points between the two, measured on the validation part, and the best allowed one."""
    from clipsearch.training.interpolation import Point, choose, sweep

    if made.settings.kind == "train":
        point = Point(1.0, 0.0 if made.best is None else made.best.decisive, 0.0)
        return [point], point
    validation = made.yardstick.validation

    def measure() -> tuple[float, float]:
        results = validation.part.measure(model, outlook=True)
        counter.one_more()
        return results.score, made.yardstick.forgotten(model, validation, results) or 0.0

    points = sweep(model, original, tuned, measure)
    return points, choose(points, made.settings.forgetting)


def _write_model(made: Made, folder: Path, weights: dict[str, Any]) -> None:
    """An open_clip directory as the original's, with other weights."""
    from clipsearch.encoders.weights import PICKLE_NAME, SAFE_NAME
    from clipsearch.training.captions import words_of
    from clipsearch.training.runs import write_whole
    from clipsearch.training.shipping import write_weights

    original = made.directory.original
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(original, folder)
    (folder / PICKLE_NAME).unlink(missing_ok=True)
    write_weights(folder / SAFE_NAME, weights, original / SAFE_NAME)
    vocabulary = folder / "vocabulary.txt"
    if vocabulary.is_file():
        # Models that say which words they know have now read these too.
        known = set(vocabulary.read_text(encoding="utf-8").splitlines())
        parts = made.prepared.parts
        words = sorted(known.union(words_of(words_of_photos(parts.of(parts.learned)))))
        write_whole(vocabulary, ("\n".join(words) + "\n").encode())


def _draw(made: Made, line: Line) -> None:
    from clipsearch.training.curves import Curve, Panel, curve_png, draw
    from clipsearch.training.runs import read_metrics, write_whole

    rows = read_metrics(made.directory.metrics)
    losses = [(float(r["epoch"]), float(r["loss"])) for r in rows if r["loss"]]
    before = made.yardstick.validation.before
    scores = [(0.0, before.score)]
    scores += [(float(r["epoch"]), float(r["score"])) for r in rows if r["score"]]
    marks = {"kept": float(line.epoch)} if line.chosen.weight else {}
    draw(
        made.directory.curves,
        [
            Panel("loss", "epoch", "loss", [Curve("training", *_columns(losses))], {}, {}),
            Panel(
                "validation",
                "epoch",
                before.score_name,
                [Curve("validation", *_columns(scores))],
                marks,
                {"original": before.score},
            ),
        ],
    )
    if len(line.points) > 1:
        png = curve_png(line.points, line.chosen, made.settings.forgetting, before.score_name)
        write_whole(made.directory.path / "mixing.png", png)


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in pairs], [y for _, y in pairs]


def _text(made: Made, verdict: Verdict, line: Line) -> str:
    from clipsearch.training.interpolation import curve_table

    score_name = made.yardstick.validation.before.score_name
    table = curve_table(line.points, line.chosen, score_name) if len(line.points) > 1 else ""
    request = made.prepared.request
    name = request.model or request.architecture or ""
    return as_text(verdict, (name, str(made.directory.model)), table)


def _as_dict(point: "Point") -> dict[str, float]:
    return {"weight": point.weight, "score": point.score, "forgetting": point.forgetting}
