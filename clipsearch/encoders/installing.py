"""A model made ready for use: fetched, loaded once with torch, exported, sealed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from clipsearch.encoders.hashing import sha256_of_file, sha256_of_json
from clipsearch.encoders.naming import HubSource, Source, TagSource, resolve
from clipsearch.encoders.presets import preset
from clipsearch.encoders.store import (
    TOKENIZER_JSON,
    VOCABULARY,
    WEIGHTS_DIR,
    Origin,
    StoredModel,
    add_origin,
    is_whole,
    model_folder,
    read_stored,
    seal_files,
    stored_models,
    write_stored,
)
from clipsearch.encoders.weights import CONFIG_NAME, PICKLE_NAME, SAFE_NAME
from clipsearch.errors import DamageError, StorageError, UsageError
from clipsearch.storage.layout import data_dir, make_private_dir, sync_dir
from clipsearch.storage.lock import writer_lock
from clipsearch.storage.refusals import next_step
from clipsearch.types import ModelInfo, Progress

if TYPE_CHECKING:
    from clipsearch.encoders.openclip import LoadedModel
    from clipsearch.encoders.preparing import Prepared
    from clipsearch.encoders.tokenizing import TokenizerFacts

_STAGING = ".installing-"
_DOWNLOADS = ".downloads"
_STEPS = 3


def find(name: str, models_dir: Path) -> ModelInfo | None:
    """The installed model that `name` stands for, None when it is not installed.

    A local model whose files changed since is not installed any more.

    Raises:
        UsageError: nothing is called that.
    """
    try:
        source = resolve(name, data_dir() / "starter")
    except UsageError:
        # Installed from a directory or a checkpoint file that was moved away since, perhaps.
        for spelt in (name, os.path.abspath(os.path.expanduser(name))):
            moved = _installed_as(spelt, None, models_dir)
            if moved is not None:
                return moved
        raise
    return _installed_as(source.name, _stamp(source), models_dir)


def _installed_as(name: str, stamp: str | None, models_dir: Path) -> ModelInfo | None:
    for _, model in stored_models(models_dir):
        for origin in model.origins:
            if origin.name == name and stamp in (None, origin.stamp):
                return replace(model.info, name=name)
    return None


def install(name: str, models_dir: Path, progress: Progress) -> ModelInfo:
    """Make a model ready. See `clipsearch.encoders.install`."""
    found = find(name, models_dir)
    if found is not None and is_whole(found, models_dir):
        return found
    source = resolve(name, data_dir() / "starter")
    with _storage_errors(models_dir):
        make_private_dir(models_dir)
        _remove_abandoned(models_dir)
        staging = Path(tempfile.mkdtemp(prefix=f"{_STAGING}{os.getpid()}-", dir=models_dir))
    try:
        with _storage_errors(models_dir):
            return _install(source, staging, models_dir, progress)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _install(source: Source, staging: Path, models_dir: Path, progress: Progress) -> ModelInfo:
    from clipsearch.encoders.preparing import digest, prepare

    origin = Origin(source.name, _stamp(source))
    weights = staging / WEIGHTS_DIR
    weights.mkdir()
    with _downloading(source, models_dir / _DOWNLOADS) as downloads:
        prepared = prepare(source, weights, downloads, progress)
    source_digest = digest(weights)
    for folder, stored in stored_models(models_dir):
        if stored.source_digest == source_digest and is_whole(stored.info, models_dir):
            # The same files under another name or place: nothing to load or export.
            return replace(add_origin(folder, stored, origin).info, name=origin.name)

    stored = _build(staging, origin, source_digest, prepared, progress)
    published = _publish(staging, stored, models_dir)
    return replace(published.info, name=origin.name)


@contextmanager
def _downloading(source: Source, downloads: Path) -> Iterator[Path]:
    """The folder for downloads, held against other processes; emptied once it has served.

    Two that continue the same half-finished file would take it from each other.

    Raises:
        LockedError: another process is fetching a model.
    """
    if not isinstance(source, TagSource | HubSource):
        yield downloads
        return
    make_private_dir(downloads)
    with writer_lock(downloads, "folder for downloads"):
        yield downloads
        shutil.rmtree(downloads, ignore_errors=True)


def _build(
    staging: Path, origin: Origin, source_digest: str, prepared: "Prepared", progress: Progress
) -> StoredModel:
    """Load the prepared model, write tokenizer and both towers beside it, and seal everything."""
    from clipsearch.encoders.exporting import export_image_tower, export_text_tower
    from clipsearch.encoders.openclip import load_model
    from clipsearch.encoders.tokenizing import copy_tokenizer

    progress("preparing", 0, _STEPS)
    loaded = load_model(staging / WEIGHTS_DIR)
    tokenizer = copy_tokenizer(loaded.tokenizer, loaded.context_length, staging / TOKENIZER_JSON)
    progress("preparing", 1, _STEPS)
    any_length = export_text_tower(loaded, staging)
    progress("preparing", 2, _STEPS)
    export_image_tower(loaded, staging)
    progress("preparing", _STEPS, _STEPS)
    if (staging / WEIGHTS_DIR / VOCABULARY).is_file():
        shutil.copyfile(staging / WEIGHTS_DIR / VOCABULARY, staging / VOCABULARY)
    known = preset(origin.name)
    return StoredModel(
        info=_describe(loaded, staging / WEIGHTS_DIR, tokenizer, origin.name),
        origins=(origin,),
        source_digest=source_digest,
        fetched_from=prepared.fetched_from,
        licence=prepared.licence or (known.licence if known else None),
        tokenizer=tokenizer,
        any_length=any_length,
        files=seal_files(staging),
    )


def _describe(
    loaded: "LoadedModel", weights: Path, tokenizer: "TokenizerFacts", name: str
) -> ModelInfo:
    """The model's facts and its fingerprint.

    The fingerprint covers the bytes of the weights file, the architecture, the preprocessing and
    what the tokenizer does, and nothing that differs between two machines or places.
    """
    from clipsearch.encoders.openclip import architecture_of, logit_scale_and_bias

    file = next(weights / each for each in (SAFE_NAME, PICKLE_NAME) if (weights / each).exists())
    scale, bias = logit_scale_and_bias(loaded)
    return ModelInfo(
        name=name,
        fingerprint=sha256_of_json(
            {
                "weights": sha256_of_file(file),
                "architecture": architecture_of(weights),
                "preprocess": asdict(loaded.preprocess),
                "tokenizer": tokenizer.identity,
                "context_length": loaded.context_length,
            }
        ),
        embed_dim=loaded.embed_dim,
        preprocess=loaded.preprocess,
        context_length=loaded.context_length,
        logit_scale=scale,
        logit_bias=bias,
    )


def _publish(staging: Path, stored: StoredModel, models_dir: Path) -> StoredModel:
    """Give a finished folder its name, in place of one with the same fingerprint.

    Same fingerprint, same vectors; but what lies beside them (the vocabulary) may be newer here.
    """
    folder = model_folder(models_dir, stored.info.fingerprint)
    with suppress(DamageError):
        older = read_stored(folder)
        names = {origin.name for origin in stored.origins}
        kept = tuple(origin for origin in older.origins if origin.name not in names)
        stored = replace(stored, origins=(*kept, *stored.origins))
    write_stored(staging, stored)
    if folder.exists():
        # Moved aside first: a rename never replaces a folder that has something in it.
        folder.rename(staging.with_name(f"{staging.name}-replaced"))
    staging.rename(folder)
    sync_dir(models_dir)
    shutil.rmtree(staging.with_name(f"{staging.name}-replaced"), ignore_errors=True)
    return stored


def _stamp(source: Source) -> str | None:
    """Tells when the files of a local model were changed, without reading them."""
    from clipsearch.encoders.preparing import local_weights

    weights = local_weights(source)
    if weights is None:
        return None
    files = [weights, weights.with_name(CONFIG_NAME), weights.with_name(VOCABULARY)]
    stats = [path.stat() for path in files if path.is_file()]
    return sha256_of_json([[stat.st_size, stat.st_mtime_ns] for stat in stats])


def _remove_abandoned(models_dir: Path) -> None:
    """Remove unfinished folders whose process is gone."""
    for folder in models_dir.glob(f"{_STAGING}*"):
        pid = folder.name.removeprefix(_STAGING).partition("-")[0]
        if pid.isdigit() and not _is_alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # asking with os.kill would end the process there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _storage_errors(models_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"models cannot be stored in {models_dir}: {error.strerror or error}",
            next_step(error, "set CLIPSEARCH_MODELS to another directory"),
        ) from error
