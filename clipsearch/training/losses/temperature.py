"""The learnable temperature: a model stores ln(1 / temperature) as `logit_scale`."""

import math

import torch
from torch import nn

MAX_LOGIT_SCALE = math.log(100)  # as in the CLIP paper: a larger one makes training unstable


@torch.no_grad()
def clamp_temperature(model: nn.Module, highest: float = MAX_LOGIT_SCALE) -> None:
    """Put the model's `logit_scale` back into 0 .. `highest`; to be called after each step.

    Source: Radford et al., "Learning Transferable Visual Models", ICML 2021, section 2.5, and
    open_clip's training script, for every loss it offers.
    """
    model.get_parameter("logit_scale").clamp_(0, highest)
