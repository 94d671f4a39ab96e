"""Models of every kind of tower, small enough for a test."""

from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor, nn

EMBED_DIM = 16
VIT = {"image_size": 16, "patch_size": 8, "width": 32, "layers": 3, "head_width": 16}
RESNET10T = {
    "timm_model_name": "resnet10t",
    "timm_model_pretrained": False,
    "timm_pool": "avg",
    "timm_proj": "linear",
    "image_size": 32,
}
MODIFIED_RESNET = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64}
TEXT = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 2}


def clip(vision: dict[str, Any] = VIT, **changes: object) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = open_clip.CLIP(EMBED_DIM, vision, TEXT, **changes)
    return model


def custom_text_clip(vision: dict[str, Any] = VIT) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = open_clip.CustomTextCLIP(EMBED_DIM, vision, {**TEXT, "proj_bias": True})
    return model


def hugging_face_clip() -> nn.Module:
    """A text tower of the multilingual kind, with dropout, from a configuration typed here."""
    transformers = pytest.importorskip("transformers")
    from open_clip.hf_model import HFTextEncoder

    model = custom_text_clip()
    config = transformers.XLMRobertaConfig(
        vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=16, pad_token_id=1,
    )  # fmt: skip
    model.text = HFTextEncoder(
        "tiny", EMBED_DIM, config=config, pooler_type="mean_pooler", proj_type="linear"
    )
    return model


def batch(model: nn.Module, pairs: int = 6) -> tuple[Tensor, Tensor]:
    """Photos [pairs, 3, size, size] and tokens [pairs, 8], each caption ending in its own place."""
    size = model.visual.image_size[0] if isinstance(model.visual.image_size, tuple) else 32
    photos = torch.randn(pairs, 3, size, size, generator=torch.Generator().manual_seed(1))
    tokens = torch.randint(2, 60, (pairs, 8), generator=torch.Generator().manual_seed(2))
    tokens[torch.arange(pairs), torch.arange(pairs) % 6 + 2] = 63  # the end token is the largest
    return photos, tokens
