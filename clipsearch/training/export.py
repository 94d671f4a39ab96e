"""Writing a trained model as a folder that open_clip loads by itself (`local-dir:<folder>`)."""

import json
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor, nn

from clipsearch.training.augment import MEAN, STD
from clipsearch.training.tensor_files import write_tensors
from clipsearch.training.vocabulary import CompactTokens


class Architecture(TypedDict):
    """The part of an open_clip configuration that names the towers."""

    embed_dim: int
    vision_cfg: dict[str, object]
    text_cfg: dict[str, object]


def export_open_clip(
    folder: Path, clip: nn.Module, architecture: Architecture, tokens: CompactTokens, size: int
) -> None:
    """Write `open_clip_config.json` and `open_clip_model.safetensors` (float16) to `folder`.

    `clip` was trained with compact `tokens`; the exported table has every row. `size` in pixels
    is the photo size that the exported preprocessing asks for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: _stored(name, t, tokens) for name, t in clip.state_dict().items()}
    write_tensors(folder / "open_clip_model.safetensors", weights, {"format": "pt"})
    vision = {**architecture["vision_cfg"], "image_size": size}
    preprocess = {
        "size": [size, size],
        "mean": list(MEAN),
        "std": list(STD),
        "interpolation": "bilinear",  # as in training: bicubic cost 2.6 points of val-tiny
        "resize_mode": "shortest",
    }
    config = {
        "model_cfg": {**architecture, "vision_cfg": vision},
        "preprocess_cfg": preprocess,
    }
    text = json.dumps(config, indent=2) + "\n"
    (folder / "open_clip_config.json").write_text(text, encoding="utf-8")


def _stored(name: str, tensor: Tensor, tokens: CompactTokens) -> Tensor:
    if name == "token_embedding.weight":
        tensor = tokens.expand(tensor)
    return tensor.to(torch.float16) if tensor.is_floating_point() else tensor
