"""Parts that are not trained stay as they are in evaluation: no dropout, no moving statistics.

A batch norm in training mode replaces its running mean and variance even when its parameters are
frozen, and the "locked" tower drifts. open_clip's own freezing swaps such layers for others whose
stored names differ; here they only refuse to leave evaluation mode.
"""

from types import MethodType

from torch import nn


def keep_frozen_in_eval(model: nn.Module) -> None:
    """Put every part without a trained parameter in evaluation mode, for good.

    `model.train()` passes them by until `release` is called.
    """
    if any(True for _ in model.parameters()) and not _trained(model):
        model.train = MethodType(_stay_in_eval, model)  # type: ignore[method-assign]
        model.eval()
        return
    for part in model.children():
        keep_frozen_in_eval(part)


def release(model: nn.Module) -> None:
    """Undo keep_frozen_in_eval; the modes themselves stay as they are."""
    for part in model.modules():
        part.__dict__.pop("train", None)


def _trained(part: nn.Module) -> bool:
    return any(p.requires_grad for p in part.parameters())


def _stay_in_eval(part: nn.Module, mode: bool = True) -> nn.Module:  # noqa: ARG001
    return nn.Module.train(part, False)
