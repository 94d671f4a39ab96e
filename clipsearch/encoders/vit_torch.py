"""open_clip's vision transformer written out for one reader, the class token, and many photos.

The same numbers by fewer and larger steps, which is what runtimes are fast at: photos are cut into
patches as bytes and meet one matrix instead of a convolution, query, key and value have a matrix
each, so that no attention head has to be moved, and what never changes is multiplied in.
"""

from typing import Any

import torch
from torch import Tensor, nn

from clipsearch.types import Preprocess

# Bytes become numbers around zero that even bfloat16 holds exactly: (byte - 128) / 64.
_MIDDLE = 128
_UNIT = 64


class Patches(nn.Module):
    """uint8 photos -> one row of numbers for each patch, not normalised yet."""

    def __init__(self, grid: tuple[int, int], patch: tuple[int, int]) -> None:
        super().__init__()
        self.grid, self.patch = grid, patch

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, height, width, 3) uint8 -> (batch, patches, patch height * width * 3) float32."""
        (rows, columns), (height, width) = self.grid, self.patch
        cut = pixels.reshape(-1, rows, height, columns, width * 3).permute(0, 1, 3, 2, 4)
        flat = cut.reshape(-1, rows * columns, height * width * 3)
        return (flat.to(torch.float32) - _MIDDLE) * (1 / _UNIT)


class Attention(nn.Module):
    """`nn.MultiheadAttention` over one sequence; `count` keeps that many of the first tokens."""

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.width, self.heads = attention.embed_dim, attention.num_heads
        size = self.width // self.heads
        weights, biases = attention.in_proj_weight.detach(), attention.in_proj_bias.detach()
        parts = zip(weights.chunk(3), biases.chunk(3), (size**-0.5, 1.0, 1.0), strict=True)
        self.query, self.key, self.value = (
            _linear(weight * scale, bias * scale) for weight, bias, scale in parts
        )
        self.out = attention.out_proj

    def forward(self, x: Tensor, count: int | None = None) -> Tensor:
        """(batch, tokens, width) -> (batch, count, width)."""
        queries = self._by_head(self.query(x if count is None else x[:, :count]))
        keys, values = self._by_head(self.key(x)), self._by_head(self.value(x))
        # (batch, heads, count, tokens)
        shares = torch.softmax(queries.transpose(1, 2) @ keys.permute(0, 2, 3, 1), dim=-1)
        attended = shares @ values.transpose(1, 2)  # (batch, heads, count, size)
        rows: Tensor = self.out(attended.transpose(1, 2).reshape(-1, queries.shape[1], self.width))
        return rows

    def _by_head(self, x: Tensor) -> Tensor:
        """(batch, tokens, width) -> (batch, tokens, heads, size)."""
        return x.reshape(-1, x.shape[1], self.heads, self.width // self.heads)


class Block(nn.Module):
    """`open_clip.transformer.ResidualAttentionBlock`, with `count` as in Attention."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.ln_1, self.attention, self.ls_1 = block.ln_1, Attention(block.attn), block.ls_1
        self.ln_2, self.mlp, self.ls_2 = block.ln_2, block.mlp, block.ls_2

    def forward(self, x: Tensor, count: int | None = None) -> Tensor:
        """(batch, tokens, width) -> (batch, count, width)."""
        attended = self.attention(self.ln_1(x), count)
        x = (x if count is None else x[:, :count]) + self.ls_1(attended)
        rows: Tensor = x + self.ls_2(self.mlp(self.ln_2(x)))
        return rows


class ClassTokenTransformer(nn.Module):
    """What `Patches` gives -> rows; made of a VisionTransformer of which only that token is read.

    The last block's other tokens end nowhere: leaving them out saves a twelfth of ViT-B/32.
    """

    def __init__(self, visual: Any, preprocess: Preprocess) -> None:
        super().__init__()
        matrix, offset = _patch_matrix(visual.conv1.weight.detach(), preprocess)
        positions = visual.positional_embedding.detach()  # (1 + patches, width)
        self.matrix = nn.Parameter(matrix)
        self.first = nn.Parameter((visual.class_embedding.detach() + positions[0]).view(1, 1, -1))
        self.others = nn.Parameter((positions[1:] + offset).unsqueeze(0))
        self.ln_pre, self.ln_post, self.proj = visual.ln_pre, visual.ln_post, visual.proj
        self.blocks = nn.ModuleList(Block(block) for block in visual.transformer.resblocks)

    def forward(self, patches: Tensor) -> Tensor:
        """(batch, patches, numbers) -> (batch, dim)."""
        x = patches @ self.matrix + self.others
        x = self.ln_pre(torch.cat([self.first.expand(x.shape[0], -1, -1), x], dim=1))
        *blocks, last = self.blocks
        for block in blocks:
            x = block(x)
        rows: Tensor = self.ln_post(last(x, 1)[:, 0])  # (batch, width)
        return rows if self.proj is None else rows @ self.proj


def reads_class_token_only(visual: Any) -> bool:
    """Whether this file says what that image tower does."""
    from open_clip.transformer import ResidualAttentionBlock, VisionTransformer

    return (
        type(visual) is VisionTransformer
        and visual.pool_type == "tok"
        and visual.attn_pool is None
        and not visual.output_tokens
        and all(visual.image_size[i] % visual.patch_size[i] == 0 for i in (0, 1))
        and all(
            type(block) is ResidualAttentionBlock
            and type(block.attn) is nn.MultiheadAttention
            and not hasattr(block, "ln_1_kv")
            for block in visual.transformer.resblocks
        )
    )


def _patch_matrix(kernel: Tensor, preprocess: Preprocess) -> tuple[Tensor, Tensor]:
    """The convolution and (pixel / 255 - mean) / std as one matrix and what to add."""
    mean = torch.tensor(preprocess.mean).view(1, 3, 1, 1)
    std = torch.tensor(preprocess.std).view(1, 3, 1, 1)
    scaled = kernel * (_UNIT / (255 * std))  # (width, 3, patch height, patch width)
    matrix = scaled.permute(2, 3, 1, 0).reshape(-1, len(kernel)).contiguous()
    offset = (kernel * ((_MIDDLE / 255 - mean) / std)).sum(dim=(1, 2, 3))  # (width,)
    return matrix, offset


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
    return layer
