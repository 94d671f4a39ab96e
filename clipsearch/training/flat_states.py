"""The states of models and optimizers as one flat list of named tensors, for a file of tensors."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from clipsearch.training.sharding import shared_as


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimizer remembers of each parameter, as NUMBER.NAME; its settings are left out."""
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, flat: Mapping[str, Tensor]) -> None:
    """Let it remember what `optimizer_tensors` gave, whole, instead of what it does."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, value in flat.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = shared_as(value, parameters[int(index)])
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
