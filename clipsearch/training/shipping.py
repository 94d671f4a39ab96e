"""The finished weights, in the precision in which the original came."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from clipsearch.training.states import refuse_non_finite
from clipsearch.training.tensor_files import write_tensors


def write_weights(target: Path, weights: Mapping[str, Tensor], like: Path) -> None:
    """Write an open_clip model's weights, each tensor as `like` holds it, a safetensors file that
    need not be there.

    Raises NotFiniteError when one is no number, and OSError.
    """
    dtypes = _dtypes(like)
    cast = {name: tensor.to(dtypes.get(name, tensor.dtype)) for name, tensor in weights.items()}
    refuse_non_finite(cast)
    write_tensors(target, cast, {"format": "pt"})


def _dtypes(path: Path) -> dict[str, torch.dtype]:
    """The floating-point types of a safetensors file by name; none where there is no such file."""
    if not path.is_file():
        return {}
    known = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}
    with safe_open(path, framework="pt") as stored:
        types = {name: stored.get_slice(name).get_dtype() for name in stored.keys()}  # noqa: SIM118
    return {name: known[kind] for name, kind in types.items() if kind in known}


def copy_of_state(model: nn.Module) -> dict[str, Tensor]:
    """The model's weights as they are now, on the processor."""
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def hold_norms(model: nn.Module) -> None:
    """Let batch normalisation use its running means and not change them.

    The means of a few photos are noise, and a model fine-tuned with them is another one when it is
    used. To be called after `model.train()`.
    """
    for part in model.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()


def parameter_count(model: nn.Module) -> int:
    """How many numbers a model consists of."""
    return sum(parameter.numel() for parameter in model.parameters())
