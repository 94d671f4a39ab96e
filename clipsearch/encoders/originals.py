"""What a training begins with: a copy of a model's files, or an architecture with random weights.

A run keeps its own copy, so that it can go on and be compared with what it began with when the
origin was moved, replaced, or deleted.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clipsearch.encoders.fake import FAKE
from clipsearch.encoders.installing import find, install
from clipsearch.encoders.naming import CheckpointSource, LocalSource, resolve
from clipsearch.encoders.preparing import prepare
from clipsearch.encoders.store import WEIGHTS_DIR, require_stored
from clipsearch.encoders.weights import CONFIG_NAME, SAFE_NAME
from clipsearch.errors import ModelUnavailableError, UsageError
from clipsearch.storage.layout import data_dir
from clipsearch.types import Progress


def copy_original(name: str, folder: Path, models_dir: Path, progress: Progress) -> str:
    """Fill `folder` with the open_clip directory of the model called `name`; its full name.

    A model on the hub is installed first. Raises as `encoders.install` does.
    """
    if name == FAKE.name:
        raise UsageError("the model fake has no weights to train", "Try --model starter")
    source = resolve(name, data_dir() / "starter")
    if not isinstance(source, LocalSource | CheckpointSource):
        info = find(name, models_dir) or install(name, models_dir, progress)
        stored, _ = require_stored(info, models_dir)
        source = LocalSource(source.name, stored / WEIGHTS_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    prepare(source, folder, folder, progress)
    return source.name


def write_random(architecture: str, folder: Path, seed: int) -> str:
    """Fill `folder` with an open_clip directory of random weights; the architecture's full name.

    `architecture` is one of open_clip's, or a file or directory with an open_clip_config.json. The
    weights are drawn from `seed` as open_clip initialises them.

    Raises:
        UsageError: there is no such architecture.
        ModelUnavailableError: it needs files (a tokenizer, a text tower) that are only on the hub.
    """
    import open_clip
    import torch
    from safetensors.torch import save_file

    name, config = _config(architecture)
    text_cfg = config["model_cfg"]["text_cfg"]
    if text_cfg.get("hf_model_name") or text_cfg.get("hf_tokenizer_name"):
        raise ModelUnavailableError(
            f"{architecture} takes its tokenizer or text tower from the hub",
            "Choose an architecture with open_clip's own, such as ViT-B-32, or train --model",
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_NAME).write_text(json.dumps(config, indent=2), encoding="utf-8")
    with torch.random.fork_rng(devices=[]), _unwarned():
        torch.manual_seed(seed)
        # The one place where a model without weights is wanted: everywhere else it is an accident.
        model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    weights = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    save_file(weights, folder / SAFE_NAME, metadata={"format": "pt"})
    return name


@contextmanager
def _unwarned() -> Iterator[None]:
    """open_clip warns of random weights, on the terminal, also where they were asked for."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _config(architecture: str) -> tuple[str, dict[str, Any]]:
    """The full name of an architecture and its open_clip_config.json."""
    from clipsearch.encoders.openclip import config_for, read_config

    path = Path(architecture).expanduser()
    if path.is_file() and path.name == CONFIG_NAME:
        path = path.parent
    if path.is_dir():
        return str(path.resolve()), read_config(path)
    return architecture, config_for(architecture, None)
