"""Learning rate and photo size as functions of progress, 0 at the start and 1 at the end."""

import math
from dataclasses import dataclass


def warmup_cosine(progress: float, peak: float, warmup: float) -> float:
    """Learning rate: linear up to `peak` over the share `warmup`, then half a cosine down to 0.

    Source: Loshchilov and Hutter, "SGDR", ICLR 2017, equation 5, without restarts.
    `progress` is clamped to 0..1; `warmup` in 0..1.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < warmup:
        return peak * progress / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


@dataclass(frozen=True)
class SizeStage:
    """Photos are `size` pixels wide and high until progress reaches `until`."""

    until: float
    size: int


def size_at(progress: float, stages: tuple[SizeStage, ...]) -> int:
    """The photo size in force: that of the first stage not yet over, else of the last."""
    for stage in stages:
        if progress < stage.until:
            return stage.size
    return stages[-1].size
