"""Everything that could be noticed about a photo folder, to prove that it was only read."""

import hashlib
import os
from pathlib import Path

Facts = dict[bytes, tuple[object, ...]]


def facts_of(folder: Path, without: bytes | None = None) -> Facts:
    """For each entry below `folder`: mode, times, size, extended attributes, and what it holds.

    With `without`, an entry of the folder that may change, and with it the folder itself.
    """
    top = os.fsencode(folder)
    paths = [] if without else [top]
    for place, folders, files in os.walk(top):
        if place == top and without in folders:
            folders.remove(without)
        paths += [os.path.join(place, name) for name in (*folders, *files)]
    return {path: _facts(path) for path in paths}


def _facts(path: bytes) -> tuple[object, ...]:
    stat = os.lstat(path)
    attributes = tuple(sorted(_attributes(path)))
    common = (stat.st_mode, stat.st_uid, stat.st_mtime_ns, stat.st_ctime_ns, attributes)
    if os.path.islink(path):
        return (*common, os.readlink(path))
    if os.path.isfile(path):
        with open(path, "rb") as file:
            return (*common, stat.st_size, hashlib.file_digest(file, "sha256").digest())
    return common


def _attributes(path: bytes) -> list[tuple[str, bytes]]:
    if not hasattr(os, "listxattr"):
        return []
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return [(name, os.getxattr(path, name, follow_symlinks=False)) for name in names]
    except OSError:
        return []
