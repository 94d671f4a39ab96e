"""Checkpoints: safetensors written whole or not at all, the last two kept, resumable."""

import json
import os
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from clipsearch.errors import DamageError
from clipsearch.training.averaging import MovingAverage
from clipsearch.training.flat_states import optimizer_tensors, restore_optimizer, under
from clipsearch.training.tensor_files import verify, write_tensors

_KEPT = 2
_PATTERN = "step-*.safetensors"


def save_checkpoint(
    folder: str | os.PathLike[str],
    position: dict[str, int | float],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage,
) -> Path:
    """Write model, average, optimiser state and `position` (which must hold "step") to a file.

    The file appears under its name only when complete and on disk; older ones beyond the last two
    are then removed. Raises ValueError, and writes nothing, when a weight is not finite.
    """
    tensors = _tensors(model, optimizer, average)
    broken = [name for name, t in tensors.items() if not bool(torch.isfinite(t.float()).all())]
    if broken:
        raise ValueError(f"not saved: {broken[0]} is not finite")
    target = Path(folder) / f"step-{int(position['step']):08d}.safetensors"
    note = {"position": json.dumps(position), "average_steps": str(average.steps)}
    write_tensors(target, tensors, note)
    for old in sorted(target.parent.glob(_PATTERN))[:-_KEPT]:
        old.unlink()
    return target


def latest_checkpoint(folder: str | os.PathLike[str]) -> Path | None:
    """The newest complete checkpoint, or None."""
    found = sorted(Path(folder).glob(_PATTERN))
    return found[-1] if found else None


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, average: MovingAverage
) -> dict[str, int | float]:
    """Restore everything that save_checkpoint wrote, in place; returns the position.

    Raises DamageError when the file cannot be read or belongs to another model.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            note = stored.metadata()
            if "sha256" in note:
                verify(path)
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        model.load_state_dict(under(tensors, "model."))
        average.shadow.load_state_dict(under(tensors, "average."))
        restore_optimizer(optimizer, under(tensors, "optimizer."))
        average.steps = int(note["average_steps"])
        position: dict[str, int | float] = json.loads(note["position"])
    except Exception as error:
        raise DamageError(
            f"{path} cannot be used as a checkpoint ({error})", "Delete it to use the one before"
        ) from error
    return position


def _tensors(
    model: nn.Module, optimizer: torch.optim.Optimizer, average: MovingAverage
) -> dict[str, Tensor]:
    tensors = {f"model.{name}": t for name, t in model.state_dict().items()}
    tensors |= {f"average.{name}": t for name, t in average.shadow.state_dict().items()}
    tensors |= {f"optimizer.{name}": t for name, t in optimizer_tensors(optimizer).items()}
    return {name: t.detach().clone() for name, t in tensors.items()}
