"""The files of a model brought together in one open_clip directory, wherever they come from.

Local files are copied, so that an installed model keeps working when its origin is moved, changed
or trained on.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipsearch.encoders.downloading import REMEDIES, Repository, fetch, open_repository
from clipsearch.encoders.hashing import sha256_of_file, sha256_of_json
from clipsearch.encoders.naming import (
    CheckpointSource,
    HubSource,
    LocalSource,
    Source,
    TagSource,
)
from clipsearch.encoders.openclip import (
    TEXT_MODEL_DIR,
    TOKENIZER_FILES,
    config_for,
    hub_file,
    read_config,
    require_transformers,
)
from clipsearch.encoders.store import VOCABULARY
from clipsearch.encoders.weights import CONFIG_NAME, preferred_weights, stored_name
from clipsearch.errors import ModelUnavailableError
from clipsearch.types import Progress


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was brought together: where it came from, under which licence (None: not known)."""

    fetched_from: str | None = None
    licence: str | None = None


def prepare(source: Source, folder: Path, downloads: Path, progress: Progress) -> Prepared:
    """Fill `folder` with open_clip_config.json, weights and what the tokenizer needs.

    Raises:
        ModelUnavailableError: it cannot be fetched, or is not of a kind that is read.
        MissingExtraError: its tokenizer needs transformers; said before anything is fetched.
        StorageError: there is no space or no permission.
    """
    if isinstance(source, LocalSource):
        return _copy_directory(source, folder)
    if isinstance(source, CheckpointSource):
        _write_config(folder, config_for(source.architecture, None))
        _copy(source.weights, folder / stored_name(source.weights))
        _copy_companions(source.weights.parent, folder)
        return Prepared()
    if isinstance(source, TagSource):
        return _fetch_tag(source, folder, downloads, progress)
    return _fetch_repository(source, folder, downloads, progress)


def local_weights(source: Source) -> Path | None:
    """The weights file of a local source, None for one on the hub.

    Raises:
        ModelUnavailableError: the directory holds no weights.
    """
    if isinstance(source, CheckpointSource):
        return source.weights
    if not isinstance(source, LocalSource):
        return None
    if source.weights is not None:
        return source.weights
    names = [path.name for path in source.directory.glob("*") if path.is_file()]
    chosen = preferred_weights(names)
    if chosen is None:
        raise ModelUnavailableError(
            f"there are no weights in {source.directory}",
            f"A model directory holds {CONFIG_NAME} and open_clip_model.safetensors",
        )
    return source.directory / chosen


def digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a prepared folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return sha256_of_json(
        [[path.relative_to(folder).as_posix(), sha256_of_file(path)] for path in files]
    )


def _copy_directory(source: LocalSource, folder: Path) -> Prepared:
    weights = local_weights(source)
    if weights is None:
        raise AssertionError("a local source has a weights file")
    # Its problems first: they cost nothing to find, and the weights may be large.
    config = read_config(source.directory)
    _copy(weights, folder / stored_name(weights))
    _write_config(folder, config)
    _copy_companions(weights.parent, folder)
    return Prepared()


def _copy_companions(origin: Path, folder: Path) -> None:
    """Copy what may lie beside weights: tokenizer, vocabulary, the text tower's configuration."""
    text_model = f"{TEXT_MODEL_DIR}/config.json"
    for name in (*TOKENIZER_FILES, VOCABULARY, text_model):
        if (origin / name).is_file():
            (folder / name).parent.mkdir(exist_ok=True)
            _copy(origin / name, folder / name)


def _fetch_tag(source: TagSource, folder: Path, downloads: Path, progress: Progress) -> Prepared:
    config = config_for(source.architecture, source.tag)
    repository_name, file = hub_file(source.architecture, source.tag)
    _require_extras(config)
    repository = open_repository(repository_name)
    weights = _weights_of(repository, file)
    return _fetch_model(repository, weights, config, folder, downloads, progress)


def _fetch_repository(
    source: HubSource, folder: Path, downloads: Path, progress: Progress
) -> Prepared:
    repository = open_repository(source.repository)
    if CONFIG_NAME not in repository.files:
        raise ModelUnavailableError(
            f"{source.repository} is not an open_clip model: it has no {CONFIG_NAME}",
            "Choose a repository in open_clip's format",
        )
    here = _download_folder(downloads, repository)
    fetch(repository, [CONFIG_NAME], here, progress)
    config = read_config(here)
    _require_extras(config)
    weights = _weights_of(repository, None)
    return _fetch_model(repository, weights, config, folder, downloads, progress)


def _fetch_model(
    repository: Repository,
    weights: str,
    config: dict[str, Any],
    folder: Path,
    downloads: Path,
    progress: Progress,
) -> Prepared:
    here = _download_folder(downloads, repository)
    (fetched,) = fetch(repository, [weights], here, progress)
    text_cfg = config["model_cfg"]["text_cfg"]
    if text_cfg.get("hf_tokenizer_name"):
        tokenizer = _other(repository, text_cfg["hf_tokenizer_name"])
        _fetch_some(tokenizer, TOKENIZER_FILES, folder, downloads, progress)
    if text_cfg.get("hf_model_name"):
        text_model = _other(repository, text_cfg["hf_model_name"])
        (folder / TEXT_MODEL_DIR).mkdir()
        _fetch_some(text_model, ("config.json",), folder / TEXT_MODEL_DIR, downloads, progress)
    # A rename where possible: the weights may be gigabytes.
    shutil.move(fetched, folder / stored_name(fetched))
    _write_config(folder, config)
    return Prepared(f"{repository.name}@{repository.revision}", repository.licence)


def _fetch_some(
    repository: Repository,
    wanted: tuple[str, ...],
    folder: Path,
    downloads: Path,
    progress: Progress,
) -> None:
    names = [name for name in wanted if name in repository.files]
    if not names:
        raise ModelUnavailableError(
            f"{repository.name} has none of {', '.join(wanted[:3])}", REMEDIES
        )
    for path in fetch(repository, names, _download_folder(downloads, repository), progress):
        _copy(path, folder / path.name)


def _other(repository: Repository, name: str) -> Repository:
    return repository if name == repository.name else open_repository(name)


def _weights_of(repository: Repository, file: str | None) -> str:
    """The weights to fetch: safetensors where the repository has them, else what open_clip names.

    Only files at the top count: folders hold other models.
    """
    names = [name for name in repository.files if "/" not in name]
    if file is not None:
        safe = str(Path(file).with_suffix(".safetensors"))
        names = [name for name in (safe, file) if name in names]
    chosen = preferred_weights(names)
    if chosen is None:
        raise ModelUnavailableError(f"{repository.name} holds no weights", REMEDIES)
    return chosen


def _download_folder(downloads: Path, repository: Repository) -> Path:
    # The revision is in the name: a newer one never continues an older one's half-finished file.
    return downloads / f"{repository.name.replace('/', '--')}@{repository.revision[:12]}"


def _require_extras(config: dict[str, Any]) -> None:
    text_cfg = config["model_cfg"]["text_cfg"]
    if "hf_model_name" in text_cfg or "hf_tokenizer_name" in text_cfg:
        require_transformers()


def _write_config(folder: Path, config: dict[str, Any]) -> None:
    (folder / CONFIG_NAME).write_text(json.dumps(config, indent=2), encoding="utf-8")


_copy: Callable[[Path, Path], object] = shutil.copyfile
