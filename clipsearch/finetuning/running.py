"""A run from its first photo to its last step: prepared, trained, judged, saved."""

import math
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipsearch import failpoints
from clipsearch.errors import ClipsearchError, UsageError
from clipsearch.finetuning.asking import (
    Began,
    Followed,
    Judged,
    Outcome,
    Request,
    Stopped,
    Tell,
    Trained,
)
from clipsearch.finetuning.beginning import require_own_directory
from clipsearch.finetuning.finishing import Made, finish, finished_before
from clipsearch.finetuning.gathering import Parts, gather
from clipsearch.finetuning.measuring import (
    Part,
    Results,
    general_labels,
    general_prompts,
)
from clipsearch.finetuning.preparing import (
    Prepared,
    load,
    pixels_of,
    prepare,
    seeing_of,
    settled,
    words_of_photos,
)
from clipsearch.finetuning.settings import Settings
from clipsearch.prompts import template_set
from clipsearch.storage.lock import writer_lock
from clipsearch.types import CaptionedPhoto, Progress, no_progress

if TYPE_CHECKING:
    from clipsearch.training.anchoring import TextAnchor
    from clipsearch.training.boards import Board
    from clipsearch.training.fitting import Pace, Stepped
    from clipsearch.training.pair_batches import PairBatches
    from clipsearch.training.processes import Worker
    from clipsearch.training.runs import Metrics, RunDirectory

# How often it is told and written down where training stands, besides each epoch's end.
TELL_SECONDS = 1.0


def run(
    request: Request, models_dir: Path, tell: Tell, progress: Progress = no_progress
) -> Outcome:
    """Train, or go on where a run stands, until its report is written or Ctrl-C.

    Raises UsageError for a request that cannot be, also for a run that was begun differently;
    ClipsearchError naming the photos of a batch whose loss is no number; LockedError; DamageError
    for a damaged checkpoint; OSError when the disk is full, with all that was saved intact.
    """
    from clipsearch.training.processes import joined_workers
    from clipsearch.training.runs import RunDirectory

    directory = RunDirectory(request.run)
    with joined_workers() as worker:
        if worker.rank > 0:
            # A Ctrl-C reaches every process; the first one saves and answers it.
            with suppress(KeyboardInterrupt):
                _follow(request, directory, worker)
            return Followed()
        require_own_directory(request.run)
        request.run.mkdir(parents=True, exist_ok=True)
        with writer_lock(request.run, "training run"):
            return _lead(request, directory, worker, models_dir, tell, progress)


def _lead(
    request: Request,
    directory: "RunDirectory",
    worker: "Worker",
    models_dir: Path,
    tell: Tell,
    progress: Progress,
) -> Outcome:
    from clipsearch.training.processes import first_says

    prepared = prepare(request, directory, worker, models_dir, tell, progress)
    finished = directory.finished and not request.force
    first_says(None if finished else prepared.parts)
    if finished:
        return finished_before(directory)
    run = _Run(request, directory, worker, prepared, tell, progress)
    try:
        run.train()
        trained = True
    except KeyboardInterrupt:
        run.save()
        trained = False
    finally:
        run.close_board()
    if trained:
        # Every step is saved by now: interrupted, what follows is done again.
        with suppress(KeyboardInterrupt):
            return run.finish()
    return Stopped(request.run, run.pace.steps, run.trainee.step)


def _follow(request: Request, directory: "RunDirectory", worker: "Worker") -> None:
    """The part of every other process: it takes its share of each step and says nothing."""
    from clipsearch.training.processes import first_says

    nothing: Parts | None = None
    parts = first_says(nothing)
    if parts is None:
        return
    loaded = load(directory.original)
    settings = settled(request, loaded, parts, worker)
    prepared = Prepared(loaded, settings, parts, seeing_of(loaded), "")
    _Run(request, directory, worker, prepared, _say_nothing, no_progress).train()


def _say_nothing(_event: object) -> None:
    """The first process speaks."""


class _Run:
    """One run in one process. Only the first process judges, saves, and speaks."""

    def __init__(
        self,
        request: Request,
        directory: "RunDirectory",
        worker: "Worker",
        prepared: Prepared,
        tell: Tell,
        progress: Progress,
    ) -> None:
        self._request, self._directory, self._worker = request, directory, worker
        self._prepared, self._tell, self._progress = prepared, tell, progress
        self._saved = (-1, -1)
        self._saved_at = time.monotonic()
        self._metrics: Metrics | None = None
        self._board = self._make_board()
        settings = prepared.settings
        model = prepared.loaded.model.to(worker.device)
        if self._leads:
            # Before anything is changed: what it has to be better than.
            self._validation, self._test = self._held_out()
            self._before = self._validation.measure(model, outlook=True)
            self._test_before = self._test.measure(model, outlook=True)
            self._retained = self._retained_part()
            self._retained_before = self._measured_retained(model)
        self._make_trainable(model)
        self._batches = self._make_batches()
        if settings.loss == "sigmoid":
            with closing(self._batches.iterate(0)) as upcoming:
                self._objective.settle(next(upcoming))
        per_epoch = max(1, self._batches.steps_per_epoch // settings.accumulate)
        steps = per_epoch * settings.epochs
        self._per_epoch = per_epoch
        self.pace = self._make_pace(steps)

    @property
    def _leads(self) -> bool:
        leads: bool = self._worker.rank == 0
        return leads

    def _make_board(self) -> "Board | None":
        from clipsearch.training.boards import Board

        wanted = self._request.tensorboard and self._leads
        return Board(self._directory.path / "tensorboard") if wanted else None

    def close_board(self) -> None:
        """Write what TensorBoard is still to see."""
        if self._board is not None:
            self._board.close()

    def _held_out(self) -> tuple[Part, Part]:
        parts, seeing = self._prepared.parts, self._prepared.seeing
        labels = sorted({photo.label for photo in parts.photos if photo.label is not None})
        general = general_labels(words_of_photos(parts.photos))
        validation, test = (
            Part(
                parts.of(numbers), labels, general, seeing, pixels_of(seeing),
                self._request.workers,
            )
            for numbers in (parts.validation, parts.test)
        )  # fmt: skip
        return validation, test

    def _retained_part(self) -> Part | None:
        """The photos on which forgetting is measured, if a person gave any."""
        if self._request.retain is None:
            return None
        photos = [
            replace(p, captions=()) for p in gather(self._request.retain, None, None) if p.label
        ]
        labels = sorted({photo.label for photo in photos if photo.label is not None})
        if len(labels) < 2:
            raise UsageError(
                f"{self._request.retain} holds no photos in folders named after what they show",
                "Forgetting is measured on photos with labels",
            )
        seeing = self._prepared.seeing
        return Part(photos, labels, [], seeing, pixels_of(seeing), self._request.workers)

    def _measured_retained(self, model: Any) -> Results | None:
        if self._retained is None:
            return None
        results = self._retained.measure(model, outlook=False)
        if not len(results.per_photo):
            raise UsageError(
                f"not one photo in {self._request.retain} can be read",
                "Forgetting is measured on photos with labels",
            )
        return results

    def _make_trainable(self, model: Any) -> None:
        from clipsearch.training import tuning
        from clipsearch.training.activations import recompute_activations
        from clipsearch.training.fitting import make_optimizer
        from clipsearch.training.losses import make_loss
        from clipsearch.training.objective import PairObjective
        from clipsearch.training.processes import compute_with
        from clipsearch.training.shipping import hold_norms
        from clipsearch.training.trainee import TrainedAverage, Trainee
        from clipsearch.training.tuning_names import tune_called

        settings = self._prepared.settings
        compute_with(settings.threads, settings.seed)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in self._prepared.loaded.trainable)
        groups = tuning.prepare(model, tune_called(settings.tune))
        loss = make_loss(settings.loss).to(self._worker.device)
        model.train()
        if settings.frozen_norms:
            hold_norms(model)
        if settings.recompute:
            recompute_activations(model)
        average = TrainedAverage(model, settings.average) if settings.average else None
        optimizer = make_optimizer(groups, loss, settings.weight_decay)
        self.trainee = Trainee(model, loss, optimizer, average)
        self._objective = PairObjective(
            model,
            loss,
            self._worker.device,
            precision=settings.precision,
            views_weight=settings.views,
            chunk=settings.chunk,
            anchor=self._anchor(model) if settings.anchor else None,
            anchor_weight=settings.anchor,
            images_are_stored=settings.stored_views > 0,
        )
        compute_with(settings.threads, settings.seed)

    def _anchor(self, model: Any) -> "TextAnchor":
        """Everyday labels in a few wordings, held where the original has them."""
        from clipsearch.training.anchoring import DRAWN, anchor_to
        from clipsearch.training.losses import make_loss
        from clipsearch.training.objective import PairObjective

        device = self._worker.device
        settings = self._prepared.settings
        encoder = PairObjective(
            model, make_loss(settings.loss), device, precision=settings.precision
        )
        tokenize = self._prepared.seeing.tokenize
        # Beside a small batch as many as ever would be most of a step's work.
        drawn = min(DRAWN, 2 * settings.batch_size)
        return anchor_to(general_prompts(), tokenize, encoder.encode_text, device, drawn)

    def _make_batches(self) -> Any:
        from clipsearch.training.stored_views import StoredPairs

        parts = self._prepared.parts
        learned = parts.of(parts.learned)
        batches = self._batches_of(learned, self._worker.rank, self._worker.world)
        if not self._prepared.settings.stored_views:
            return batches
        return StoredPairs(batches, self._stored_views(learned))

    def _batches_of(self, photos: list[CaptionedPhoto], rank: int, world: int) -> "PairBatches":
        from clipsearch.photos.opening import open_photo
        from clipsearch.training.pair_batches import PairBatches

        settings = self._prepared.settings
        return PairBatches(
            photos,
            self._prepared.loaded.preprocess,
            self._prepared.seeing.tokenize,
            open_photo,
            batch_size=settings.batch_size,
            seed=settings.seed,
            two_views=settings.views > 0,
            prompts=template_set().prompts,
            workers=self._request.workers,
            rank=rank,
            world=world,
        )

    def _stored_views(self, learned: list[CaptionedPhoto]) -> Any:
        """What the locked image tower makes of each photo: computed once, by the first process."""
        from clipsearch.training.processes import first_says
        from clipsearch.training.stored_views import (
            encode_views,
            for_all_captions,
            read_views,
            write_views,
        )

        path, run = self._directory.views, self._prepared.fingerprint
        known = read_views(path, run) if self._leads else None
        if self._leads and known is None:
            batches = self._batches_of(for_all_captions(learned), 0, 1)
            device = self._worker.device
            views = encode_views(
                batches,
                lambda images: self._objective.encode_image(images.to(device)),
                len(learned),
                self._prepared.settings.stored_views,
                lambda done, total: self._progress("views", done, total),
            )
            write_views(path, views, run)
        known = read_views(path, first_says(run))
        assert known is not None
        return known

    def _make_pace(self, steps: int) -> "Pace":
        from clipsearch.training.fitting import Pace
        from clipsearch.training.losses import MAX_LOGIT_SCALE

        settings = self._prepared.settings
        scale = float(self.trainee.model.get_parameter("logit_scale").detach().max())
        return Pace(
            steps=steps,
            peak=settings.learning_rate,
            warmup=max(1, min(100, round(settings.warmup * steps))),
            gradient_clip=settings.gradient_clip,
            accumulate=settings.accumulate,
            # SigLIP models come with a larger one: it must not be cut by the first step.
            highest_scale=max(MAX_LOGIT_SCALE, scale),
        )

    def train(self) -> None:
        """All steps that are left, judged after each epoch."""
        from clipsearch.training.runs import Metrics

        self._take_up()
        if self._leads:
            self._metrics = Metrics(self._directory.metrics, ("score",), self.trainee.step)
            sizes = self._prepared.parts.sizes
            self._tell(Began(self._prepared.settings, sizes, self.trainee.step, self.pace.steps))
            self._tell(Judged(0, self._before.score, self._before.score_name, is_best=False))
        while True:
            at_end = self.trainee.step >= self.pace.steps
            epoch, inside = divmod(self.trainee.step, self._per_epoch)
            every = self._prepared.settings.judge_every
            if inside == 0 and epoch > 0 and (epoch % every == 0 or at_end):
                self._judge()
            if at_end:
                self.save()
                return
            self._fit_until((self.trainee.step // self._per_epoch + 1) * self._per_epoch)

    def _take_up(self) -> None:
        from clipsearch.training.states import load_state, newest_state

        newest = newest_state(self._directory.checkpoints)
        if newest is None:
            return
        expected = None if self._request.force or not self._leads else self._prepared.fingerprint
        load_state(newest, self.trainee, expected)
        self._saved = (self.trainee.step, len(self.trainee.evaluations))
        self._saved_at = time.monotonic()

    def _fit_until(self, until: int) -> None:
        from clipsearch.training.fitting import TrainingDivergedError, fit

        pairs, since, told = 0, time.monotonic(), 0.0
        began, began_at = self.trainee.step, time.monotonic()
        steps = fit(self.trainee, self._objective, self._batches, self.pace, until)
        try:
            for stepped in steps:
                pairs += stepped.pairs
                now = time.monotonic()
                if now - told >= TELL_SECONDS or stepped.step == until:
                    left = (now - began_at) / (stepped.step - began)
                    self._report(stepped, pairs / max(now - since, 1e-9), left)
                    pairs, since, told = 0, now, now
                if self._leads and now - self._saved_at >= self._request.save_seconds:
                    self.save()
        except TrainingDivergedError as error:
            raise self._named(error) from error
        except RuntimeError as error:
            raise _memory_or(error, self._prepared.settings) from error

    def _report(self, stepped: "Stepped", rate: float, seconds_a_step: float) -> None:
        if self._metrics is None:
            return
        epoch = stepped.step / self._per_epoch
        self._metrics.add(
            {
                "step": stepped.step,
                "epoch": epoch,
                "loss": stepped.loss,
                "learning_rate": stepped.learning_rate,
                "gradient_norm": stepped.gradient_norm,
                "logit_scale": stepped.logit_scale,
                "pairs_per_second": rate,
            }
        )
        if self._board is not None:
            figures = {"loss": stepped.loss, "learning rate": stepped.learning_rate}
            self._board.add(stepped.step, figures)
        left = (self.pace.steps - stepped.step) * seconds_a_step
        self._tell(
            Trained(
                stepped.step,
                self.pace.steps,
                epoch,
                stepped.loss,
                stepped.learning_rate,
                rate,
                left,
            )
        )

    def _judge(self) -> None:
        """Show the validation part to the weights, unless that was done; keep the best."""
        from clipsearch.training.distributed import average_statistics
        from clipsearch.training.states import save_weights
        from clipsearch.training.trainee import Evaluated, wearing

        failpoints.reach("before_judging")
        if any(each.step == self.trainee.step for each in self.trainee.evaluations):
            return
        average_statistics(self.trainee.model)
        if not self._leads:
            return
        with wearing(self.trainee):
            results = self._validation.measure(self.trainee.model, outlook=False)
        self.trainee.evaluations.append(Evaluated(self.trainee.step, {"score": results.score}))
        best = self.trainee.best()
        is_best = best is not None and best.step == self.trainee.step
        if is_best:
            save_weights(self._directory.best, self.trainee.weights(), self.trainee.step)
        epoch = self.trainee.step // self._per_epoch
        if self._metrics is not None:
            row = {"step": self.trainee.step, "epoch": epoch, "score": results.score}
            self._metrics.add(row)
        if self._board is not None:
            self._board.add(self.trainee.step, {results.score_name: results.score})
        beats = is_best and results.score > self._before.score
        self._tell(Judged(epoch, results.score, results.score_name, beats))

    def save(self) -> None:
        """Write down where the run stands, unless that is written down already."""
        from clipsearch.training.states import save_state

        now = (self.trainee.step, len(self.trainee.evaluations))
        if self._leads and self._saved != now:
            save_state(self._directory.checkpoints, self.trainee, self._prepared.fingerprint)
            self._saved, self._saved_at = now, time.monotonic()

    def finish(self) -> Outcome:
        """Choose between the original and what was learned, write the model and the report."""
        made = Made(
            request=self._request,
            directory=self._directory,
            settings=self._prepared.settings,
            trainee=self.trainee,
            per_epoch=self._per_epoch,
            trainable=self._prepared.loaded.trainable,
            captions=words_of_photos(self._prepared.parts.of(self._prepared.parts.learned)),
            validation=self._validation,
            test=self._test,
            before=self._before,
            test_before=self._test_before,
            retained=self._retained,
            retained_before=self._retained_before,
        )
        return finish(made, self._progress)

    def _named(self, error: Any) -> ClipsearchError:
        photos = self._prepared.parts.of(self._prepared.parts.learned)
        names = sorted({photos[number].source.name for number in error.photos})
        shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        return ClipsearchError(
            f"the {error.what} of step {error.step} is no number; the step was not applied. "
            f"Its photos: {shown}",
            "Look at them, or take a smaller --learning-rate; what was saved before is kept",
        )


def _memory_or(error: RuntimeError, settings: Settings) -> Exception:
    """What to say when memory ran out; any other error as it is."""
    text = str(error).lower()
    if "out of memory" not in text and "can't allocate memory" not in text:
        return error
    now = settings.chunk or settings.batch_size
    return ClipsearchError(
        f"there is not enough memory for {now} pairs at once",
        f"Add --chunk {max(1, math.ceil(now / 4))}: the same training in smaller parts; or "
        "--recompute. What was done is kept",
    )
