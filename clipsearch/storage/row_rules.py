"""What a good row is, besides what the schema itself demands: paths, hashes, checksums, vectors.

Each function says what is wrong with a row, or None. `check` reads the whole catalogue by these
rules, and a catalogue that is rebuilt takes only the rows that keep them.
"""

import os
from collections.abc import Callable
from datetime import datetime

import numpy as np

from clipsearch.storage.half_floats import faulty_rows, rows_and_norms, unpack
from clipsearch.storage.records import (
    embedding_checksum,
    embedding_seed,
    join_path,
    model_from_json,
    photo_checksum,
)
from clipsearch.types import ModelInfo

HASH_SIZE = 32
# SQLite numbers rows from here; a smaller number is damage, also of a row that is good otherwise.
FIRST_ID = 1


def fault_by(rule: Callable[..., str | None], *columns: object) -> str | None:
    """What `rule` says of these columns of a damaged file, which may be of any type."""
    try:
        return rule(*columns)
    except (TypeError, ValueError, AttributeError):
        return "its columns are of other types"


def model_fault(fingerprint: str, info: str) -> str | None:
    """A model's facts must be readable and carry the fingerprint they are stored under."""
    try:
        known = model_from_json(info)
    except (ValueError, TypeError, KeyError, AttributeError):
        return "its facts cannot be read"
    if type(known.embed_dim) is not int or known.embed_dim < 1:
        return "its facts cannot be right"
    return None if known.fingerprint == fingerprint else "it carries another's fingerprint"


def root_fault(path: bytes) -> str | None:
    """A root is an absolute path."""
    return None if os.path.isabs(path) and b"\0" not in path else "its path is not absolute"


def folder_fault(path: bytes) -> str | None:
    """A folder lies below its root: names joined by "/", or b"" for the root itself."""
    names = path.split(b"/") if path else []
    if any(name in (b"", b".", b"..") for name in names) or b"\0" in path:
        return "its path leads elsewhere"
    return None


def content_fault(content_hash: bytes, width: int, height: int, taken_at: str | None) -> str | None:
    """A content has a whole hash, a size, and a date that is one."""
    if len(content_hash) != HASH_SIZE:
        return "its hash is not whole"
    if width < 1 or height < 1:
        return "its size is impossible"
    try:
        datetime.fromisoformat(taken_at or "2000-01-01")
    except ValueError:
        return "its date cannot be read"
    return None


def photo_fault(
    root: bytes, folder: bytes, name: bytes, content_hash: bytes | None, checksum: int
) -> str | None:
    """A photo's name is one name, and its checksum ties its absolute path to its content."""
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
        return "its name is no file's"
    if photo_checksum(join_path(root, folder, name), content_hash) != checksum:
        return "its checksum does not fit its path and content"
    return None


def embedding_fault(
    info: ModelInfo, content_hash: bytes, checksum: int, vector: bytes
) -> str | None:
    """An embedding has the model's length, its own checksum, and is a finite unit vector."""
    if len(vector) != 2 * info.embed_dim:
        return "its length is not the model's"
    if embedding_checksum(embedding_seed(info.fingerprint), content_hash, vector) != checksum:
        return "its checksum does not fit"
    _, lengths = rows_and_norms(unpack([vector], info.embed_dim))
    # NaN and infinity have norms far from 1 here.
    return "it is no finite unit vector" if np.size(faulty_rows(lengths)) else None
