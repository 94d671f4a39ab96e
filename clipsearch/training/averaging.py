"""Exponential moving average of a model's weights (Polyak averaging)."""

import copy

import torch
from torch import nn


class MovingAverage:
    """`shadow` is a copy of the model that follows it slowly; it is what gets exported."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """`decay` in 0..1: the share of the old average kept at each step."""
        self.decay = decay
        self.steps = 0
        self.shadow = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards the model; early on by more, so that the first weights are forgotten."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        # Only what is stored: a causal mask holds infinities, whose average is not a number.
        theirs_by_name = model.state_dict()
        pairs = [(mine, theirs_by_name[name]) for name, mine in self.shadow.state_dict().items()]
        floats = [(mine, theirs) for mine, theirs in pairs if mine.is_floating_point()]
        torch._foreach_lerp_(
            [mine for mine, _ in floats], [theirs for _, theirs in floats], 1 - decay
        )
        for mine, theirs in pairs:
            if not mine.is_floating_point():
                mine.copy_(theirs)
