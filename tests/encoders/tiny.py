"""How the tiny models of these tests are made."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipsearch.types import ModelInfo

CLIP_CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {
        "context_length": 12,
        "vocab_size": 49408,
        "width": 32,
        "heads": 2,
        "layers": 2,
    },
}
CLIP_PREPROCESS = {
    "size": [32, 32],
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


@dataclass(frozen=True)
class InstalledTiny:
    """A tiny model, where it is installed, and the directory it came from."""

    info: ModelInfo
    models: Path
    origin: Path

    @property
    def folder(self) -> Path:
        return self.models / self.info.fingerprint[:16]


def silent(stage: str, done: int, total: int | None) -> None:
    """A Progress nobody watches."""


def write_clip(folder: Path, seed: int = 0) -> Path:
    """Write a tiny CLIP with random weights as open_clip does."""
    from open_clip.model import CLIP

    return write_model(folder, CLIP(**CLIP_CONFIG), CLIP_CONFIG, CLIP_PREPROCESS, seed)


def write_model(
    folder: Path, model: Any, config: dict[str, Any], preprocess: dict[str, Any], seed: int = 0
) -> Path:
    """Fill `model` with weights of a sensible size and write it as an open_clip directory."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.state_dict().items():
        if name.endswith(("logit_scale", "logit_bias")) or not parameter.is_floating_point():
            continue
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(1 + 0.1 * noise if _is_norm(name) else 0.2 * noise)
    folder.mkdir(parents=True, exist_ok=True)
    whole = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(whole), encoding="utf-8")
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder


def _is_norm(name: str) -> bool:
    return ".ln" in name or "ln_" in name or "norm" in name.lower()
