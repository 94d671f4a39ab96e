"""How a run goes, for those who wait and for those who read later: events, metrics.csv, curves."""

from typing import TYPE_CHECKING

from clipsearch.finetuning.asking import Began, Judged, Tell, Trained
from clipsearch.finetuning.measuring import Results
from clipsearch.finetuning.settings import Settings

if TYPE_CHECKING:
    from clipsearch.training.boards import Board
    from clipsearch.training.fitting import Stepped
    from clipsearch.training.runs import Metrics, RunDirectory


class Logbook:
    """Kept by the first process alone."""

    def __init__(self, directory: "RunDirectory", tell: Tell, *, tensorboard: bool) -> None:
        """Raises MissingExtraError when TensorBoard is wanted and not installed."""
        self._directory, self._tell = directory, tell
        self._board = self._make_board() if tensorboard else None
        self._metrics: Metrics | None = None
        self._steps = 0

    def _make_board(self) -> "Board":
        from clipsearch.training.boards import Board

        return Board(self._directory.path / "tensorboard")

    def close(self) -> None:
        """Write what TensorBoard is still to see."""
        if self._board is not None:
            self._board.close()

    def began(
        self, settings: Settings, parts: tuple[int, int, int], step: int, steps: int,
        before: Results,
    ) -> None:  # fmt: skip
        """Training begins, or goes on after `step` of `steps`; `before` is the original's."""
        from clipsearch.training.runs import Metrics

        self._metrics, self._steps = Metrics(self._directory.metrics, ("score",), step), steps
        self._tell(Began(settings, parts, step, steps))
        self._tell(Judged(0, before.score, before.score_name, is_best=False))

    def stepped(
        self, stepped: "Stepped", epoch: float, pairs_per_second: float, seconds_a_step: float
    ) -> None:
        """A step was applied. Not every one is told."""
        self._add(
            {
                "step": stepped.step,
                "epoch": epoch,
                "loss": stepped.loss,
                "learning_rate": stepped.learning_rate,
                "gradient_norm": stepped.gradient_norm,
                "logit_scale": stepped.logit_scale,
                "pairs_per_second": pairs_per_second,
            }
        )
        if self._board is not None:
            figures = {"loss": stepped.loss, "learning rate": stepped.learning_rate}
            self._board.add(stepped.step, figures)
        self._tell(
            Trained(
                stepped.step,
                self._steps,
                epoch,
                stepped.loss,
                stepped.learning_rate,
                pairs_per_second,
                (self._steps - stepped.step) * seconds_a_step,
            )
        )

    def judged(self, step: int, epoch: int, results: Results, *, is_best: bool) -> None:
        """The validation part was shown to the weights after `epoch`."""
        self._add({"step": step, "epoch": epoch, "score": results.score})
        if self._board is not None:
            self._board.add(step, {results.score_name: results.score})
        self._tell(Judged(epoch, results.score, results.score_name, is_best))

    def _add(self, row: dict[str, object]) -> None:
        if self._metrics is not None:
            self._metrics.add(row)
