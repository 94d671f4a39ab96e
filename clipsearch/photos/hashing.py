"""The hash of a photo file as it is now, for comparing it with what was indexed."""

import errno
import hashlib
import os
import stat
from dataclasses import dataclass

from clipsearch.errors import NotPhoto, PhotoError, PhotoGone
from clipsearch.photos.files import READ_FLAGS, file_stat
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
        descriptor = os.open(path, READ_FLAGS)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise NotPhoto("not a regular file")
            digest = _digest(descriptor, found.st_size)
            if file_stat(os.fstat(descriptor)) != file_stat(found):
                raise PhotoError("changed while reading")
            return HashedFile(file_stat(found), digest)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PhotoGone("the file is not there") from error
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            # O_NOFOLLOW met a link, O_NONBLOCK a socket.
            raise NotPhoto("not a regular file") from error
        raise PhotoError((error.strerror or "cannot be read").lower()) from error


def _digest(descriptor: int, size: int) -> bytes:
    """SHA-256 of `size` bytes at most: some files of the system never end."""
    digest = hashlib.sha256()
    while size > 0 and (piece := os.read(descriptor, min(_PIECE, size))):
        digest.update(piece)
        size -= len(piece)
    return digest.digest()
