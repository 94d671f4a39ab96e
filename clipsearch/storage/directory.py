"""A library's directory: whether there is one, and making a new one."""

import contextlib
import os
from pathlib import Path

from clipsearch.errors import DamageError, StorageError
from clipsearch.storage.catalogue_file import create_catalogue_file
from clipsearch.storage.layout import (
    CATALOGUE_NAME,
    IGNORE_FILE,
    IN_HAND_NAME,
    LOCK_NAME,
    catalogue_path,
    make_private_dir,
)
from clipsearch.storage.refusals import next_step

# What lies in a library, as patterns of an ignore file.
_OURS = (f"{CATALOGUE_NAME}*", "*.faiss*", LOCK_NAME, IN_HAND_NAME)


def catalogue_in(directory: Path, *, create: bool) -> Path:
    """The catalogue file of a library; with `create`, it is made when there is no library.

    Raises StorageError when there is none or there cannot be one, DamageError when only its
    snapshots are left, LockedError when another process is making it.
    """
    path = catalogue_path(directory)
    if _exists(path):
        return path
    _refuse_lost_link(directory, path)
    _refuse_remains(directory)
    if not create:
        raise StorageError(
            f"There is no library in {directory}", "Run `clipsearch index FOLDER` first."
        )
    _create(directory, path)
    return path


def _exists(path: Path) -> bool:
    """Whether the catalogue is there. Raises StorageError when its directory cannot be one."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    except NotADirectoryError as error:
        raise StorageError(
            f"{path.parent} is a file, not a library", "Name a directory with --library."
        ) from error
    except OSError as error:
        raise StorageError(
            f"The library {path.parent} cannot be read ({error.strerror})",
            "Check its permissions, or name another directory with --library.",
        ) from error
    return True


def _create(directory: Path, path: Path) -> None:
    try:
        make_private_dir(directory)
    except OSError as error:
        raise StorageError(
            f"The library {directory} cannot be created ({error.strerror})",
            f"{next_step(error, 'choose another directory with --library')}.",
        ) from error
    create_catalogue_file(path)
    # A full disk: the library itself is there, and works.
    with contextlib.suppress(OSError):
        keep_index_out(directory)


def keep_index_out(directory: Path) -> None:
    """A library among photos is none of them; they stay what they were. Raises OSError.

    Somebody's own ignore file is left as it is: then our files are looked at, and are no photos.
    """
    with contextlib.suppress(FileExistsError), (directory / IGNORE_FILE).open("x") as file:
        file.writelines(f"/{name}\n" for name in _OURS)


def _refuse_lost_link(directory: Path, path: Path) -> None:
    """A link to a disk that is not there just now must not become an empty library."""
    if os.path.islink(directory / CATALOGUE_NAME):
        raise StorageError(
            f"The catalogue of {directory} is a link to {path}, which is not there",
            "Connect its disk, or remove the link.",
        )


def _refuse_remains(directory: Path) -> None:
    """A snapshot without a catalogue: something took it away, so do not start an empty one."""
    if any(directory.glob("*.faiss")):
        raise DamageError(
            f"The catalogue of the library {directory} is gone",
            f"Restore {CATALOGUE_NAME} from a backup, or remove the directory and index again.",
        )
