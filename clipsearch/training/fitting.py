"""The training loop for pairs of photos and texts: batches in, better weights out.

A step is applied whole or not at all. Whatever stops the loop between two steps (Ctrl-C, a broken
photo, a loss that is no number) leaves the trainee as it was after the last whole step, so that it
can be saved and goes on later exactly as if nothing had happened.
"""

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from clipsearch.failpoints import reach
from clipsearch.training.distributed import average_gradients, world_size
from clipsearch.training.losses import MAX_LOGIT_SCALE, clamp_temperature
from clipsearch.training.pair_batches import PairBatch
from clipsearch.training.processes import of_all
from clipsearch.training.schedule import warmup_cosine
from clipsearch.training.sharding import clip_gradients
from clipsearch.training.stopping import signals_held
from clipsearch.training.trainee import Trainee
from clipsearch.training.tuning import TrainedGroup


class TrainingDivergedError(RuntimeError):
    """The loss or its gradient is no number. `photos` are the numbers of the batch's photos."""

    def __init__(self, what: str, step: int, photos: Sequence[int]) -> None:
        super().__init__(f"the {what} of step {step} is no number")
        self.what, self.step, self.photos = what, step, tuple(photos)


@dataclass(frozen=True)
class Pace:
    """How long and how fast: `steps` in all, `warmup` of them at the start with a rising rate.

    `peak`: the highest learning rate. `gradient_clip`: the largest gradient norm applied.
    `accumulate`: batches whose gradients are averaged into one step, each with negatives of its
    own (for more negatives use gradient caching instead). `highest_scale` bounds the logarithm of
    the temperature's inverse.
    """

    steps: int
    peak: float
    warmup: int
    gradient_clip: float = 1.0
    accumulate: int = 1
    highest_scale: float = MAX_LOGIT_SCALE


@dataclass(frozen=True)
class Stepped:
    """One step as it was applied; `pairs` in its batches over all processes."""

    step: int
    loss: float
    gradient_norm: float
    learning_rate: float
    logit_scale: float
    pairs: int


class Objective(Protocol):
    """What is to become small."""

    def backward(self, batch: PairBatch, share: float) -> Tensor:
        """Add the gradients of `share` times the batch's loss; the loss itself, detached."""


class Batches(Protocol):
    """The batches of a run, each by its number."""

    def iterate(self, first_step: int) -> Iterator[PairBatch]:
        """The batches from that number on, without end."""


def make_optimizer(
    groups: Sequence[TrainedGroup], loss: nn.Module, weight_decay: float
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, ICLR 2019) with CLIP's constants.

    A group's learning rate is its scale times that of the step; the loss's own parameters, a bias
    or a temperature, are never decayed.
    """
    described = [
        {
            "params": parameters,
            "weight_decay": weight_decay if group.decays else 0.0,
            "scale": group.learning_rate_scale,
        }
        for group in groups
        for parameters in _of_one_kind(group.parameters)
    ]
    own = list(loss.parameters())
    if own:
        described.append({"params": own, "weight_decay": 0.0, "scale": 1.0})
    # Fused: one pass over the weights with all threads, where torch's default takes six times as
    # long on a processor, a sixth of a step of 32 pairs of ViT-B-32.
    return torch.optim.AdamW(described, lr=0.0, betas=(0.9, 0.98), eps=1e-6, fused=True)


def _of_one_kind(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Those that are whole, and those shared out over processes: no fused step takes both."""
    kinds: dict[bool, list[nn.Parameter]] = {}
    for parameter in parameters:
        kinds.setdefault(isinstance(parameter, DTensor), []).append(parameter)
    return list(kinds.values())


def learning_rate(pace: Pace, step: int) -> float:
    """The rate of step `step`, counted from 0: never 0, neither first nor last."""
    progress = (step + 1) / (pace.steps + 1)
    return warmup_cosine(progress, pace.peak, pace.warmup / (pace.steps + 1))


def fit(
    trainee: Trainee,
    objective: Objective,
    batches: Batches,
    pace: Pace,
    until: int,
) -> Iterator[Stepped]:
    """Train from `trainee.step` to `until` steps, telling of each step after it was applied.

    With several processes each takes its part of every batch and all apply the same gradient.
    Raises TrainingDivergedError before the step that would have broken the weights, and what
    reading photos raises.
    """
    parameters = [p for group in trainee.optimizer.param_groups for p in group["params"]]
    with closing(_iterated(batches, trainee.step * pace.accumulate)) as upcoming:
        while trainee.step < until:
            before = _Untouched(trainee.model)
            applied = False
            try:
                trainee.optimizer.zero_grad(set_to_none=True)
                losses, photos = [], []
                for _ in range(pace.accumulate):
                    batch = next(upcoming)
                    photos += batch.indices.tolist()
                    losses.append(objective.backward(batch, 1 / pace.accumulate))
                reach("step_backward")
                loss = float(torch.stack(losses).mean())
                average_gradients(parameters)
                norm = clip_gradients(parameters, pace.gradient_clip)
                _require_numbers(loss, norm, trainee.step, photos)
                rate = learning_rate(pace, trainee.step)
                with signals_held():
                    _apply(trainee, rate, pace.highest_scale)
                    applied = True
            finally:
                if not applied:
                    before.restore()
            reach("step_applied")
            scale = float(trainee.model.get_parameter("logit_scale").detach().exp().max())
            yield Stepped(trainee.step, loss, norm, rate, scale, len(photos) * world_size())


def _iterated(batches: Batches, first: int) -> Generator[PairBatch]:
    # A generator of our own: `closing` wants a `close`, which not every iterator has.
    yield from batches.iterate(first)


def _require_numbers(loss: float, norm: float, step: int, photos: Sequence[int]) -> None:
    for what, value in (("loss", loss), ("gradient", norm)):
        if not math.isfinite(value):
            raise TrainingDivergedError(what, step, of_all(list(photos)))


@torch.no_grad()
def _apply(trainee: Trainee, rate: float, highest_scale: float) -> None:
    for group in trainee.optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    trainee.optimizer.step()
    clamp_temperature(trainee.model, highest_scale)
    trainee.step += 1
    if trainee.average is not None:
        trainee.average.update(trainee.model, trainee.step)


class _Untouched:
    """What a step changes before its gradients are applied: random numbers and buffers, which hold
    the running means of batch normalisation."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._random = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
        self._buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}

    @torch.no_grad()
    def restore(self) -> None:
        torch.set_rng_state(self._random)
        if self._cuda is not None:
            torch.cuda.set_rng_state(self._cuda)
        for name, buffer in self._model.named_buffers():
            buffer.copy_(self._buffers[name])
