"""The loop that trains the starter: labelled photos in, weights out. Finetuning's is `fitting`."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clipsearch.training.augment import augment, normalise, some_without_colour
from clipsearch.training.averaging import MovingAverage
from clipsearch.training.batches import ConceptTruth, PhotoPool, TextBatch, TextSampler
from clipsearch.training.colours import ColourTexts, colour_truth
from clipsearch.training.distributed import average_gradients_and, world_size
from clipsearch.training.losses import (
    clamp_temperature,
    multi_positive_softmax,
    pairwise_sigmoid,
    symmetric_multi_positive_softmax,
)
from clipsearch.training.photo_mixing import Mixture, mix_photos, mixed_softmax
from clipsearch.training.prototypes import Prototypes
from clipsearch.training.schedule import SizeStage, size_at, warmup_cosine
from clipsearch.training.short_texts import encode_short_text
from clipsearch.training.teacher import Teacher, divergence

# Weights beside the softmax over captions, and over prototypes, which count 1.
_KINDS, _TAUGHT = 0.2, 2.0


class TrainingDivergedError(RuntimeError):
    """The loss is no longer a number; the last checkpoint is from before."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    `minutes`: the whole length by the clock, so that the learning rate reaches 0 on time on a busy
    machine; or `steps`, when that is given, for a repeatable run. `peak` learning rate; `warmup` as
    a share; `grad_clip` the largest gradient norm; `average_decay` for the exported weights.
    """

    minutes: float
    steps: int | None
    batch_size: int
    peak: float
    warmup: float
    weight_decay: float
    grad_clip: float
    average_decay: float
    sizes: tuple[SizeStage, ...]
    seed: int


class Losses(NamedTuple):
    """How a batch was judged, scalars: softmax over captions, softmax over prototypes, sigmoid of
    kinds and colours, softmax over the prototypes of mixed photos, divergence from the teacher, and
    the share of photos whose best caption is right."""

    captions: Tensor
    concepts: Tensor
    kinds: Tensor
    mixed: Tensor
    taught: Tensor
    accuracy: Tensor


@dataclass(frozen=True)
class Report:
    """Where a run stands: means since the last report; `rate` in photos a second, all workers."""

    step: int
    progress: float
    captions_loss: float
    concepts_loss: float
    kinds_loss: float
    mixed_loss: float
    taught_loss: float
    accuracy: float
    learning_rate: float
    size: int
    rate: float
    seconds_left: float
    photos_seen: int


class KindsHead(nn.Module):
    """Scale and bias of the sigmoid term (kinds and colours); used in training only, not exported.

    Starts as in SigLIP, with a bias that expects few matches.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.tensor(-5.0))

    def forward(self, cosines: Tensor) -> Tensor:
        """Logits of the same shape as the cosines."""
        return cosines * self.scale.exp() + self.bias


class Learner(nn.Module):
    """The model with its kinds head and its prototypes: everything that is trained."""

    def __init__(self, clip: nn.Module, prototypes: Prototypes) -> None:
        """`clip`: an open_clip CLIP model; `prototypes` of every concept that has photos."""
        super().__init__()
        self.clip = clip
        self.kinds = KindsHead()
        self.prototypes = prototypes

    def losses(self, batch: "Batch", judged: Tensor | None) -> Losses:
        """What a batch is judged by; `judged` [n, concepts] are a teacher's probabilities."""
        texts, shown = batch.texts, batch.shown
        # The towers alone in bfloat16: cosines in it would be no better than 1/256.
        with torch.autocast("cpu", dtype=torch.bfloat16):
            image = self.clip.encode_image(batch.images, normalize=True)  # type: ignore[operator]
            text = encode_short_text(self.clip, batch.tokens)
        image, text = image.float(), text.float()
        whole = len(texts.positive)
        cosines = image[:whole] @ text.T  # [whole, m]
        split = texts.concept_count
        logits = cosines[:, :split] * self.clip.get_parameter("logit_scale").exp()
        positive, ignored = texts.positive, texts.ignored
        contrastive = symmetric_multi_positive_softmax(
            logits, positive[:, :split], ignored[:, :split], text_to_image_weight=0.5
        )
        kinds = pairwise_sigmoid(
            self.kinds(cosines[:, split:]), positive[:, split:], ignored[:, split:]
        )
        concepts = self.prototypes(image)  # [n, concepts]
        of_concepts = multi_positive_softmax(
            concepts[:whole], shown.positive[:whole], shown.ignored[:whole]
        )
        mixed = mixed_softmax(concepts[whole:], shown.after(whole), batch.mixture)
        taught = divergence(judged, concepts) if judged is not None else torch.zeros(())
        best = logits.masked_fill(ignored[:, :split], -1e4).argmax(dim=1, keepdim=True)
        accuracy = positive[:, :split].gather(1, best).float().mean()
        return Losses(contrastive, of_concepts, kinds, mixed, taught, accuracy)


def make_optimizer(learner: nn.Module, weight_decay: float) -> torch.optim.AdamW:
    """AdamW without decay on biases, norms and scalars (Loshchilov and Hutter, ICLR 2019)."""
    decayed = [p for p in learner.parameters() if p.ndim >= 2]
    others = [p for p in learner.parameters() if p.ndim < 2]
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), eps=1e-6)


@dataclass(frozen=True)
class Batch:
    """One worker's share of a step.

    `images` [n, 3, size, size] normalised: first those that `texts` speaks of, then mixed ones;
    `tokens` [m, length], one row for each caption; `shown` [n, concepts] in the order of the
    prototypes, of mixed photos before they were mixed.
    """

    images: Tensor
    tokens: Tensor
    texts: TextBatch
    shown: ConceptTruth
    mixture: Mixture
    size: int


class BatchMaker:
    """Builds the batches of one worker; every draw depends on (seed, step, worker) alone."""

    def __init__(
        self,
        pool: PhotoPool,
        sampler: TextSampler,
        colours: ColourTexts,
        tokenize: Callable[[Sequence[str]], Tensor],
        schedule: Schedule,
        worker: int,
        workers: int,
    ) -> None:
        self._pool, self._tokenize = pool, tokenize
        self._sampler, self._colours = sampler, colours
        self._schedule, self._worker, self._workers = schedule, worker, workers
        self._orders: dict[int, NDArray[np.int64]] = {}

    def make(self, step: int, size: int) -> Batch:
        """The batch of step `step` at the given photo size in pixels."""
        epoch, indices = self._indices(step)
        photos = [self._pool.photo(int(i)) for i in indices]
        pixels = augment(photos, size, self._schedule.seed, epoch, indices)
        pixels = some_without_colour(pixels, self._schedule.seed, epoch, indices)
        rng = np.random.default_rng([self._schedule.seed, step, self._worker])
        concepts = self._pool.concepts[indices]
        whole = len(pixels) - len(pixels) // 2
        # Colours are judged as the photo is shown in this step: cropped, lightened or made grey.
        coloured = self._colours.draw(concepts[:whole], colour_truth(pixels[:whole]), rng)
        texts = self._sampler.draw(concepts[:whole], rng).and_colours(coloured)
        pixels[whole:], mixture = mix_photos(pixels[whole:], rng)
        images = normalise(pixels).contiguous(memory_format=torch.channels_last)
        shown = self._sampler.truth(concepts)
        return Batch(images, self._tokenize(texts.captions), texts, shown, mixture, size)

    def _indices(self, step: int) -> tuple[int, NDArray[np.int64]]:
        per_step = self._schedule.batch_size * self._workers
        steps_per_epoch = len(self._order(0)) // per_step
        epoch, position = divmod(step, steps_per_epoch)
        start = position * per_step + self._worker * self._schedule.batch_size
        return epoch, self._order(epoch)[start : start + self._schedule.batch_size]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._orders:
            keep_first = {0: self._orders[0]} if 0 in self._orders else {}
            self._orders = keep_first | {epoch: self._pool.epoch_order(self._schedule.seed, epoch)}
        return self._orders[epoch]


def train(
    learner: Learner,
    teacher: Teacher | None,
    average: MovingAverage,
    optimizer: torch.optim.Optimizer,
    batches: BatchMaker,
    schedule: Schedule,
    start: dict[str, int | float],
    report_every: int = 50,
) -> Iterator[Report]:
    """Train until the schedule ends, yielding a report every `report_every` steps.

    `teacher` judges every photo as it is shown; without one its loss is 0.
    With torch.distributed initialised, gradients are averaged over the workers, and so is the
    clock, so that all of them agree on the learning rate. `start` holds "step" and "seconds" of
    the checkpoint resumed from (0 and 0 for a new run). Raises TrainingDivergedError as soon as
    the loss or a gradient is not finite, before any weight changes.
    """
    step, seconds_before = int(start["step"]), float(start["seconds"])
    began = last_report = time.monotonic()
    workers = world_size()
    progress = _progress(schedule, step, seconds_before)
    parameters = [p for p in learner.parameters() if p.requires_grad]
    sums, steps_summed = torch.zeros(len(Losses._fields)), 0
    learner.train()
    with ThreadPoolExecutor(1) as ahead:
        upcoming = ahead.submit(batches.make, step, size_at(progress, schedule.sizes))
        while progress < 1.0:
            batch = upcoming.result()
            size = size_at(progress, schedule.sizes)
            upcoming = ahead.submit(batches.make, step + 1, size)
            learning_rate = warmup_cosine(progress, schedule.peak, schedule.warmup)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            values = _backward(learner, teacher, optimizer, batch)
            elapsed = seconds_before + time.monotonic() - began
            values, elapsed = _average_over_workers(parameters, values, elapsed)
            if not bool(torch.isfinite(values).all()):
                raise TrainingDivergedError(f"the loss is not finite at step {step}")
            norm = nn.utils.clip_grad_norm_(parameters, schedule.grad_clip)
            if not bool(norm.isfinite()):
                raise TrainingDivergedError(f"a gradient is not finite at step {step}")
            optimizer.step()
            clamp_temperature(learner.clip)
            clamp_temperature(learner.prototypes)
            average.update(learner)
            step += 1
            progress = _progress(schedule, step, elapsed)
            sums, steps_summed = sums + values, steps_summed + 1
            if step % report_every == 0 or progress >= 1.0:
                now = time.monotonic()
                captions, concepts, kinds, mixed, taught, accuracy = (sums / steps_summed).tolist()
                per_second = steps_summed / max(now - last_report, 1e-9)
                yield Report(
                    step, progress, captions, concepts, kinds, mixed, taught, accuracy,
                    learning_rate, batch.size,
                    per_second * schedule.batch_size * workers,
                    elapsed * (1 - progress) / max(progress, 1e-9),
                    step * schedule.batch_size * workers,
                )  # fmt: skip
                sums, steps_summed, last_report = torch.zeros_like(sums), 0, time.monotonic()


def _progress(schedule: Schedule, step: int, seconds: float) -> float:
    if schedule.steps is not None:
        return step / schedule.steps
    return seconds / (60 * schedule.minutes)


def _backward(
    learner: Learner, teacher: Teacher | None, optimizer: torch.optim.Optimizer, batch: Batch
) -> Tensor:
    """Gradients of one batch; returns its Losses as one tensor."""
    optimizer.zero_grad(set_to_none=True)
    judged = teacher.judge(batch.images) if teacher is not None else None
    losses = learner.losses(batch, judged)
    loss = losses.captions + losses.concepts + losses.mixed
    loss = loss + _KINDS * losses.kinds + _TAUGHT * losses.taught
    loss.backward()  # type: ignore[no-untyped-call]
    return torch.stack(losses).detach()


def _average_over_workers(
    parameters: Sequence[nn.Parameter], values: Tensor, elapsed: float
) -> tuple[Tensor, float]:
    """Average gradients in place, and the values and the clock, in one message."""
    if world_size() == 1:
        return values, elapsed
    means = average_gradients_and(parameters, torch.cat([values, torch.tensor([elapsed])]))
    return means[:-1], float(means[-1])
