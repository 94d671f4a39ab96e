"""The image tower in torch, for encoding many photos: on a GPU, or in bfloat16 where that is fast.

bfloat16 means a model whose weights are bfloat16, not autocast: on processors with bfloat16
instructions casting at every layer costs more than it gains.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clipsearch.devices import working_device
from clipsearch.encoders.checks import check_pixels
from clipsearch.encoders.machine import has_bfloat16
from clipsearch.encoders.openclip import load_model
from clipsearch.types import Floats, ModelInfo, Pixels

if TYPE_CHECKING:
    from clipsearch.encoders.towers_torch import ImageTower

_CPU_BATCH = 32
_GPU_BATCH = 128


class TorchImageEncoder:
    """The image tower on `device` ("cpu", "cuda", "mps") in `precision` ("float32" and so on)."""

    def __init__(self, info: ModelInfo, tower: "ImageTower", device: str, precision: str) -> None:
        import torch

        self.info = info
        self._device = device
        self._batch = _CPU_BATCH if device == "cpu" else _GPU_BATCH
        self._tower = tower.to(device)
        self._tower.visual.to(getattr(torch, precision))

    def encode_image(self, pixels: Pixels) -> Floats:
        """(batch, height, width, 3) uint8 -> (batch, dim) unit rows."""
        check_pixels(pixels, self.info)
        starts = range(0, len(pixels), self._batch)
        parts = [self._encode(pixels[start : start + self._batch]) for start in starts]
        return np.concatenate([np.empty((0, self.info.embed_dim), np.float32), *parts])

    def _encode(self, pixels: Pixels) -> Floats:
        import torch

        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(pixels)).to(self._device)
            rows: Floats = self._tower(batch).cpu().numpy()
        return rows


def load_image_tower(weights: Path) -> "ImageTower":
    """The image tower of an open_clip directory in float32, without its text tower.

    Raises:
        ModelUnavailableError: it cannot be loaded.
    """
    from clipsearch.encoders.towers_torch import image_tower

    loaded = load_model(weights)
    return image_tower(loaded.model, loaded.preprocess).eval()


def torch_candidates() -> list[tuple[str, str]]:
    """(device, precision) worth measuring on this machine, the safest first."""
    import torch

    device = working_device("cuda", "mps")
    if device == "cuda":
        half = "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
        return [("cuda", "float32"), ("cuda", half)]
    if device == "mps":
        return [("mps", "float32"), ("mps", "float16")]
    if has_bfloat16():
        return [("cpu", "float32"), ("cpu", "bfloat16")]
    return [("cpu", "float32")]
