"""FSDP: a model too large to be trained on one device, its weights shared out over all of them.

Each process keeps a share of every weight, of its gradient and of the optimiser's state, and
collects a block's weights only while that block computes. Source: Zhao et al., "PyTorch FSDP:
Experiences on Scaling Fully Sharded Data Parallel", VLDB 2023, in torch's composable form
(`fully_shard`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from clipsearch.training.distributed import rank, world_size
from clipsearch.training.tuning import TrainedGroup


def share_out(model: nn.Module, groups: Sequence[TrainedGroup]) -> list[TrainedGroup]:
    """Share out an open_clip model's weights over the processes, block by block, in place.

    To be called after `prepare` (tuning.py), which gave `groups`, and before the optimiser is made:
    parameters become shares of what they were. Returns the groups of these. `encode_image` and
    `encode_text` work as before, as long as all processes call them together; gradients of shared
    weights are averaged as they arise. The temperature and its bias have no dimension to share out
    and stay whole.
    """
    names = {parameter: name for name, parameter in model.named_parameters()}
    members = [[names[parameter] for parameter in group.parameters] for group in groups]
    _wrap(model)
    shares = dict(model.named_parameters())
    return [
        replace(group, parameters=tuple(shares[name] for name in own))
        for group, own in zip(groups, members, strict=True)
    ]


def _wrap(model: nn.Module) -> None:
    mesh = init_device_mesh(next(model.parameters()).device.type, (world_size(),))
    scalars = {parameter for parameter in model.parameters() if parameter.ndim == 0}
    for block in list(_blocks(model)):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh, ignored_params=scalars)
    for method in ("encode_image", "encode_text"):
        register_fsdp_forward_method(model, method)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Transformer blocks, residual blocks: what the model keeps in lists and sequences."""
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.Sequential):
            yield from (b for b in child.children() if any(True for _ in b.parameters()))
        else:
            yield from _blocks(child)


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors put together on the processor where they are shared out, and as they are elsewhere.

    The first process gets them, the others nothing. All must call it together when anything is
    shared out.
    """
    kept: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        together = tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor
        if rank() == 0:
            kept[name] = together
    return kept


def shared_as(values: Tensor, like: Tensor) -> Tensor:
    """This process's share of whole `values`, if `like` is shared out and of their shape."""
    if not isinstance(like, DTensor) or isinstance(values, DTensor) or like.shape != values.shape:
        return values
    return distribute_tensor(
        values.to(like.device), like.device_mesh, like.placements, src_data_rank=None
    )


@torch.no_grad()
def clip_gradients(parameters: Sequence[nn.Parameter], most: float) -> float:
    """Make the norm of all gradients together at most `most`; what it was.

    As torch's `clip_grad_norm_`, which does not take gradients of which some are shared out.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    shares = [gradient.to_local() for gradient in gradients if isinstance(gradient, DTensor)]
    if not shares:
        return float(nn.utils.clip_grad_norm_(parameters, most))
    alike = [gradient for gradient in gradients if not isinstance(gradient, DTensor)]
    squares = torch.stack([share.square().sum() for share in shares]).sum()
    dist.all_reduce(squares)
    squares += torch.stack([torch.zeros_like(squares), *(g.square().sum() for g in alike)]).sum()
    norm = float(squares.sqrt())
    if norm > most:
        for gradient in (*shares, *alike):
            gradient.mul_(most / (norm + 1e-6))
    return norm
