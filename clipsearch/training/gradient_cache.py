"""Exact gradients of a large contrastive batch with the memory of a small one.

A contrastive loss needs all features of a batch at once, but not all activations. So: features in
chunks without activations, the loss's gradient at the features, then each chunk again with
activations, to carry its part of that gradient into the weights.

Source: Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup",
RepL4NLP 2021 (GradCache).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Encoding:
    """One input of the loss: `encode` gives features [k, d] of any rows [k, ...] of `inputs`."""

    encode: Callable[[Tensor], Tensor]
    inputs: Tensor


def backward_in_chunks(
    model: nn.Module, encodings: Sequence[Encoding], loss: Callable[..., Tensor], chunk: int
) -> Tensor:
    """Add the gradients of `loss(*features)` to the parameters, `chunk` rows at a time.

    `loss` takes the features of each of the `encodings`, all rows of them, and returns a scalar;
    it is called once, so that what it uses besides (the temperature, a bias) gets its gradient
    once. Both passes over a chunk draw the same random numbers, and `model`'s buffers (the
    statistics of batch norms) move in the second one only. Batch norm in training mode normalises
    over a chunk instead of the batch: all else gives the full batch's gradients exactly. Returns
    the loss, detached; nothing in the weights' gradients is reset.
    """
    devices = {encoding.inputs.device for encoding in encodings if encoding.inputs.is_cuda}
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    chunks = [torch.split(encoding.inputs, chunk) for encoding in encodings]
    states: list[list[_RandomState]] = [[] for _ in encodings]
    features = []
    for encoding, parts, before in zip(encodings, chunks, states, strict=True):
        rows = []
        for part in parts:
            before.append(_RandomState.now(devices))
            with torch.no_grad():
                rows.append(encoding.encode(part))
        features.append(torch.cat(rows).requires_grad_(True))  # [n, d]
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])
    value = loss(*features)
    torch.autograd.backward(value)
    for encoding, parts, before, whole in zip(encodings, chunks, states, features, strict=True):
        # A feature that the loss does not use has no gradient to carry on.
        if whole.grad is not None:
            _carry_on(encoding.encode, parts, before, whole.grad)
    return value.detach()


def _carry_on(
    encode: Callable[[Tensor], Tensor],
    parts: Sequence[Tensor],
    before: Sequence["_RandomState"],
    gradient: Tensor,
) -> None:
    offset = 0
    for part, state in zip(parts, before, strict=True):
        state.restore()
        features = encode(part)  # [k, d]
        if not features.requires_grad:  # a locked tower
            return
        torch.autograd.backward(features, gradient[offset : offset + len(part)])
        offset += len(part)


@dataclass(frozen=True)
class _RandomState:
    """Where torch's generators stand, on the CPU and on the devices in use."""

    cpu: Tensor
    devices: tuple[tuple[torch.device, Tensor], ...]

    @classmethod
    def now(cls, devices: Iterable[torch.device]) -> "_RandomState":
        return cls(torch.get_rng_state(), tuple((d, torch.cuda.get_rng_state(d)) for d in devices))

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        for device, state in self.devices:
            torch.cuda.set_rng_state(state, device)
