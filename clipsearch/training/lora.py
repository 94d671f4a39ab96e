"""LoRA: small low-rank changes are learned beside frozen weights, and added to them at the end.

    W' = W + alpha / r * B A,   A [r, in] random, B [out, r] zero at first

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, section 4.1.
Done by torch's parametrizations, because open_clip's attention keeps q, k and v in one fused
`in_proj_weight` and hands `out_proj.weight` to a fused kernel: there is no layer call to wrap, but
there is a weight to compute.

What a parametrization cannot do: drop inputs row by row (see LowRankChange); do without W' as a
matrix, of which one copy is kept from the forward to the backward pass; and skip the gradient of
W', which is computed on the way to A and B and then thrown away. It saves the memory of gradients
and optimiser and what has to be stored.
"""

import math
from collections.abc import Collection, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils import parametrize

_SEPARATE = ("q_proj_weight", "k_proj_weight", "v_proj_weight")


class LowRankChange(nn.Module):
    """The weight with its low-rank change added.

    Dropout differs from the paper's in one point. There each row of the layer's input loses
    random features on its way into A; a parametrization sees weights and never inputs, so here
    one draw of features is dropped from A for all rows of a forward pass.
    """

    def __init__(self, weight: Tensor, parts: int, rank: int, alpha: float, dropout: float) -> None:
        """`weight` [rows, ...]; `parts` equal shares of its rows (q, k, v) get their own A and B.

        `rank` >= 1; the change is scaled by `alpha` / `rank`; `dropout` in 0 .. 1.
        """
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        self.down = nn.Parameter(weight.new_empty(parts, rank, columns))
        self.up = nn.Parameter(weight.new_zeros(parts, rows // parts, rank))
        for part in self.down.data:
            nn.init.kaiming_uniform_(part, a=math.sqrt(5))  # as a linear layer starts
        self.scale = alpha / rank
        self.dropout = dropout

    def forward(self, weight: Tensor) -> Tensor:
        """Same shape as `weight`."""
        kept = torch.ones_like(self.down[0, 0])  # [columns]
        down = self.down * dropout(kept, self.dropout, self.training)  # [parts, rank, columns]
        # In full precision under autocast too: what is trained is what will be merged.
        with torch.autocast(weight.device.type, enabled=False):
            change = torch.bmm(self.up, down).reshape(weight.shape)
        return weight + self.scale * change


def install_lora(
    model: nn.Module, names: Collection[str], rank: int, alpha: float, dropout: float
) -> list[str]:
    """Give the matrices among the parameters `names` a low-rank change each.

    Matrices are the weights of linear layers, of convolutions (as [out, in * height * width]) and
    of fused attention (q, k and v each with a change of its own). One too small for a change of
    `rank` to be smaller than itself is left alone. Returns the names of the changed ones, as they
    were before.
    """
    chosen = [
        (module, f"{prefix}.{name}", name, parts)
        for prefix, module in model.named_modules()
        for name, parts in _matrices(prefix, module)
        if f"{prefix}.{name}" in names
    ]
    changed = []
    for module, full_name, name, parts in chosen:
        weight = module.get_parameter(name)
        rows, columns = weight.shape[0], weight[0].numel()
        if rank * (parts * columns + rows) >= weight.numel():
            continue
        change = LowRankChange(weight.detach(), parts, rank, alpha, dropout)
        change.train(module.training)
        parametrize.register_parametrization(module, name, change)
        changed.append(full_name)
    return changed


def _matrices(prefix: str, module: nn.Module) -> Iterator[tuple[str, int]]:
    """Names of a module's own matrices, and in how many parts each is to be changed."""
    if isinstance(module, nn.Linear):
        fused = prefix.endswith("qkv") and module.out_features == 3 * module.in_features
        yield "weight", 3 if fused else 1
    elif isinstance(module, nn.Conv2d):
        yield "weight", 1
    elif module._parameters.get("in_proj_weight") is not None:
        yield "in_proj_weight", 3
    else:
        for name in _SEPARATE:
            if module._parameters.get(name) is not None:
                yield name, 1


def lora_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The A ("down") and B ("up") of every change, by name: all that needs to be stored."""
    return {
        f"{prefix}.{name}": parameter
        for prefix, module in model.named_modules()
        if isinstance(module, LowRankChange)
        for name, parameter in module.named_parameters()
    }


def merge_lora(model: nn.Module) -> None:
    """Add every change to its weight and take it away, in place.

    The model computes what it did in evaluation mode, with plain weights under their old names.
    """
    for module in list(model.modules()):
        if not parametrize.is_parametrized(module):
            continue
        for name in list(module.parametrizations):  # type: ignore[arg-type]
            changes = module.get_submodule(f"parametrizations.{name}")
            if any(isinstance(change, LowRankChange) for change in changes.children()):
                changes.eval()  # without dropout
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
