"""A run's course in one process: from where it stands to its last step, judged, saved, told."""

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clipsearch import failpoints
from clipsearch.errors import ClipsearchError
from clipsearch.finetuning.asking import Finished
from clipsearch.finetuning.assembling import Assembly
from clipsearch.finetuning.finishing import Made, finish
from clipsearch.finetuning.logbook import Logbook
from clipsearch.finetuning.preparing import Prepared
from clipsearch.finetuning.restoring import restored
from clipsearch.finetuning.settings import Settings
from clipsearch.finetuning.yardstick import Yardstick
from clipsearch.types import Progress

if TYPE_CHECKING:
    from clipsearch.training.trainee import Weights
# How often it is told where training stands, besides when it is judged.
TELL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Office:
    """What the first process has besides its share of the work."""

    yardstick: Yardstick
    logbook: Logbook


class Course:
    """One run in one process. Only the one with an `office` judges, saves and speaks."""

    def __init__(self, prepared: Prepared, assembly: Assembly, office: Office | None) -> None:
        self._prepared, self._assembly, self._office = prepared, assembly, office
        self._trainee, self._directory = assembly.trainee, prepared.directory
        self._is_sharded = prepared.settings.shard
        self._last: Weights = {}
        self._saved = (0, 0)
        self._saved_at = time.monotonic()

    @property
    def step(self) -> int:
        """How many steps are done."""
        return self._trainee.step

    @property
    def saved_step(self) -> int:
        """How many of them are written down."""
        return self._saved[0]

    @property
    def steps(self) -> int:
        """How many there are."""
        return self._assembly.pace.steps

    def train(self) -> None:
        """All steps that are left, judged after each epoch.

        Raises ClipsearchError naming the photos of a batch whose loss is no number, and when there
        is not enough memory.
        """
        from clipsearch.training.sharding import whole

        self._take_up()
        settings, per_epoch = self._prepared.settings, self._assembly.per_epoch
        if self._office is not None:
            self._office.logbook.began(
                settings,
                self._prepared.parts.sizes,
                self.step,
                self.steps,
                self._office.yardstick.validation.before,
            )
        while True:
            at_end = self.step >= self.steps
            epoch, inside = divmod(self.step, per_epoch)
            if inside == 0 and epoch > 0 and (epoch % settings.judge_every == 0 or at_end):
                self._judge()
            if at_end:
                self.save()
                self._last = whole(self._trainee.weights())
                # Twice or three times what is trained: choosing among models needs the memory.
                self._trainee.optimizer.zero_grad(set_to_none=True)
                self._trainee.optimizer.state.clear()
                return
            judged_next = (epoch // settings.judge_every + 1) * settings.judge_every * per_epoch
            self._fit_until(min(judged_next, self.steps))

    def _take_up(self) -> None:
        from clipsearch.training.states import load_state, newest_state

        newest = newest_state(self._directory.checkpoints)
        if newest is None:
            return
        forced = self._prepared.request.force
        is_own = self._office is not None and not forced
        load_state(newest, self._trainee, self._prepared.fingerprint if is_own else None)
        self._saved_at = time.monotonic()
        if forced:
            # As this run's own, or stopped before its next step it could not be taken up.
            self.save()
        self._saved = (self.step, len(self._trainee.evaluations))

    def _fit_until(self, until: int) -> None:
        from clipsearch.training.fitting import TrainingDivergedError, fit

        pairs, since, told = 0, time.monotonic(), 0.0
        began, began_at = self.step, time.monotonic()
        parts = self._assembly
        steps = fit(self._trainee, parts.objective, parts.batches, parts.pace, until)
        try:
            for stepped in steps:
                pairs += stepped.pairs
                now = time.monotonic()
                if now - told >= TELL_SECONDS or stepped.step == until:
                    if self._office is not None:
                        self._office.logbook.stepped(
                            stepped,
                            stepped.step / parts.per_epoch,
                            pairs / max(now - since, 1e-9),
                            (now - began_at) / (stepped.step - began),
                        )
                    pairs, since, told = 0, now, now
                if self._agreed(now - self._saved_at >= self._prepared.request.save_seconds):
                    self.save()
        except TrainingDivergedError as error:
            raise self._named(error) from error
        except RuntimeError as error:
            if (lack := _lack_of_memory(error, self._prepared.settings)) is None:
                raise
            raise lack from error

    def _agreed(self, due: bool) -> bool:
        """What the first process says, where saving takes all of them."""
        from clipsearch.training.processes import first_says

        return first_says(due) if self._is_sharded else due

    def _judge(self) -> None:
        """Show the validation part to the weights, unless that was done; keep the best."""
        from clipsearch.training.distributed import average_statistics
        from clipsearch.training.processes import first_says
        from clipsearch.training.sharding import whole
        from clipsearch.training.trainee import wearing

        failpoints.reach("before_judging")
        trainee = self._trainee
        if any(each.step == self.step for each in trainee.evaluations):
            return
        average_statistics(trainee.model)
        if self._is_sharded:
            # Apart from the model in training, whose weights only come together in all processes.
            weights = whole(trainee.weights())
            if self._office is not None:
                device = self._prepared.worker.device
                self._examine(self._office, restored(self._prepared, weights).to(device), weights)
            trainee.evaluations = first_says(trainee.evaluations)
        elif self._office is not None:
            with wearing(trainee):
                self._examine(self._office, trainee.model, trainee.weights())

    def _examine(self, office: Office, model: Any, weights: "Weights") -> None:
        """Measure `model`, which has these `weights`, and keep them when they are the best."""
        from clipsearch.training.states import save_weights
        from clipsearch.training.trainee import Evaluated

        kept = office.yardstick.validation
        results = kept.part.measure(model, outlook=False)
        self._trainee.evaluations.append(Evaluated(self.step, {"score": results.score}))
        best = self._trainee.best()
        is_best = best is not None and best.step == self.step
        if is_best:
            save_weights(self._directory.best, weights, self.step)
        epoch = self.step // self._assembly.per_epoch
        beats = is_best and results.score > kept.before.score
        office.logbook.judged(self.step, epoch, results, is_best=beats)

    def save(self) -> None:
        """Write down where the run stands, unless that is written down already."""
        from clipsearch.training.states import save_state

        now = (self.step, len(self._trainee.evaluations))
        if self._saved != now and (self._is_sharded or self._office is not None):
            save_state(self._directory.checkpoints, self._trainee, self._prepared.fingerprint)
            self._saved, self._saved_at = now, time.monotonic()

    def interrupted(self) -> None:
        """Write down where the run stands if this process alone can: it may be the only one left.

        With weights shared out the run goes on from where it was saved last.
        """
        if not self._is_sharded:
            self.save()

    def finish(self, progress: Progress) -> Finished:
        """Choose between the original and what was learned, write the model and the report.

        For the first process alone, after `train`.
        """
        assert self._office is not None
        made = Made(
            prepared=self._prepared,
            yardstick=self._office.yardstick,
            per_epoch=self._assembly.per_epoch,
            step=self.step,
            last=self._last,
            best=self._trainee.best(),
            words=self._assembly.words,
        )
        return finish(made, progress)

    def _named(self, error: Any) -> ClipsearchError:
        photos = self._prepared.parts.of(self._prepared.parts.learned)
        names = sorted({photos[number].source.name for number in error.photos})
        shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        rate = self._prepared.settings.learning_rate
        how = (
            f"--force, to go on with it after step {self.saved_step:,}, or another --out"
            if self._directory.holds_work
            else "the same --out: nothing was learned yet"
        )
        return ClipsearchError(
            f"the {error.what} of step {error.step} is no number; the step was not applied. "
            f"Its photos: {shown}",
            f"Look at them, or give --learning-rate {rate / 10:.2g} (it was {rate:.2g}) and {how}",
        )


def _lack_of_memory(error: RuntimeError, settings: Settings) -> ClipsearchError | None:
    """What to say when memory ran out; None for any other error."""
    text = str(error).lower()
    if "out of memory" not in text and "can't allocate memory" not in text:
        return None
    now = settings.chunk or settings.batch_size
    return ClipsearchError(
        f"there is not enough memory for {now} pairs at once",
        f"Add --chunk {max(1, math.ceil(now / 4))}: the same training in smaller parts; or "
        "--recompute. What was done is kept",
    )
