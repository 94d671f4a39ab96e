"""Checks of what clipsearch itself has stored: models and the library."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from clipsearch.checking.findings import Check
from clipsearch.encoders import (
    damaged_records,
    find_installed,
    installed_models,
    load_towers,
    require_own,
    verify,
)
from clipsearch.errors import ClipsearchError, ModelUnavailableError
from clipsearch.library import Library
from clipsearch.storage.layout import CATALOGUE_NAME
from clipsearch.types import ModelInfo


def check_models(models_dir: Path) -> Iterator[Check]:
    """Whether each installed model is whole and can be opened, text tower and image tower."""
    models = [model.info for model in installed_models(models_dir)]
    damaged = damaged_records(models_dir)
    if not models and not damaged:
        yield Check("models", "note", "none installed", "Fetched by index, or: models pull NAME")
    for info in models:
        yield _guarded(f"model {info.name}", partial(_verify, info, models_dir))
    for error in damaged:
        yield _as_problem("models", error)


def verify_model(name: str, models_dir: Path) -> str:
    """Hash every file of an installed model and open both towers; what was found, in words.

    Raises ModelUnavailableError when it is not installed, DamageError when it is damaged, and when
    it is not found but one of the models there is too damaged to tell what it is.
    """
    info = find_installed(name, models_dir)
    if info is not None:
        return _verify(info, models_dir)
    damaged = damaged_records(models_dir)
    if damaged:
        raise damaged[0]
    raise ModelUnavailableError(
        f"the model {name} is not installed", f"Run: clipsearch models pull {name}"
    )


def _verify(info: ModelInfo, models_dir: Path) -> str:
    verify(info, models_dir)
    towers = load_towers(info, models_dir)
    towers.text.encode_text(["a photo"])
    _ = towers.image.info
    return f"opens, {info.embed_dim} numbers per photo"


def check_library(library_dir: Path, models_dir: Path) -> Iterator[Check]:
    """Whether the library can be read, is whole, has its model, and its folders are there."""
    if not os.path.lexists(library_dir / CATALOGUE_NAME):
        yield Check("library", "note", "none yet", "Make one with: clipsearch index FOLDER")
        return
    try:
        with Library.open(library_dir) as library:
            yield from _check_open_library(library, models_dir)
    except ClipsearchError as error:
        yield _as_problem("library", error)


def _check_open_library(library: Library, models_dir: Path) -> Iterator[Check]:
    counts = library.catalogue.counts()
    yield Check("library", "ok", f"{counts.photos:,} photos, {counts.embedded:,} searchable")
    yield _guarded("catalogue", partial(check_catalogue, library))
    info = library.model
    if info is not None:
        yield _guarded("library's model", partial(check_own_model, info, models_dir))
    for root in library.catalogue.roots():
        name = os.fsdecode(root.path)
        if os.path.isdir(root.path):
            yield Check("folder", "ok", name)
        else:
            remedy = "Mount its disk; if it is gone for good: clipsearch library forget"
            yield Check("folder", "warning", f"{name} is not there", remedy)


def check_own_model(info: ModelInfo, models_dir: Path) -> str:
    """Look for the very model a library was made with; its name.

    Raises what `encoders.require_own` raises.
    """
    require_own(info, models_dir)
    return info.name


def check_catalogue(library: Library) -> str:
    """Read every embedding of the active model against its checksum; what was found, in words.

    Raises DamageError when the catalogue or an embedding is damaged.
    """
    model_id = library.catalogue.active_model_id()
    if model_id is None:
        return "no embeddings yet"
    rows = sum(len(block.row_ids) for block in library.catalogue.embeddings(model_id))
    return f"{rows:,} embeddings fit their checksums"


def rebuild_snapshot(library: Library) -> bool:
    """Check every embedding and bring the snapshot up to date; whether it had to be written.

    Erases nothing. Raises DamageError for a damaged embedding, LockedError when another process is
    writing, StorageError when nothing can be written.
    """
    with library.writer():
        check_catalogue(library)
        return library.rebuild_snapshot()


def _guarded(subject: str, examine: Callable[[], str]) -> Check:
    try:
        return Check(subject, "ok", examine())
    except ClipsearchError as error:
        return _as_problem(subject, error)


def _as_problem(subject: str, error: ClipsearchError) -> Check:
    return Check(subject, "problem", error.message, error.remedy, error.exit_code)
