"""Both towers as torch modules that take what we store and give unit rows.

They are what is exported, and the image tower is also what encodes in bulk.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name the whole field uses
from torch import Tensor, nn

from clipsearch.types import Preprocess


class ImageTower(nn.Module):
    """uint8 photos -> unit rows, scaling and normalising inside."""

    scale: Tensor
    shift: Tensor

    def __init__(self, visual: nn.Module, preprocess: Preprocess) -> None:
        super().__init__()
        self.visual = visual
        mean, std = torch.tensor(preprocess.mean), torch.tensor(preprocess.std)
        # (pixel / 255 - mean) / std as one multiplication and one addition
        self.register_buffer("scale", (1 / (255 * std)).view(1, 3, 1, 1))
        self.register_buffer("shift", (-mean / std).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, height, width, 3) uint8 -> (batch, dim) float32 unit rows."""
        channels_first = pixels.permute(0, 3, 1, 2).to(torch.float32)  # (batch, 3, height, width)
        normalised = channels_first * self.scale + self.shift
        features = self.visual(normalised.to(self._dtype()))  # (batch, dim)
        return F.normalize(features.to(torch.float32), dim=-1)

    def _dtype(self) -> torch.dtype:
        dtype: torch.dtype = next(self.visual.parameters()).dtype
        return dtype


class ClassTokenTransformer(nn.Module):
    """A vision transformer of which only the class token is read, without what that never sees.

    The last block's other tokens end nowhere: leaving them out saves a twelfth of ViT-B/32. The
    lines are `open_clip.transformer.VisionTransformer.forward` and `ResidualAttentionBlock.forward`
    with that token alone as the last query.
    """

    def __init__(self, visual: Any) -> None:
        super().__init__()
        self.visual = visual

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 3, height, width) -> (batch, dim)."""
        *blocks, last = self.visual.transformer.resblocks
        x = self.visual._embeds(x)  # (batch, tokens, width), the class token first
        for block in blocks:
            x = block(x)
        keys = last.ln_1(x)
        attended, _ = last.attn(keys[:, :1], keys, keys, need_weights=False)
        x = x[:, :1] + last.ls_1(attended)  # (batch, 1, width)
        x = x + last.ls_2(last.mlp(last.ln_2(x)))
        rows: Tensor
        rows, _ = self.visual._pool(x)  # (batch, width)
        return rows if self.visual.proj is None else rows @ self.visual.proj


def image_tower(model: Any, preprocess: Preprocess) -> ImageTower:
    """The cheapest image tower that gives what `model.encode_image` gives."""
    visual = model.visual
    if _reads_class_token_only(visual):
        visual = ClassTokenTransformer(visual)
    return ImageTower(visual, preprocess)


def _reads_class_token_only(visual: Any) -> bool:
    from open_clip.transformer import ResidualAttentionBlock, VisionTransformer

    return (
        type(visual) is VisionTransformer
        and visual.pool_type == "tok"
        and visual.attn_pool is None
        and not visual.output_tokens
        and bool(visual.transformer.batch_first)
        and type(visual.transformer.resblocks[-1]) is ResidualAttentionBlock
        and not hasattr(visual.transformer.resblocks[-1], "ln_1_kv")
    )


class TextTower(nn.Module):
    """Token ids of the full context -> unit rows, as `encode_text` does it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        """(batch, context) int64 -> (batch, dim) float32 unit rows."""
        rows: Tensor = self.model.encode_text(ids, normalize=True)
        return rows


class CausalTextTower(nn.Module):
    """CLIP's text tower for rows as short as the longest text in them.

    Attention looks backwards only and the result is read at the end token, so the padding after it
    changes nothing: a query of eight tokens costs a tenth of the full context. The lines are
    `open_clip.model.CLIP.encode_text` with positions and mask cut to the length.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        """(batch, length <= context) int64 -> (batch, dim) float32 unit rows."""
        from open_clip.transformer import text_global_pool

        model, length = self.model, ids.shape[1]
        x = model.token_embedding(ids)  # (batch, length, width)
        x = x + model.positional_embedding[:length]
        x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
        x = model.ln_final(x)  # (batch, length, width)
        x = text_global_pool(x, ids, model.text_pool_type, eos_token_id=model.text_eos_id)
        if model.text_projection is not None:
            is_layer = isinstance(model.text_projection, nn.Linear)
            x = model.text_projection(x) if is_layer else x @ model.text_projection  # (batch, dim)
        return F.normalize(x, dim=-1)


def text_tower(model: Any) -> CausalTextTower | TextTower:
    """The cheapest text tower that gives what `model.encode_text` gives."""
    from open_clip.model import CLIP

    is_clip = type(model) is CLIP and model.attn_mask is not None
    if is_clip and model.text_pool_type in ("argmax", "eos", "first"):
        return CausalTextTower(model)
    return TextTower(model)
