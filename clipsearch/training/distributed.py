"""Data parallel training over processes: one loss over all features, one gradient.

Each process takes its share of every batch, gathers everybody's features, computes the loss of
the whole batch, and averages gradients: the step that one process would take.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


def world_size() -> int:
    """How many processes train together; 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This process's number among them, 0 the first; 0 without torch.distributed."""
    return dist.get_rank() if dist.is_initialized() else 0


def gather_rows(rows: Tensor) -> Tensor:
    """The rows of all processes [world * n, ...], in the order of their ranks, with gradients.

    `rows` [n, ...], the same shape everywhere; features and also ids. The gradient that arrives
    at a process's rows is the sum of what all processes' losses send there: with the same loss of
    all rows computed everywhere, `average_gradients` then gives that loss's gradient, towers and
    temperature alike. open_clip's `gather_features` does the same by means that torch has
    deprecated.
    """
    if world_size() == 1:
        return rows
    gathered: Tensor = _GatherRows.apply(rows)
    return gathered


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over all processes, in one message.

    The parameters are the same everywhere, in the same order and on one device. One that got a
    gradient in some process counts as zero where it got none; one without any stays without, as
    it would in one process. Gradients of shared-out weights (sharding.py) are averaged already.
    """
    average_gradients_and(parameters, torch.empty(0))


@torch.no_grad()
def average_gradients_and(parameters: Iterable[nn.Parameter], figures: Tensor) -> Tensor:
    """As `average_gradients`, with some figures [k] in the same message; their means [k]."""
    world = world_size()
    trained = [p for p in parameters if p.requires_grad and not isinstance(p, DTensor)]
    if world == 1 or not trained:
        return figures
    device = trained[0].device
    given = torch.tensor([float(p.grad is not None) for p in trained], device=device)
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in trained]
    flat = torch.cat([figures.to(device), given, *(g.reshape(-1) for g in gradients)])
    dist.all_reduce(flat)
    sizes = [len(figures), len(trained), *(g.numel() for g in gradients)]
    totals, counts, *sums = torch.split(flat, sizes)
    for parameter, gradient, count, total in zip(
        trained, gradients, counts.tolist(), sums, strict=True
    ):
        if count > 0:
            # Copied, not assigned: the gradient keeps the memory layout of its parameter.
            gradient.copy_((total / world).view(gradient.shape))
            parameter.grad = gradient
    return (totals / world).to(figures)


@torch.no_grad()
def average_statistics(model: nn.Module) -> None:
    """Replace the running mean and variance of batch norms by their mean over all processes.

    Each process normalises by its own share of a batch and follows its own statistics; before a
    model is saved or measured they are brought together. (A batch norm therefore trains as with
    the smaller batch: the one part of a model for which two processes are not one.)
    """
    world = world_size()
    if world == 1:
        return
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            dist.all_reduce(buffer)
            buffer /= world
