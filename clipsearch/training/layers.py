"""Where a model's parameters lie: stem, blocks and projection of its two towers.

For open_clip's CLIP and CustomTextCLIP with any of its towers: VisionTransformer, ModifiedResNet
and timm networks for photos, its own transformer and Hugging Face models for text.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from clipsearch.errors import UsageError


@dataclass(frozen=True)
class TowerLayers:
    """Names of one tower's parameters, from the input upwards.

    `blocks` are the transformer's blocks, or the stages of a convolutional network; the norm
    after the last of them is counted with it, as open_clip does when it unlocks groups.
    """

    stem: tuple[str, ...]
    blocks: tuple[tuple[str, ...], ...]
    projection: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.stem, *(name for block in self.blocks for name in block), *self.projection)


def image_layers(model: nn.Module) -> TowerLayers:
    """The photo tower of an open_clip model. Raises UsageError for one not known here."""
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer

    tower = model.get_submodule("visual")
    names = [name for name, _ in tower.named_parameters()]
    if isinstance(tower, VisionTransformer):
        blocks = len(tower.get_submodule("transformer.resblocks")._modules)
        return _sorted("visual.", names, blocks, lambda name: _in_transformer(name, blocks))
    if isinstance(tower, ModifiedResNet):
        return _sorted("visual.", names, 4, _in_modified_resnet)
    if isinstance(tower, TimmModel):
        return _timm_layers(tower, names)
    raise UsageError(
        f"The parts of a photo tower of kind {type(tower).__name__} are not known",
        "Train all of the model instead",
    )


def text_layers(model: nn.Module) -> TowerLayers:
    """The text tower of an open_clip model. Raises UsageError for one not known here."""
    from open_clip.hf_model import HFTextEncoder
    from open_clip.transformer import TextTransformer

    tower = model._modules.get("text")
    if tower is None:  # CLIP keeps the parts of its text transformer as its own
        names = [n for n, _ in model.named_parameters() if not n.startswith(("visual.", "logit_"))]
        blocks = len(model.get_submodule("transformer.resblocks")._modules)
        return _sorted("", names, blocks, lambda name: _in_transformer(name, blocks))
    names = [name for name, _ in tower.named_parameters()]
    if isinstance(tower, TextTransformer):
        blocks = len(tower.get_submodule("transformer.resblocks")._modules)
        return _sorted("text.", names, blocks, lambda name: _in_transformer(name, blocks))
    if isinstance(tower, HFTextEncoder):
        return _hugging_face_layers(tower, names)
    raise UsageError(
        f"The parts of a text tower of kind {type(tower).__name__} are not known",
        "Train all of the model instead",
    )


def _sorted(
    prefix: str, names: Sequence[str], blocks: int, depth: Callable[[str], int]
) -> TowerLayers:
    """Names by `depth`: 0 is the stem, 1 .. `blocks` the blocks, `blocks` + 1 the projection."""
    by_depth: list[list[str]] = [[] for _ in range(blocks + 2)]
    for name in names:
        by_depth[depth(name)].append(prefix + name)
    stem, *middle, projection = (tuple(found) for found in by_depth)
    return TowerLayers(stem, tuple(middle), projection)


def _in_transformer(name: str, blocks: int) -> int:
    if (block := re.match(r"transformer\.resblocks\.(\d+)\.", name)) is not None:
        return int(block[1]) + 1
    if name.startswith(("ln_post.", "attn_pool", "ln_final.")):
        return blocks
    return blocks + 1 if name.startswith(("proj", "text_projection")) else 0


def _in_modified_resnet(name: str) -> int:
    if (stage := re.match(r"layer(\d)\.", name)) is not None:
        return int(stage[1])
    return 5 if name.startswith("attnpool.") else 0


def _timm_layers(tower: nn.Module, names: Sequence[str]) -> TowerLayers:
    from timm.models import group_parameters

    trunk = tower.get_submodule("trunk")
    # Coarse: a ResNet's groups are its stages, a ViT's are its blocks; the first is the stem.
    groups = group_parameters(trunk, trunk.group_matcher(coarse=True))  # type: ignore[operator]
    classifier = {id(p) for p in trunk.get_classifier().parameters()}  # type: ignore[operator]
    body = [
        [f"trunk.{name}" for name in group if id(trunk.get_parameter(name)) not in classifier]
        for _, group in sorted(groups.items())
    ]
    body = [group for group in body if group]
    of_name = {name: depth for depth, group in enumerate(body) for name in group}
    return _sorted("visual.", names, len(body) - 1, lambda name: of_name.get(name, len(body)))


def _hugging_face_layers(tower: nn.Module, names: Sequence[str]) -> TowerLayers:
    """Its blocks are the list of modules nearest to the root (`encoder.layer`, `encoder.block`)."""
    lists = [name for name, module in tower.named_modules() if isinstance(module, nn.ModuleList)]
    if not lists:
        raise UsageError("This text tower has no list of blocks", "Train all of the model instead")
    prefix = min(lists, key=lambda name: name.count(".")) + "."
    blocks = len(tower.get_submodule(prefix[:-1])._modules)

    def depth(name: str) -> int:
        if name.startswith(prefix):
            return int(name.removeprefix(prefix).split(".")[0]) + 1
        if name.startswith("proj"):
            return blocks + 1
        return 0 if "embed" in name else blocks

    return _sorted("text.", names, blocks, depth)
