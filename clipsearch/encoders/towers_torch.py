"""Both towers as torch modules that take what we store and give unit rows.

They are what is exported, and the image tower is also what encodes in bulk.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name the whole field uses
from torch import Tensor, nn

from clipsearch.encoders.vit_torch import ClassTokenTransformer, Patches, reads_class_token_only
from clipsearch.types import Preprocess


class Normalised(nn.Module):
    """uint8 photos -> what open_clip's image towers take."""

    scale: Tensor
    shift: Tensor

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        mean, std = torch.tensor(preprocess.mean), torch.tensor(preprocess.std)
        # (pixel / 255 - mean) / std as one multiplication and one addition
        self.register_buffer("scale", (1 / (255 * std)).view(1, 3, 1, 1))
        self.register_buffer("shift", (-mean / std).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, height, width, 3) uint8 -> (batch, 3, height, width) float32."""
        channels_first = pixels.permute(0, 3, 1, 2).to(torch.float32)
        return channels_first * self.scale + self.shift


class ImageTower(nn.Module):
    """uint8 photos -> unit rows: `prepare` makes float32 of the photos, `visual` the rows."""

    def __init__(self, prepare: nn.Module, visual: nn.Module) -> None:
        super().__init__()
        self.prepare = prepare
        self.visual = visual

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, height, width, 3) uint8 -> (batch, dim) float32 unit rows."""
        features = self.visual(self.prepare(pixels).to(self._dtype()))  # (batch, dim)
        return F.normalize(features.to(torch.float32), dim=-1)

    def _dtype(self) -> torch.dtype:
        dtype: torch.dtype = next(self.visual.parameters()).dtype
        return dtype


def original_image_tower(model: Any, preprocess: Preprocess) -> ImageTower:
    """What `model.encode_image` does, by open_clip's own code."""
    return ImageTower(Normalised(preprocess), model.visual)


def image_tower(model: Any, preprocess: Preprocess) -> ImageTower:
    """The cheapest image tower that gives what `model.encode_image` gives. `model` stays as it is,
    and no weights are copied that need not be.
    """
    visual = model.visual
    if not reads_class_token_only(visual):
        return original_image_tower(model, preprocess)
    return ImageTower(
        Patches(visual.grid_size, visual.patch_size), ClassTokenTransformer(visual, preprocess)
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
