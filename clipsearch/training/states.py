"""Checkpoints of a run: all that it takes to go on as if it had never stopped.

One safetensors file: the trained tensors, the loss's own, the optimizer's moments, the average, and
the state of the random numbers; in its note the step and the evaluations so far. It holds numbers
only, and is verified by its SHA-256 before anything of it is used.
"""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from clipsearch.errors import ClipsearchError, DamageError
from clipsearch.training.distributed import rank
from clipsearch.training.flat_states import optimizer_tensors, restore_optimizer, under
from clipsearch.training.sharding import shared_as, whole
from clipsearch.training.tensor_files import read_tensors, write_tensors
from clipsearch.training.trainee import Evaluated, Trainee, put, trained_tensors

PATTERN = "step-*.safetensors"
_KEPT = 2
_FORMAT = 1
_ANOTHER = "Delete it, or start anew with another --out"


class NotFiniteError(ClipsearchError):
    """A weight is no number: nothing is written over what was saved before."""


def save_state(folder: Path, trainee: Trainee, run: str) -> Path:
    """Write a checkpoint of the run named by the fingerprint `run`; the last two are kept.

    To be called by the first process, which writes it; by all together when weights are shared out
    over them. Raises NotFiniteError, and writes nothing, when a weight is not finite, and OSError
    when the disk is full: the checkpoints before are untouched.
    """
    target = folder / f"step-{trainee.step:08d}.safetensors"
    tensors = whole(_tensors(trainee))
    if rank() > 0:
        return target
    refuse_non_finite(tensors)
    note = {
        "format": _FORMAT,
        "run": run,
        "step": trainee.step,
        "evaluations": [asdict(each) for each in trainee.evaluations],
    }
    write_tensors(target, tensors, {"state": json.dumps(note)})
    for old in sorted(folder.glob(PATTERN))[:-_KEPT]:
        old.unlink()
    return target


def newest_state(folder: Path) -> Path | None:
    """The newest complete checkpoint, or None: unfinished ones have another name."""
    return max(folder.glob(PATTERN), default=None)


def load_state(path: Path, trainee: Trainee, run: str | None) -> None:
    """Put everything that `save_state` wrote back in place, random numbers included.

    `run` is the fingerprint it must have been saved with; None takes that of any run. Raises
    DamageError when the file cannot be read or belongs to another run.
    """
    tensors, note = read_tensors(path)
    try:
        state = json.loads(note["state"])
        if state["format"] != _FORMAT or run not in (None, state["run"]):
            raise DamageError(f"{path} is a checkpoint of another run", _ANOTHER)
        put(trainee.model, under(tensors, "model."))
        trainee.loss.load_state_dict(under(tensors, "loss."))
        if trainee.average is not None:
            stored = under(tensors, "average.")
            for name, tensor in trainee.average.tensors.items():
                tensor.copy_(shared_as(stored[name], tensor))
        restore_optimizer(trainee.optimizer, under(tensors, "optimizer."))
        trainee.step = int(state["step"])
        trainee.evaluations = [Evaluated(**each) for each in state["evaluations"]]
        _restore_random(under(tensors, "random."))
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DamageError(f"{path} is no checkpoint of this run ({reason})", _ANOTHER) from error


def save_weights(target: Path, weights: dict[str, Tensor], step: int) -> None:
    """Write the weights kept so far, and after how many steps they were such.

    Raises as `save_state` does.
    """
    refuse_non_finite(weights)
    write_tensors(target, weights, {"step": str(step)})


def load_weights(path: Path) -> tuple[dict[str, Tensor], int]:
    """What `save_weights` wrote: the weights, and after how many steps they were such.

    Raises DamageError when the file cannot be read.
    """
    tensors, note = read_tensors(path)
    try:
        return tensors, int(note["step"])
    except (KeyError, ValueError) as error:
        raise DamageError(f"{path} does not say which weights it holds", _ANOTHER) from error


def refuse_non_finite(tensors: dict[str, Tensor]) -> None:
    """Raise NotFiniteError, naming the first tensor that holds NaN or infinity."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise NotFiniteError(
                f"not saved: {name} holds values that are no numbers",
                "What was saved before is kept; try a smaller --learning-rate",
            )


def _tensors(trainee: Trainee) -> dict[str, Tensor]:
    tensors = {f"model.{name}": t for name, t in trained_tensors(trainee.model).items()}
    tensors |= {f"loss.{name}": t for name, t in trainee.loss.state_dict().items()}
    if trainee.average is not None:
        tensors |= {f"average.{name}": t for name, t in trainee.average.tensors.items()}
    tensors |= {f"optimizer.{n}": t for n, t in optimizer_tensors(trainee.optimizer).items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    return tensors


def _restore_random(states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
