"""Models as open_clip loads them, with torch.

Everything is loaded from a directory with open_clip_config.json and weights, through
`open_clip.create_model_from_pretrained`: plain `create_model` returns a model with random weights,
without an error, when the weights file is missing.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from clipsearch.devices import working_device
from clipsearch.encoders.weights import CONFIG_NAME, PICKLE_NAME, SAFE_ALTERNATIVE
from clipsearch.errors import MissingExtraError, ModelUnavailableError
from clipsearch.types import Preprocess

TEXT_MODEL_DIR = "text_model"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)

_SIGLIP_MEAN = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in torch, in evaluation mode on the processor, with what belongs to it.

    `trainable` are the names of the parameters that its architecture does not fix.
    """

    model: Any
    tokenizer: Any
    preprocess: Preprocess
    context_length: int
    embed_dim: int
    trainable: frozenset[str] = frozenset()


def load_model(directory: Path) -> LoadedModel:
    """Load the model of an open_clip directory.

    Raises:
        ModelUnavailableError: the configuration or the weights cannot be read, do not belong
            together, or hold code instead of weights.
        MissingExtraError: its text tower or tokenizer needs transformers.
    """
    import open_clip
    from safetensors import SafetensorError

    # A GPU that does not work breaks the export, on the processor too, unless it is found out here.
    working_device("cuda")
    config = read_config(directory)
    overrides = _text_model_override(directory, config)
    _require_tokenizer(directory, config)
    name = f"local-dir:{directory}"
    _refuse_code_in_weights(directory)
    _refuse_code_in_settings(directory)
    try:
        model = open_clip.create_model_from_pretrained(name, return_transform=False, **overrides)
        tokenizer = open_clip.get_tokenizer(name)
    except (SafetensorError, RuntimeError, ValueError, OSError, KeyError, TypeError) as error:
        raise ModelUnavailableError(
            f"open_clip cannot load this model: {_first_line(error)}",
            "Check that the weights belong to this architecture",
        ) from error
    trainable = frozenset(name for name, p in model.named_parameters() if p.requires_grad)
    model.eval().requires_grad_(False)
    _refuse_non_numbers(model)
    text_config = config["model_cfg"]["text_cfg"]
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        preprocess=_preprocess(model.visual.preprocess_cfg),
        context_length=int(text_config.get("context_length", tokenizer.context_length)),
        embed_dim=int(config["model_cfg"]["embed_dim"]),
        trainable=trainable,
    )


def _refuse_code_in_weights(directory: Path) -> None:
    """Read a pickle as plain weights, strictly, before open_clip does.

    open_clip falls back to torch's own choice when that fails in a certain way, and the environment
    can make that choice an unsafe one.
    """
    import torch

    path = directory / PICKLE_NAME
    if not path.exists():
        return
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever a crafted pickle makes its reader raise
        raise ModelUnavailableError(
            "the weights are a pickle that holds more than weights", SAFE_ALTERNATIVE
        ) from error


def _refuse_code_in_settings(directory: Path) -> None:
    """Refuse settings that name Python code: transformers would ask whether to run it."""
    for name in ("tokenizer_config.json", f"{TEXT_MODEL_DIR}/config.json"):
        try:
            settings = json.loads((directory / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError) as error:
            raise ModelUnavailableError(f"{name} beside the weights cannot be read") from error
        if isinstance(settings, dict) and "auto_map" in settings:
            raise ModelUnavailableError(
                f"{name} beside the weights asks for code of the model's own to be run",
                "Choose another model",
            )


def _refuse_non_numbers(model: Any) -> None:
    import torch

    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelUnavailableError(
                f"the weights hold values that are not numbers ({name})",
                "Fetch them again, or use an earlier checkpoint of the training",
            )


def logit_scale_and_bias(loaded: LoadedModel) -> tuple[float, float]:
    """The factor and the offset that turn a cosine into a logit; the offset is 0 for softmax."""
    model = loaded.model
    scale = float(model.logit_scale.exp().max())
    bias = 0.0 if model.logit_bias is None else float(model.logit_bias.max())
    return scale, bias


def read_config(directory: Path) -> dict[str, Any]:
    """The open_clip_config.json of a directory, checked for what silently goes wrong.

    Raises:
        ModelUnavailableError: it is absent, unreadable, does not say how photos are prepared, or
            prepares photos for a SigLIP tower as for CLIP.
    """
    path = directory / CONFIG_NAME
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        model_cfg, preprocess_cfg = config["model_cfg"], config.get("preprocess_cfg")
        vision_cfg, _ = model_cfg["vision_cfg"], model_cfg["text_cfg"]
    except FileNotFoundError as error:
        raise ModelUnavailableError(
            f"there is no {CONFIG_NAME} in {directory}",
            "For bare weights write ARCHITECTURE@FILE",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailableError(f"{path} is not open_clip's configuration") from error
    if not preprocess_cfg or "mean" not in preprocess_cfg or "std" not in preprocess_cfg:
        raise ModelUnavailableError(
            f"{path} does not say how photos are prepared",
            "Add preprocess_cfg with mean, std, interpolation and resize_mode",
        )
    is_siglip = "siglip" in str(vision_cfg.get("timm_model_name", "")).lower()
    if is_siglip and tuple(preprocess_cfg["mean"]) != _SIGLIP_MEAN:
        # open_clip writes this when a SigLIP checkpoint was opened as a file: every photo would be
        # shifted and cropped, and nothing would say so.
        raise ModelUnavailableError(
            f"{path} prepares photos for CLIP, but its image tower is SigLIP",
            "Set mean and std to [0.5, 0.5, 0.5] and resize_mode to squash",
        )
    return cast("dict[str, Any]", config)


def config_for(architecture: str, tag: str | None) -> dict[str, Any]:
    """An open_clip_config.json for weights of a built-in architecture.

    With a tag, preprocessing and QuickGELU come from open_clip's table; without, from what all
    tags of the architecture have in common.

    Raises:
        ModelUnavailableError: open_clip does not know it, or its tags disagree.
    """
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    model_cfg = open_clip.get_model_config(architecture)
    if model_cfg is None:
        raise ModelUnavailableError(
            f"open_clip knows no architecture {architecture!r}", "Check the spelling"
        )
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag is not None and tag not in tags:
        raise ModelUnavailableError(
            f"open_clip knows no weights {tag!r} for {architecture}",
            f"It knows {', '.join(tags) or 'none'}",
        )
    listed = [get_pretrained_cfg(architecture, each) for each in ([tag] if tag else tags)]
    choices = {json.dumps(_preprocess_entries(entry), sort_keys=True) for entry in listed}
    if len(choices) != 1:
        raise ModelUnavailableError(
            f"it is not known how photos are prepared for {architecture}",
            f"Put an {CONFIG_NAME} with preprocess_cfg beside the weights",
        )
    if tag is not None and listed[0].get("quick_gelu", False):
        model_cfg["quick_gelu"] = True
    return {"model_cfg": model_cfg, "preprocess_cfg": json.loads(choices.pop())}


def hub_file(architecture: str, tag: str) -> tuple[str, str | None]:
    """The hub repository of a tag, and the weights file in it (None: the customary one).

    Raises:
        ModelUnavailableError: open_clip's table names no repository for it.
    """
    from open_clip.pretrained import get_pretrained_cfg

    location = get_pretrained_cfg(architecture, tag).get("hf_hub", "")
    repository, _, file = location.rpartition("/")
    if not repository:
        raise ModelUnavailableError(f"{architecture}/{tag} is not on the hub")
    return repository, file or None


def architecture_of(directory: Path) -> dict[str, Any]:
    """The model_cfg without what only says where files are: a part of the fingerprint."""
    model_cfg = read_config(directory)["model_cfg"]
    return {
        key: {k: v for k, v in value.items() if not _is_location(k)}
        if isinstance(value, dict)
        else value
        for key, value in model_cfg.items()
        if value is not None
    }


def _is_location(key: str) -> bool:
    return key.endswith("_pretrained") or key in ("hf_tokenizer_name", "hf_model_name")


def _preprocess_entries(entry: dict[str, Any]) -> dict[str, Any]:
    keys = ("mean", "std", "interpolation", "resize_mode", "fill_color")
    return {key: entry[key] for key in keys if key in entry}


def _preprocess(cfg: dict[str, Any]) -> Preprocess:
    """open_clip's preprocess_cfg, as it resolved it, as our record."""
    size = cfg["size"]
    height, width = (size, size) if isinstance(size, int) else size
    if cfg["interpolation"] not in ("bicubic", "bilinear", "random"):
        raise ModelUnavailableError(f"unknown interpolation {cfg['interpolation']!r}")
    return Preprocess(
        size=(int(height), int(width)),
        mean=_three(cfg["mean"]),
        std=_three(cfg["std"]),
        # open_clip itself resizes bicubically at inference where the training was "random".
        interpolation="bilinear" if cfg["interpolation"] == "bilinear" else "bicubic",
        resize_mode=cfg["resize_mode"],
        fill_color=int(cfg.get("fill_color", 0)),
    )


def _three(value: Any) -> tuple[float, float, float]:
    values = [float(each) for each in value] if isinstance(value, list | tuple) else [value] * 3
    return values[0], values[1], values[2]


def _text_model_override(directory: Path, config: dict[str, Any]) -> dict[str, Any]:
    """For text towers from transformers: their configuration is beside the weights, not online.

    open_clip passes `hf_model_name` to transformers, which also takes a directory. The override
    replaces the whole text_cfg, so that transformers' own weights are not asked for either.
    """
    text_cfg = config["model_cfg"]["text_cfg"]
    if "hf_model_name" in text_cfg or "hf_tokenizer_name" in text_cfg:
        require_transformers()
    if "hf_model_name" not in text_cfg:
        return {}
    local = directory / TEXT_MODEL_DIR
    if not (local / "config.json").is_file():
        raise ModelUnavailableError(
            f"the configuration of the text tower {text_cfg['hf_model_name']} is missing",
            f"Put it beside the weights as {TEXT_MODEL_DIR}/config.json",
        )
    return {"text_cfg": {**text_cfg, "hf_model_name": str(local), "hf_model_pretrained": False}}


def _require_tokenizer(directory: Path, config: dict[str, Any]) -> None:
    """A tokenizer from transformers has to lie beside the weights; open_clip would look online."""
    name = config["model_cfg"]["text_cfg"].get("hf_tokenizer_name")
    if name and not any((directory / each).is_file() for each in TOKENIZER_FILES):
        raise ModelUnavailableError(
            f"the tokenizer {name} is missing", "Put its tokenizer.json beside the weights"
        )


def require_transformers() -> None:
    """Raise MissingExtraError unless transformers is installed."""
    from importlib.util import find_spec

    if find_spec("transformers") is None:
        raise MissingExtraError(
            "this model's text tower or tokenizer needs transformers",
            "Run `pip install 'clipsearch[multilingual]'`",
        )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
