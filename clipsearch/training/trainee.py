"""A model in training, with everything that a run has to remember to go on from where it stands."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from clipsearch.training.sharding import shared_as

# Tensors by their names in a model.
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Evaluated:
    """What the validation part said after `step` steps. `figures` by name, the first decides."""

    step: int
    figures: dict[str, float]

    @property
    def decisive(self) -> float:
        """The figure that runs are compared by: higher is better."""
        return next(iter(self.figures.values()))


@dataclass
class Trainee:
    """`model` and `loss` learn by `optimizer`; `average` follows the model where that is wanted.

    `step` counts the steps applied so far. `evaluations` are those made so far, in order.
    """

    model: nn.Module
    loss: nn.Module
    optimizer: torch.optim.Optimizer
    average: "TrainedAverage | None" = None
    step: int = 0
    evaluations: list[Evaluated] = field(default_factory=list)

    def weights(self) -> Weights:
        """What is judged and kept: the average where there is one, else the model's own weights."""
        return trained_tensors(self.model) if self.average is None else self.average.tensors

    def best(self) -> Evaluated | None:
        """The best evaluation so far, the earliest of equal ones."""
        return max(self.evaluations, key=lambda each: (each.decisive, -each.step), default=None)


def trained_tensors(model: nn.Module) -> Weights:
    """The tensors of a model that training changes: trained parameters and stored buffers.

    Frozen parameters are those of the model that the run began with.
    """
    return {
        name: tensor.detach()
        for name, tensor in model.state_dict(keep_vars=True).items()
        if not isinstance(tensor, nn.Parameter) or tensor.requires_grad
    }


@torch.no_grad()
def put(model: nn.Module, weights: Weights) -> None:
    """Copy trained tensors, whole ones, into a model in place.

    Raises KeyError when they are another model's.
    """
    mine = trained_tensors(model)
    if mine.keys() != weights.keys():
        raise KeyError(f"other tensors: {sorted(mine.keys() ^ weights.keys())[:3]}")
    for name, tensor in mine.items():
        if tensor.shape != weights[name].shape:
            raise KeyError(f"another shape: {name}")
        tensor.copy_(shared_as(weights[name], tensor))


class TrainedAverage:
    """Exponential moving average of the trained tensors (Polyak averaging)."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """`decay` in 0..1: the share of the old average kept at each step."""
        self.decay = decay
        self.tensors = {name: t.clone() for name, t in trained_tensors(model).items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model after `step` steps; early on by more than later."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, theirs in trained_tensors(model).items():
            if theirs.is_floating_point():
                self.tensors[name].lerp_(theirs, 1 - decay)
            else:
                self.tensors[name].copy_(theirs)


@contextmanager
def wearing(trainee: Trainee) -> Iterator[None]:
    """The model with the weights that are judged and kept; inside, nothing may be trained."""
    if trainee.average is None:
        yield
        return
    own = {name: tensor.clone() for name, tensor in trained_tensors(trainee.model).items()}
    put(trainee.model, trainee.average.tensors)
    try:
        yield
    finally:
        put(trainee.model, own)
