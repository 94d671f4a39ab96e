"""Where the bytes of a photo are: in a file, or inside a tar archive that stays as it is."""

import errno
import os
import stat
from dataclasses import dataclass

# More than this is no photo that could be decoded within the limits of `photos`.
MAX_PHOTO_BYTES = 300_000_000

# The endings by which photos are found in folders and archives; what they are, their bytes say.
PHOTO_ENDINGS = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".webp",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
        ".avif",
        ".heic",
        ".heif",
    ]
)

# A FIFO named .jpg must not block. Links are followed: data sets are often made of them.
_READ_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


@dataclass(frozen=True, slots=True)
class FileSource:
    """A photo that is a file of its own, at the absolute `path`."""

    path: bytes

    @property
    def name(self) -> str:
        """The path; bytes that are no text as surrogate escapes."""
        return os.fsdecode(self.path)

    def read(self) -> bytes:
        """The whole file. Raises OSError, also for what is not a regular file of usual size."""
        return _read_part(self.path, 0, None)


@dataclass(frozen=True, slots=True)
class TarSource:
    """A photo inside an uncompressed tar archive: `size` bytes from `offset` on."""

    archive: bytes
    member: str
    offset: int
    size: int

    @property
    def name(self) -> str:
        """`archive.tar!member`."""
        return f"{os.fsdecode(self.archive)}!{self.member}"

    def read(self) -> bytes:
        """The member's bytes. Raises OSError, also when the archive has become shorter."""
        return _read_part(self.archive, self.offset, self.size)


@dataclass(frozen=True, slots=True)
class NoSource:
    """The place of a photo that should be there: a line without a path, words without a photo."""

    name: str

    def read(self) -> bytes:
        """Raises FileNotFoundError."""
        raise FileNotFoundError(errno.ENOENT, "no photo is named", self.name)


@dataclass(frozen=True, slots=True)
class BadRow:
    """The place of a row that cannot be understood: where it stands, and why."""

    name: str
    reason: str

    def read(self) -> bytes:
        """Raises OSError."""
        raise OSError(errno.EINVAL, self.reason, self.name)


def looks_like_photo(name: str) -> bool:
    """Whether a file name ends as photos do."""
    return os.path.splitext(name)[1].lower() in PHOTO_ENDINGS


def _read_part(path: bytes, offset: int, size: int | None) -> bytes:
    """`size` bytes of a regular file from `offset` on, or all of it."""
    if b"\0" in path:
        raise FileNotFoundError(errno.ENOENT, "the path holds a NUL byte", os.fsdecode(path))
    descriptor = os.open(path, _READ_FLAGS)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fsdecode(path))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fsdecode(path))
        wanted = found.st_size if size is None else size
        if wanted > MAX_PHOTO_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), os.fsdecode(path))
        file.seek(offset)
        data = file.read(wanted)
    if len(data) != wanted:
        raise OSError(errno.EIO, "the file is shorter than it was", os.fsdecode(path))
    return data
