"""The device that torch computes on: a GPU that is there need not work."""

import functools
import warnings

from clipsearch.errors import ClipsearchWarning

_SIZE = 64


@functools.cache
def working_device(*wanted: str) -> str:
    """The first of these devices ("cuda", "mps") that computes here; "cpu" when none does.

    Of one that is there and does not it warns, once: the answer is remembered, and torch is told
    that it is not there. Whoever runs a model with torch asks here first.
    """
    for device in wanted:
        trouble = trouble_of(device)
        if trouble is None:
            return device
        if trouble:
            _hide_cuda()
            warnings.warn(
                f"the GPU cannot be used ({trouble}): the processor computes instead. "
                "clipsearch doctor --torch tells when it can",
                ClipsearchWarning,
                stacklevel=2,
            )
    return "cpu"


def trouble_of(device: str) -> str | None:
    """What keeps torch from computing on a GPU: "" that there is none; None when nothing does."""
    import torch

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            backend = torch.cuda if device.startswith("cuda") else torch.backends.mps
            if not backend.is_available():
                # A driver that is too old for this torch is only warned of.
                return _first_line(said[0].message) if said else ""
            ones = torch.ones(_SIZE, _SIZE, device=device)
            total = float((ones @ ones).sum())
        except Exception as error:  # drivers and torch have no common one
            return _first_line(error)
    return None if total == _SIZE**3 else "it computes wrong numbers"


def _hide_cuda() -> None:
    """Let torch itself leave CUDA alone: its optimisers, exporter and random numbers ask these."""
    import torch

    torch.cuda.is_available = lambda: False
    torch.cuda.device_count = lambda: 0


def _first_line(message: Warning | Exception | str) -> str:
    return (str(message).strip().splitlines() or [type(message).__name__])[0][:200].rstrip(" .")
