"""Where things lie on this machine, and how private files are written.

A library is a directory:

    catalogue.sqlite            the only truth (see `catalogue`)
    <fingerprint>.faiss         a disposable snapshot of one model's embeddings (see `vectors`)
    lock                        held by the one process that is writing (see `lock`)
    catalogue.sqlite.backup-v1  what a migration left behind
    labels/                     disposable vectors of label sets (see `label_vectors`)
    in-hand                     the photos that are being read just now (see `photos.in_hand`)
    .clipsearchignore           keeps an index run out of here
    *.tmp                       unfinished files; only the holder of the lock makes them
"""

import os
from pathlib import Path

CATALOGUE_NAME = "catalogue.sqlite"
LOCK_NAME = "lock"
IN_HAND_NAME = "in-hand"
IGNORE_FILE = ".clipsearchignore"
TEMPORARY_SUFFIX = ".tmp"

LIBRARY_VARIABLE = "CLIPSEARCH_LIBRARY"
MODELS_VARIABLE = "CLIPSEARCH_MODELS"


def library_dir(given: str | None = None) -> Path:
    """The library: what was given, else $CLIPSEARCH_LIBRARY, else in the user data directory."""
    return _chosen(given, LIBRARY_VARIABLE, "library")


def models_dir() -> Path:
    """Where models are installed: $CLIPSEARCH_MODELS, else in the user data directory."""
    return _chosen(None, MODELS_VARIABLE, "models")


def data_dir() -> Path:
    """The data that ships with clipsearch: templates, label lists, the starter model."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "data"
    # A checkout keeps the folder beside the package; a wheel carries it inside.
    return installed if installed.is_dir() else package.parent / "data"


def snapshot_name(fingerprint: str) -> str:
    """The file name of a model's snapshot, so that two models never share one."""
    return f"{fingerprint[:16]}.faiss"


def catalogue_path(directory: Path) -> Path:
    """The catalogue of a library; the file itself where the library only has a link to it.

    SQLite keeps the log beside that file, and whoever writes by another link is to meet the same
    lock.
    """
    path = directory / CATALOGUE_NAME
    return Path(os.path.realpath(path)) if os.path.islink(path) else path


def make_private_dir(path: Path) -> None:
    """Create `path` and its missing parents, readable by their owner only (0700)."""
    if path.is_dir():
        return
    make_private_dir(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)


def open_private(path: Path, *, exclusive: bool = False) -> int:
    """A descriptor for writing to a file that only its owner may read (0600)."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.open(path, flags | (os.O_EXCL if exclusive else 0), 0o600)


def sync_dir(path: Path) -> None:
    """Make the names in a directory as durable as the files behind them."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_files(directory: Path) -> list[Path]:
    """The unfinished files of a library, sorted.

    Only names that clipsearch gives: a library may have been put among other files.
    """
    patterns = (f"*.faiss{TEMPORARY_SUFFIX}", f"{CATALOGUE_NAME}*{TEMPORARY_SUFFIX}*")
    return sorted(path for pattern in patterns for path in directory.glob(pattern))


def sweep_temporary(directory: Path) -> None:
    """Remove what killed writers left. Only for the holder of the lock: nobody else makes any."""
    for path in temporary_files(directory):
        path.unlink(missing_ok=True)


def _chosen(given: str | None, variable: str, name: str) -> Path:
    chosen = given or os.environ.get(variable)
    if chosen:
        return Path(os.path.abspath(os.path.expanduser(chosen)))
    from platformdirs import user_data_path

    return Path(os.path.abspath(user_data_path("clipsearch", appauthor=False))) / name
