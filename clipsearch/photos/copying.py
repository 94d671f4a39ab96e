"""Give photos to a person: copies or links of them in a folder, where nothing is ever overwritten.

The photos themselves are only read. Hard links are not used: making one changes the facts of the
original file, and the next index run would read it again.
"""

import errno
import filecmp
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from clipsearch.errors import PhotoError, StorageError
from clipsearch.photos.files import READ_FLAGS

# Where a photo would be the thousandth of its name, something is wrong with the folder.
MAX_NAMES = 10_000

_CREATE_FLAGS = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)
_NO_LINKS_HERE = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a photo went. "present" means that the same one was already there."""

    source: bytes
    target: bytes
    way: Literal["copied", "linked", "present"]


def copy_photo(source: bytes, folder: bytes) -> Placed:
    """Copy a photo into `folder` (made when missing), with its modification time.

    A name that is taken gets a number: `rex (2).jpg`; a copy that is there already is left alone.

    Raises PhotoError when the photo cannot be read, StorageError when the copy cannot be written.
    """
    descriptor, facts = _open_photo(source)
    try:
        _make_folder(folder)
        for target in _names(source, folder):
            if _is_copy(target, source, facts):
                return Placed(source, target, "present")
            if _copy_to_new_file(descriptor, facts, target):
                return Placed(source, target, "copied")
    finally:
        os.close(descriptor)
    raise _no_name_left(source, folder)


def link_photo(source: bytes, folder: bytes) -> Placed:
    """Put a symbolic link to a photo into `folder`; a copy where links cannot be made.

    Raises PhotoError when the photo cannot be read, StorageError when nothing can be written.
    """
    original = os.path.abspath(source)
    os.close(_open_photo(original)[0])
    _make_folder(folder)
    for target in _names(source, folder):
        if _is_link_to(target, original):
            return Placed(source, target, "present")
        try:
            os.symlink(original, target)
        except FileExistsError:
            continue
        except OSError as error:
            # Windows without the right to make links answers with a code of its own.
            if error.errno in _NO_LINKS_HERE or getattr(error, "winerror", None) == 1314:
                return copy_photo(source, folder)
            raise _unwritable(target, error) from error
        return Placed(source, target, "linked")
    raise _no_name_left(source, folder)


def _open_photo(source: bytes) -> tuple[int, os.stat_result]:
    """A descriptor of a regular file: never waits on a pipe, never follows a link."""
    try:
        descriptor = os.open(source, READ_FLAGS)
        facts = os.fstat(descriptor)
    except OSError as error:
        raise PhotoError(f"{os.fsdecode(source)}: {error.strerror}") from error
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise PhotoError(f"{os.fsdecode(source)} is no longer a file")
    return descriptor, facts


def _make_folder(folder: bytes) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _names(source: bytes, folder: bytes) -> Iterator[bytes]:
    """The paths to try for a photo, in order: `rex.jpg`, `rex (2).jpg`, `rex (3).jpg` ..."""
    name = os.path.basename(source)
    stem, extension = os.path.splitext(name)
    yield os.path.join(folder, name)
    for number in range(2, MAX_NAMES):
        addition = b" (%d)" % number
        # File systems allow 255 bytes: a long name gives way to its number.
        kept = stem[: 255 - len(addition) - len(extension)]
        yield os.path.join(folder, kept + addition + extension)


def _is_copy(target: bytes, source: bytes, facts: os.stat_result) -> bool:
    try:
        there = os.lstat(target)
        return (
            stat.S_ISREG(there.st_mode)
            and there.st_size == facts.st_size
            and filecmp.cmp(source, target, shallow=False)
        )
    except OSError:
        return False


def _is_link_to(target: bytes, original: bytes) -> bool:
    try:
        return os.readlink(target) == original
    except OSError:
        return False


def _copy_to_new_file(source: int, facts: os.stat_result, target: bytes) -> bool:
    """Write the file; False when the name is taken. A copy that fails half-way is removed."""
    try:
        descriptor = os.open(target, _CREATE_FLAGS, 0o644)
    except FileExistsError:
        return False
    except OSError as error:
        raise _unwritable(target, error) from error
    finished = False
    try:
        os.lseek(source, 0, os.SEEK_SET)
        with open(source, "rb", closefd=False) as reader, open(descriptor, "wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
        os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        finished = True
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        if not finished:
            os.unlink(target)
    return True


def _unwritable(path: bytes, error: OSError) -> StorageError:
    return StorageError(
        f"{os.fsdecode(path)} cannot be written ({error.strerror})",
        "Choose another folder, or make room there",
    )


def _no_name_left(source: bytes, folder: bytes) -> StorageError:
    return StorageError(
        f"{os.fsdecode(folder)} holds {MAX_NAMES:,} files named {os.fsdecode(source)}",
        "Choose an empty folder",
    )
