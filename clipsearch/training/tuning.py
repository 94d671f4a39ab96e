"""What is trained: all of a model, some of it, or a low-rank change of it."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from clipsearch.errors import UsageError
from clipsearch.training.frozen import keep_frozen_in_eval, release
from clipsearch.training.layers import TowerLayers, image_layers, text_layers
from clipsearch.training.lora import install_lora, lora_parameters, merge_lora

_TEMPERATURE = ("logit_scale", "logit_bias")  # trained in every case


@dataclass(frozen=True)
class TuneAll:
    """Everything: for a few thousand pairs and more, or from scratch."""


@dataclass(frozen=True)
class TuneProjections:
    """The last matrix of each tower alone: for some dozens of pairs."""


@dataclass(frozen=True)
class LockImage:
    """The text tower alone, so that embeddings of photos already stored stay valid.

    Source: Zhai et al., "LiT: Zero-Shot Transfer with Locked-image text Tuning", CVPR 2022.
    """


@dataclass(frozen=True)
class LockText:
    """The photo tower alone, so that texts and labels keep their embeddings."""


@dataclass(frozen=True)
class LastBlocks:
    """The last `count` blocks of each tower and its projection; stages, of a convolutional one.

    The learning rate of block i of L is multiplied by layer_decay^(L + 1 - i), that of the
    projection by 1. Source: Bao et al., "BEiT", ICLR 2022, and before it Clark et al., "ELECTRA",
    ICLR 2020. `count` >= 1, a tower with fewer blocks is trained in all of its blocks;
    `layer_decay` in 0 .. 1, 1 is none.
    """

    count: int
    layer_decay: float = 1.0


@dataclass(frozen=True)
class Lora:
    """A low-rank change of every matrix in both towers; see lora.py.

    `rank` >= 1; `alpha` > 0, the change is scaled by alpha / rank; `dropout` in 0 .. 1.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0


Tune = TuneAll | TuneProjections | LockImage | LockText | LastBlocks | Lora


@dataclass(frozen=True)
class TrainedGroup:
    """Parameters that share a learning rate (times `learning_rate_scale`) and a decay rule."""

    name: str
    parameters: tuple[nn.Parameter, ...]
    learning_rate_scale: float
    decays: bool


def prepare(model: nn.Module, tune: Tune) -> list[TrainedGroup]:
    """Freeze what is not to be trained, install LoRA if asked; the rest in groups.

    `model` is an open_clip CLIP or CustomTextCLIP, not prepared before. Temperature and bias are
    always trained. Frozen parts stay in evaluation mode until `merge`. open_clip's lock_image_tower
    and lock_text_tower are not used: of timm and Hugging Face towers they leave the projection
    unlocked, and then stored embeddings would not stay valid.

    Raises UsageError for towers not known in layers.py, and for settings out of range; ValueError
    for a model with LoRA already.
    """
    if lora_parameters(model):
        raise ValueError("prepared already: merge it first")
    scales = _learning_rate_scales(model, tune)
    for name, parameter in model.named_parameters():
        # A parameter that its model fixes (sine positions) is never trained.
        parameter.requires_grad_(parameter.requires_grad and name in scales)
    if isinstance(tune, Lora):
        names = {*image_layers(model).names, *text_layers(model).names}
        if not install_lora(model, names, tune.rank, tune.alpha, tune.dropout):
            raise UsageError(
                f"no matrix of this model is large enough for LoRA of rank {tune.rank}",
                "Give a lower one, such as lora:8",
            )
        scales |= dict.fromkeys(lora_parameters(model), 1.0)
    keep_frozen_in_eval(model)
    return _groups(model, scales)


def merge(model: nn.Module) -> None:
    """Back to an ordinary model: LoRA added to plain weights, no part held in evaluation mode.

    The names in `state_dict()` are those before `prepare`.
    """
    merge_lora(model)
    release(model)


def _learning_rate_scales(model: nn.Module, tune: Tune) -> dict[str, float]:
    """Names of the trained parameters (LoRA's own aside) and their learning rate's factor."""
    temperature = {n: 1.0 for n, _ in model.named_parameters() if n in _TEMPERATURE}
    match tune:
        case TuneAll():
            return {name: 1.0 for name, _ in model.named_parameters()}
        case TuneProjections():
            projections = image_layers(model).projection + text_layers(model).projection
            return temperature | dict.fromkeys(projections, 1.0)
        case LockImage():
            return temperature | dict.fromkeys(text_layers(model).names, 1.0)
        case LockText():
            return temperature | dict.fromkeys(image_layers(model).names, 1.0)
        case LastBlocks():
            return temperature | _last(image_layers(model), tune) | _last(text_layers(model), tune)
        case Lora():
            if tune.rank < 1 or tune.alpha <= 0 or not 0 <= tune.dropout < 1:
                raise UsageError(
                    f"LoRA cannot have {tune}", "Give a rank >= 1, alpha > 0 and dropout in 0 .. 1"
                )
            return temperature


def _last(tower: TowerLayers, tune: LastBlocks) -> dict[str, float]:
    if tune.count < 1 or not 0 < tune.layer_decay <= 1:
        raise UsageError(
            f"There is no training of {tune}", "Give a count >= 1 and a layer decay in 0 .. 1"
        )
    scales = dict.fromkeys(tower.projection, 1.0)
    for distance, block in enumerate(reversed(tower.blocks[-tune.count :]), start=1):
        scales |= dict.fromkeys(block, tune.layer_decay**distance)
    return scales


def _groups(model: nn.Module, scales: Mapping[str, float]) -> list[TrainedGroup]:
    members: dict[tuple[float, bool], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            members[scales[name], _decays(name, parameter)].append(parameter)
    return [
        TrainedGroup(
            f"{'weights' if decays else 'norms, biases and scalars'} x {scale:g}",
            tuple(found),
            scale,
            decays,
        )
        for (scale, decays), found in members.items()
    ]


def _decays(name: str, parameter: nn.Parameter) -> bool:
    """open_clip's rule (open_clip_train/main.py): not for norms, biases and the temperature."""
    no_decay = any(part in name for part in ("bn", "ln", "bias", "logit_scale"))
    return parameter.ndim >= 2 and not no_decay
