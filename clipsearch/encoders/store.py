"""Installed models on disk.

    <models_dir>/<first 16 of the fingerprint>/
        model.json                   what this module writes and reads
        weights/                     an open_clip directory: what everything else is made from
        image.onnx, image.onnx.data  the exported towers
        text.onnx, text.onnx.data
        tokenizer.json
        vocabulary.txt               only for models that say which words they know
        bulk.json                    what was measured on which machine (`bulk`)
        int8-*.npz                   how the image tower becomes int8 (`int8`), named by digest

A folder appears under its name only when it is complete. Sizes are checked whenever a model is
opened; contents when it is opened for bulk work and by `verify`. model.json carries a digest of
itself; bulk.json is a note that is measured again when it cannot be used.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from clipsearch.encoders.hashing import sha256_of_file, sha256_of_json
from clipsearch.encoders.tokenizing import TokenizerFacts
from clipsearch.errors import DamageError, ModelUnavailableError, StorageError
from clipsearch.storage.layout import sync_dir
from clipsearch.storage.refusals import next_step
from clipsearch.types import ModelInfo, model_info_from

MODEL_JSON = "model.json"
WEIGHTS_DIR = "weights"
TOKENIZER_JSON = "tokenizer.json"
VOCABULARY = "vocabulary.txt"

_FORMAT = 2
_UNSEALED = (MODEL_JSON, "bulk.json")
_REMEDY = "Run `clipsearch models pull` with the model's name: it is installed again"


@dataclass(frozen=True, slots=True)
class Seal:
    """The size and the SHA-256 of a file when it was installed."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Origin:
    """A name under which this model was asked for; `stamp` tells when a local file changed."""

    name: str
    stamp: str | None


@dataclass(frozen=True, slots=True)
class StoredModel:
    """What model.json holds.

    `source_digest` is over the files it was made from, `fetched_from` a hub repository at a
    revision or None, `any_length` whether the text tower takes rows shorter than the context.
    """

    info: ModelInfo
    origins: tuple[Origin, ...]
    source_digest: str
    fetched_from: str | None
    licence: str | None
    tokenizer: TokenizerFacts
    any_length: bool
    files: dict[str, Seal]


def model_folder(models_dir: Path, fingerprint: str) -> Path:
    """Where the model of that fingerprint is installed, if it is."""
    return models_dir / fingerprint[:16]


def read_stored(folder: Path) -> StoredModel:
    """Read model.json.

    Raises:
        DamageError: it cannot be read.
    """
    path = folder / MODEL_JSON
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["format"] != _FORMAT:
            raise ValueError(f"format {value['format']} is not known here")
        if value.pop("digest") != sha256_of_json(value):
            raise ValueError("it does not fit its own digest")
        return _from_json(value)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamageError(f"{path} cannot be read: {error}", _REMEDY) from error


def write_stored(folder: Path, stored: StoredModel) -> None:
    """Write model.json, whole or not at all."""
    path = folder / MODEL_JSON
    value = {"format": _FORMAT, **asdict(stored)}
    temporary = path.with_name(f"{MODEL_JSON}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump({**value, "digest": sha256_of_json(value)}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_dir(folder)


def stored_models(models_dir: Path) -> list[tuple[Path, StoredModel]]:
    """Every installed model that can be read, with its folder, by name."""
    found = []
    for folder in _folders(models_dir):
        try:
            found.append((folder, read_stored(folder)))
        except DamageError:
            # A damaged folder is not an installed model; installing it again replaces it.
            continue
    return sorted(found, key=lambda pair: pair[1].info.name)


def damaged_records(models_dir: Path) -> list[DamageError]:
    """Why `stored_models` leaves folders out: nobody can tell any more which models they are."""
    found = []
    for folder in _folders(models_dir):
        try:
            read_stored(folder)
        except DamageError as error:
            found.append(error)
    return found


def _folders(models_dir: Path) -> Iterator[Path]:
    for path in sorted(models_dir.glob(f"*/{MODEL_JSON}")):
        if not path.parent.name.startswith("."):
            yield path.parent


def require_stored(info: ModelInfo, models_dir: Path) -> tuple[Path, StoredModel]:
    """The folder and record of an installed model, its files present in their recorded sizes.

    Raises:
        ModelUnavailableError: it is not installed here.
        DamageError: its files are incomplete.
    """
    folder = model_folder(models_dir, info.fingerprint)
    if not (folder / MODEL_JSON).is_file():
        raise ModelUnavailableError(
            f"the model {info.name!r} is not installed", f"Run `clipsearch models pull {info.name}`"
        )
    stored = read_stored(folder)
    if stored.info.fingerprint != info.fingerprint:
        raise DamageError(f"{folder} holds another model than its name says", _REMEDY)
    for name, seal in stored.files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != seal.size:
            raise DamageError(f"{path} is missing or incomplete", _REMEDY)
    return folder, stored


def is_whole(info: ModelInfo, models_dir: Path) -> bool:
    """Whether every file of an installed model has its recorded contents."""
    try:
        folder, stored = require_stored(info, models_dir)
        check_contents(folder, stored, list(stored.files))
    except (DamageError, ModelUnavailableError):
        return False
    return True


def check_contents(folder: Path, stored: StoredModel, names: list[str]) -> None:
    """Compare files with the hashes recorded when they were installed.

    Raises:
        DamageError: one differs, by name.
    """
    for name in names:
        try:
            actual = sha256_of_file(folder / name)
        except OSError as error:
            raise DamageError(f"{folder / name} cannot be read: {error}", _REMEDY) from error
        if actual != stored.files[name].sha256:
            raise DamageError(f"{folder / name} is damaged: its SHA-256 changed", _REMEDY)


def seal_files(folder: Path) -> dict[str, Seal]:
    """Sizes and hashes of everything in a finished folder, by path relative to it."""
    return {
        path.relative_to(folder).as_posix(): Seal(path.stat().st_size, sha256_of_file(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in _UNSEALED
    }


def add_origin(folder: Path, stored: StoredModel, origin: Origin) -> StoredModel:
    """Record another name for an installed model, in place of an older stamp of the same name.

    Raises:
        StorageError: the folder cannot be written.
    """
    others = tuple(each for each in stored.origins if each.name != origin.name)
    changed = replace(stored, origins=(*others, origin))
    try:
        write_stored(folder, changed)
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written ({error.strerror})",
            next_step(error, "set CLIPSEARCH_MODELS to another directory"),
        ) from error
    return changed


def _from_json(value: dict[str, Any]) -> StoredModel:
    return StoredModel(
        info=model_info_from(value["info"]),
        origins=tuple(Origin(**each) for each in value["origins"]),
        source_digest=value["source_digest"],
        fetched_from=value["fetched_from"],
        licence=value["licence"],
        tokenizer=TokenizerFacts(**value["tokenizer"]),
        any_length=value["any_length"],
        files={name: Seal(**seal) for name, seal in value["files"].items()},
    )
