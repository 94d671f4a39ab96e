"""bfloat16 where it pays: decided by measuring steps on this machine, not by its name."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from statistics import median
from typing import Literal

import torch
from torch import nn

Precision = Literal["fp32", "bf16"]
_GAIN = 1.1  # less is within the noise of a busy machine, and fp32 is the safer of two equals


@dataclass(frozen=True)
class MeasuredPrecision:
    """`precision` is the faster by a tenth or more, else fp32; seconds a step of each."""

    precision: Precision
    fp32_seconds: float
    bf16_seconds: float


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context for encoding: autocast to bfloat16, or nothing.

    Losses belong outside, in float32. Weights, gradients and the optimiser stay in float32.
    """
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def measure_precision(
    model: nn.Module,
    step: Callable[[Precision], object],
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
    repeats: int = 2,
) -> MeasuredPrecision:
    """Time `step` (forward and backward of one batch, no optimiser) in both precisions.

    Each is run once unmeasured, then `repeats` times in turns; medians are compared. Afterwards
    the model's buffers and torch's random numbers are as before, and gradients are cleared. The
    answer belongs into the run's record: resumed, a run must go on in the precision it began in.
    """
    buffers = [buffer.clone() for buffer in model.buffers()]
    seconds: dict[Precision, list[float]] = {"fp32": [], "bf16": []}
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for turn in range(repeats + 1):
            for precision, times in seconds.items():
                began = _now(device, clock)
                step(precision)
                elapsed = _now(device, clock) - began
                model.zero_grad(set_to_none=True)
                if turn > 0:  # the first compiles, allocates and reads from disk
                    times.append(elapsed)
    with torch.no_grad():
        for buffer, before in zip(model.buffers(), buffers, strict=True):
            buffer.copy_(before)
    return decide({precision: median(times) for precision, times in seconds.items()})


def decide(seconds: dict[Precision, float]) -> MeasuredPrecision:
    """The faster by a tenth or more, else fp32."""
    pays = seconds["fp32"] >= _GAIN * seconds["bf16"]
    return MeasuredPrecision("bf16" if pays else "fp32", seconds["fp32"], seconds["bf16"])


def _now(device: torch.device, clock: Callable[[], float]) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock()
