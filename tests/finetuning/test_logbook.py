"""How a run goes: metrics.csv, what is told, and TensorBoard where it is wanted."""

from pathlib import Path

import numpy as np
import pytest

from clipsearch.finetuning import Event
from clipsearch.finetuning.asking import Began, Judged, Trained
from clipsearch.finetuning.logbook import Logbook
from clipsearch.finetuning.measuring import Results
from clipsearch.training import boards
from clipsearch.training.fitting import Stepped
from clipsearch.training.runs import RunDirectory, read_metrics

RESULTS = Results(None, np.array([1, 2]), None)
STEPPED = Stepped(step=1, loss=0.5, gradient_norm=2.0, learning_rate=0.25, logit_scale=3.0, pairs=6)


class FakeBoard:
    """What TensorBoard would have been told."""

    told: list[object]

    def __init__(self, folder: Path) -> None:
        self.told = [folder.name]
        FakeBoard.last = self

    last: "FakeBoard"

    def add(self, step: int, figures: dict[str, float]) -> None:
        self.told.append((step, figures))

    def close(self) -> None:
        self.told.append("closed")


@pytest.mark.parametrize("tensorboard", [False, True])
def test_a_run_is_written_down_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tensorboard: bool
) -> None:
    monkeypatch.setattr(boards, "Board", FakeBoard)
    told: list[Event] = []
    directory = RunDirectory(tmp_path)
    book = Logbook(directory, told.append, tensorboard=tensorboard)
    # Before training there is no table yet: nothing is lost but what nobody reads.
    book.judged(0, 0, RESULTS, is_best=False)
    assert not directory.metrics.exists()
    book.began(None, (4, 2, 2), 0, 10, RESULTS)  # type: ignore[arg-type]  # passed on as it is
    book.stepped(STEPPED, 0.5, 60.0, 2.0)
    book.judged(1, 1, RESULTS, is_best=True)
    book.close()
    assert [type(event) for event in told] == [Judged, Began, Judged, Trained, Judged]
    assert told[3] == Trained(1, 10, 0.5, 0.5, 0.25, 60.0, 18.0)
    rows = read_metrics(directory.metrics)
    assert [(row["step"], row["loss"], row["score"]) for row in rows] == [
        ("1", "0.5", ""),
        ("1", "", f"{RESULTS.score:.6g}"),
    ]
    if tensorboard:
        assert FakeBoard.last.told == [
            "tensorboard",
            (0, {RESULTS.score_name: RESULTS.score}),
            (1, {"loss": 0.5, "learning rate": 0.25}),
            (1, {RESULTS.score_name: RESULTS.score}),
            "closed",
        ]
