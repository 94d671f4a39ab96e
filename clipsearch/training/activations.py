"""Activation checkpointing: what a block computed is thrown away and computed again when needed.

Costs about one more forward pass, saves most of the memory of training; gradients are the same.
Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016.
"""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def recompute_activations(model: nn.Module) -> tuple[str, ...]:
    """Switch it on in the towers of an open_clip model that offer it; returns which.

    "visual" and "text", either or both. A tower with batch norms in training is left out:
    computed twice, their running statistics would move twice. open_clip's ModifiedResNet takes
    the switch and ignores it.
    """
    text = model.get_submodule("text") if "text" in model._modules else model
    towers = {"visual": model.get_submodule("visual"), "text": text}
    return tuple(name for name, tower in towers.items() if _switch_on(tower))


def _switch_on(tower: nn.Module) -> bool:
    """Whether the tower could be told to."""
    body = tower._modules.get("transformer") or tower._modules.get("trunk")
    if body is None or any(isinstance(p, _BatchNorm) and p.training for p in body.modules()):
        return False
    if hasattr(body, "resblocks"):  # open_clip's transformers
        body.grad_checkpointing = True  # type: ignore[assignment]
        return True
    try:
        _switch_on_foreign(body)
    except (AssertionError, ValueError):  # how timm and transformers say that they cannot
        return False
    return True


def _switch_on_foreign(body: nn.Module) -> None:
    """Of timm, or of transformers under its new name or its old one."""
    if hasattr(body, "set_grad_checkpointing"):
        body.set_grad_checkpointing(True)  # type: ignore[operator]
        return
    # The reentrant kind, which transformers 4 takes unasked, loses the gradients of a block whose
    # input needs none: of the first above frozen embeddings.
    not_reentrant = {"use_reentrant": False}
    if hasattr(body, "activation_checkpointing_enable"):
        body.activation_checkpointing_enable(not_reentrant)  # type: ignore[operator]
    else:
        body.gradient_checkpointing_enable(not_reentrant)  # type: ignore[operator]
