"""Folders inside a root: names joined by "/" in the catalogue, on every system.

`system` is the module for the paths of a system: that of another one only where its paths are
tried here.
"""

import os
from types import ModuleType


def native(folder: bytes, system: ModuleType = os.path) -> bytes:
    """A folder of the catalogue as this system writes it."""
    return folder.replace(b"/", system.sep.encode())


def between(outer: bytes, inner: bytes, system: ModuleType = os.path) -> bytes:
    """The folder of the catalogue that leads from one absolute path to another one inside it."""
    path: bytes = system.relpath(inner, outer)
    return path.replace(system.sep.encode(), b"/")


def joined(folder: bytes, inside: bytes) -> bytes:
    """A folder of the catalogue inside another one; b"" is the one itself."""
    return folder + b"/" + inside if inside else folder


def is_in(folder: bytes, under: bytes) -> bool:
    """Whether a folder of the catalogue is another one or lies inside it."""
    return not under or folder == under or folder.startswith(under + b"/")
