"""FSDP: a model too large for one device, its weights shared out over all of them.

Each process keeps a share of every weight and of the optimiser's state, and collects a block's
weights only while that block computes. Source: Zhao et al., "PyTorch FSDP: Experiences on Scaling
Fully Sharded Data Parallel", VLDB 2023, in torch's composable form (`fully_shard`).
"""

from collections.abc import Iterator
from typing import cast

from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

from clipsearch.training.distributed import average_gradients, world_size


def wrap_fsdp(model: nn.Module) -> nn.Module:
    """Share out an open_clip model's weights over the processes, block by block, in place.

    To be called after `prepare` (tuning.py) and before the optimiser is made, since parameters
    become shares of what they were. `encode_image` and `encode_text` work as before; gradients
    of shared weights are averaged by FSDP as they arise, those of `scalar_parameters` by
    `average_scalars` after the backward pass. Returns the model.
    """
    device = next(model.parameters()).device.type
    mesh = init_device_mesh(device, (world_size(),))
    scalars = set(scalar_parameters(model))
    for block in list(_blocks(model)):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh, ignored_params=scalars)
    for method in ("encode_image", "encode_text"):
        register_fsdp_forward_method(model, method)
    return model


def scalar_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Parameters without a dimension to share out: the temperature and its bias."""
    return [parameter for parameter in model.parameters() if parameter.ndim == 0]


def average_scalars(model: nn.Module) -> None:
    """Average the gradients of `scalar_parameters`, which FSDP leaves alone."""
    average_gradients(scalar_parameters(model))


def whole_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """The full weights under their plain names, on the CPU; rank 0 gets them, others nothing.

    All processes must call it together.
    """
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return cast("dict[str, Tensor]", get_model_state_dict(model, options=options))


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Transformer blocks, residual blocks: what the model keeps in lists and sequences."""
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.Sequential):
            yield from (b for b in child.children() if any(True for _ in b.parameters()))
        else:
            yield from _blocks(child)
