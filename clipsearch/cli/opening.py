"""What most commands begin with: the library, the model it belongs to, the towers that answer."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from clipsearch.cli.escape import visible, visible_path
from clipsearch.cli.output import note
from clipsearch.cli.progress import size
from clipsearch.errors import ClipsearchError

if TYPE_CHECKING:
    from clipsearch.encoders import Towers
    from clipsearch.library import Library
    from clipsearch.types import ModelInfo, Progress

DEFAULT_MODEL = "balanced"


def open_library(given: str | None) -> "Library":
    """The library to read, open. Raises what `Library.open` raises."""
    from clipsearch.library import Library
    from clipsearch.storage.layout import library_dir

    return Library.open(library_dir(given))


def towers_of(library: "Library") -> "Towers":
    """The towers of the library's model.

    Raises StorageError when nothing was indexed yet, ModelUnavailableError when the model is not
    installed, ModelMismatchError when another one is installed under its name.
    """
    from clipsearch.encoders import load_towers, require_own
    from clipsearch.storage.layout import models_dir

    _, info = library.require_model()
    require_own(info, models_dir())
    return load_towers(info, models_dir())


def model_to_index_with(directory: Path, asked: str | None, progress: "Progress") -> "ModelInfo":
    """The model for an index run: the one asked for, else the library's, else the default.

    The library's own is known by its fingerprint: where it was installed from may be gone since.
    It is installed when it is not yet. Raises what `encoders.install` raises; when nobody asked for
    the model that could not be fetched, the error names the one that needs no fetching.
    """
    from clipsearch.encoders import find_installed, install, is_installed
    from clipsearch.storage.layout import models_dir

    own = None if asked else _model_of(directory)
    if own is not None and is_installed(own, models_dir()):
        return own
    name = own.name if own is not None else asked
    found = find_installed(name or DEFAULT_MODEL, models_dir())
    if found is not None:
        return found
    announce(name or DEFAULT_MODEL)
    try:
        return install(name or DEFAULT_MODEL, models_dir(), progress)
    except ClipsearchError as error:
        if name is None and "--model starter" not in str(error):
            error.remedy = f"{error.remedy} Or add --model starter: it needs no download".strip()
        raise


def warn_of_network_disk(directory: Path) -> None:
    """Say that a library is where several machines may reach it, and what that costs."""
    from clipsearch.storage.network_disks import network_type

    kind = network_type(directory)
    if kind is not None:
        note(
            f"clipsearch: the library {visible_path(os.fsencode(directory))} is on a network disk "
            f"({kind}): use it from one machine at a time."
        )


def announce(name: str) -> None:
    """Say what is about to be fetched, and how much that is."""
    from clipsearch.encoders.presets import preset

    known = preset(name)
    if known is not None and known.download:
        note(
            f"clipsearch: the model {known.name} ({known.architecture}, {known.licence} licence) "
            f"is fetched once: about {size(known.download)}."
        )
    elif known is None:
        note(f"clipsearch: the model {visible(name)} is prepared for its first use.")


def _model_of(directory: Path) -> "ModelInfo | None":
    from clipsearch.library import Library
    from clipsearch.storage.layout import CATALOGUE_NAME

    if not (directory / CATALOGUE_NAME).exists():
        return None
    with Library.open(directory) as library:
        return library.model
