"""What a model's name may be, and what it refers to. Reads nothing but whether a path exists.

starter | fast | balanced | best | multilingual    a preset
ViT-B-32/laion2b_s34b_b79k                         an open_clip architecture and tag
hf-hub:organisation/repository                     a repository in open_clip's format
./a/directory                                      open_clip_config.json and weights
./a/run                                            what `clipsearch finetune` or `train` made
./a/checkpoint.safetensors                         weights beside an open_clip_config.json
ViT-B-32@./a/checkpoint.safetensors                weights of a known architecture
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from clipsearch.encoders.presets import PRESETS, preset
from clipsearch.encoders.weights import CONFIG_NAME
from clipsearch.errors import UsageError

# What tells the directory of a training run, and where its model is.
RUN_SETTINGS = "settings.json"
RUN_MODEL = "model"

WEIGHTS_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".pt2", ".npz", ".npy")


@dataclass(frozen=True, slots=True)
class TagSource:
    """Weights that open_clip's table lists under an architecture and a tag."""

    name: str
    architecture: str
    tag: str


@dataclass(frozen=True, slots=True)
class HubSource:
    """A hub repository that holds open_clip_config.json and weights."""

    name: str
    repository: str


@dataclass(frozen=True, slots=True)
class LocalSource:
    """A directory with open_clip_config.json and weights; `weights` when a file was named."""

    name: str
    directory: Path
    weights: Path | None = None


@dataclass(frozen=True, slots=True)
class CheckpointSource:
    """A weights file without a configuration, and the architecture it belongs to."""

    name: str
    architecture: str
    weights: Path


Source = TagSource | HubSource | LocalSource | CheckpointSource

_HUB_PREFIX = "hf-hub:"
_REMEDY = "Check the path; clipsearch models lists those that have a name"


def resolve(name: str, starter_dir: Path) -> Source:
    """What the model called `name` is made from. `starter_dir` is where `starter` was packaged.

    Paths become absolute, so that the same model has the same name from every directory. A name
    that is a preset or `architecture/tag` is that, even when a file of that name exists: write
    `./name` for the file.

    Raises:
        UsageError: nothing is called that.
    """
    if not name or "\0" in name:
        raise UsageError(f"{name!r} is no model's name")
    known = preset(name)
    if known is not None:
        return _from_preset(name, known.architecture, known.tag, starter_dir)
    if name.startswith(_HUB_PREFIX):
        return _from_hub(name)
    architecture, separator, path = name.partition("@")
    if separator and "/" not in architecture:
        return _from_checkpoint(architecture, Path(path))
    if _looks_like_path(name):
        return _from_path(Path(name).expanduser())
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        architecture, _, tag = name.partition("/")
        return _from_tag(architecture, tag)
    raise UsageError(
        f"no model is called {name!r}",
        f"Presets: {', '.join(each.name for each in PRESETS)}; or ARCHITECTURE/TAG of open_clip, "
        "hf-hub:ORGANISATION/REPOSITORY, a directory, ARCHITECTURE@CHECKPOINT",
    )


def _from_preset(name: str, architecture: str | None, tag: str | None, starter: Path) -> Source:
    if architecture is None or tag is None:
        return LocalSource(name, starter)
    return TagSource(name, architecture, tag)


def _from_tag(architecture: str, tag: str) -> TagSource:
    """A tag that a preset stands for goes by the preset's name, so that both are one model."""
    for each in PRESETS:
        if (each.architecture, each.tag) == (architecture, tag):
            return TagSource(each.name, architecture, tag)
    return TagSource(f"{architecture}/{tag}", architecture, tag)


def _from_hub(name: str) -> HubSource:
    repository = name.removeprefix(_HUB_PREFIX)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise UsageError(f"{name!r} is not hf-hub:ORGANISATION/REPOSITORY")
    return HubSource(name, repository)


def _from_checkpoint(architecture: str, path: Path) -> CheckpointSource:
    weights = path.expanduser().resolve()
    if not architecture or not os.path.isfile(weights):
        raise UsageError(f"there is no checkpoint file {str(path)!r}", _REMEDY)
    return CheckpointSource(f"{architecture}@{weights}", architecture, weights)


def _looks_like_path(name: str) -> bool:
    return (
        name.startswith((".", "~", os.sep))
        or name.endswith(WEIGHTS_SUFFIXES)
        or os.path.isdir(name)
        or bool(Path(name).drive)
    )


def _from_path(path: Path) -> LocalSource:
    absolute = path.resolve()
    if _is_run(absolute):
        return _from_run(absolute)
    if os.path.isdir(absolute):
        return LocalSource(str(absolute), absolute)
    if os.path.isfile(absolute):
        return LocalSource(str(absolute), absolute.parent, absolute)
    raise UsageError(f"there is no model directory or checkpoint file {str(path)!r}", _REMEDY)


def _is_run(directory: Path) -> bool:
    """Whether a directory is that of a training run; one that holds a model itself is not."""
    return os.path.isfile(directory / RUN_SETTINGS) and not os.path.exists(directory / CONFIG_NAME)


def _from_run(run: Path) -> LocalSource:
    model = run / RUN_MODEL
    if not os.path.isfile(model / CONFIG_NAME):
        raise UsageError(
            f"the training run {str(run)!r} has no model yet: it has not come to its end",
            f"Go on with: clipsearch finetune --resume {run}",
        )
    return LocalSource(str(run), model)
