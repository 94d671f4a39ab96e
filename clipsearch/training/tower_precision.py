"""Whether a model's towers are trained faster in bfloat16 here."""

import torch
from torch import Tensor, nn

from clipsearch.training.losses import make_loss
from clipsearch.training.objective import PairObjective
from clipsearch.training.precision import MeasuredPrecision, Precision, measure_precision


def measure_towers(
    model: nn.Module, size: tuple[int, int], tokens: Tensor, device: torch.device
) -> MeasuredPrecision:
    """Time both towers, forward and backward, on this device.

    `size` (height, width) of photos, `tokens` [n, length] of as many captions. Pixels have no
    meaning: any take as long. Parameters that take gradients are those to be trained. To be called
    by one process alone.
    """
    photos = torch.zeros(len(tokens), 3, *size, device=device)
    tokens = tokens.to(device)

    def step(precision: Precision) -> None:
        # Not the run's loss, which all processes compute together.
        towers = PairObjective(model, make_loss("unicl"), device, precision=precision)
        value = towers.encode_image(photos).mean() + towers.encode_text(tokens).mean()
        torch.autograd.backward(value)

    return measure_precision(model, step, device)
