"""Runs clipsearch beside a GPU that does not work: `python -m ... KIND ARGUMENTS`.

    none      there is no GPU
    tensor    torch says that there is one, and the first tensor on it fails
    driver    torch warns that the driver is too old for it, and says that there is none

Every index run tries all encoders that it may, and then takes the exact one.
"""

import sys
import warnings

import torch

from clipsearch.encoders import bulk

DRIVER = "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040)."
TENSOR = "CUDA error: no kernel image is available for execution on the device"


def _fail() -> None:
    raise RuntimeError(f"{TENSOR}\nCUDA kernel errors might be reported later.\n")


def _is_too_old() -> bool:
    warnings.warn(f"{DRIVER} Please update it.\n", stacklevel=2)
    return False


def break_gpu(kind: str) -> None:
    bulk.WORTH_MEASURING_PHOTOS = 0
    bulk.worth_measuring = lambda photos, seconds_a_photo: True
    bulk.choose = lambda measured, photos: measured[0]
    bulk.may_have_gpu = lambda: kind != "none"
    if kind == "tensor":
        torch.cuda.is_available = lambda: True
        torch.cuda._lazy_init = _fail
    elif kind == "driver":
        torch.cuda.is_available = _is_too_old


if __name__ == "__main__":
    from clipsearch.cli.program import run

    break_gpu(sys.argv[1])
    sys.exit(run(sys.argv[2:]))
