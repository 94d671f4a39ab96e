"""The hash of a photo file as it is now, for comparing it with what was indexed."""

import hashlib
import os
from dataclasses import dataclass

from clipsearch.errors import PhotoError, PhotoGone
from clipsearch.photos.files import failure_of, file_stat, regular_file
from clipsearch.types import FileStat

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A file's SHA-256 and the stat that it had before and after it was read."""

    stat: FileStat
    content_hash: bytes


def hash_file(path: bytes) -> HashedFile:
    """Read a whole file, whatever it holds. A link in the last place of `path` is not followed.

    Raises PhotoGone when it is not there, NotPhoto when it is no regular file, PhotoError when it
    cannot be read or changes meanwhile.
    """
    try:
        with regular_file(path) as (descriptor, before):
            digest = _digest(descriptor, before.size)
            if file_stat(os.fstat(descriptor)) != before:
                raise PhotoError("changed while reading")
            return HashedFile(before, digest)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PhotoGone("the file is not there") from error
    except OSError as error:
        raise failure_of(error) from error


def _digest(descriptor: int, size: int) -> bytes:
    """SHA-256 of `size` bytes at most: some files of the system never end."""
    digest = hashlib.sha256()
    while size > 0 and (piece := os.read(descriptor, min(_PIECE, size))):
        digest.update(piece)
        size -= len(piece)
    return digest.digest()
