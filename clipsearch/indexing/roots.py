"""Where a folder that the user named belongs among the library's roots."""

import os
from collections.abc import Sequence

from clipsearch.errors import UsageError
from clipsearch.indexing.absence import root_identity
from clipsearch.indexing.scan import Scope
from clipsearch.storage.catalogue import Catalogue
from clipsearch.storage.records import Root

SEPARATOR = os.fsencode(os.sep)


def scopes_of(catalogue: Catalogue, folders: Sequence[bytes]) -> tuple[list[Scope], list[bytes]]:
    """What to scan for these folders (all roots when none is given), and which roots are away.

    A folder inside a root is scanned as a part of it; a folder around roots takes them over, so
    that no photo is ever in the library twice under one path. Links are followed: photos are known
    by where they really are.

    Raises UsageError for a path that is not a folder and belongs to no root.
    """
    offline: list[bytes] = []
    scopes: list[Scope] = []
    for folder in folders:
        _require_folder(catalogue, folder)
    # Shorter paths first: a folder around others has taken them over before they are asked for.
    named = sorted(folders, key=lambda folder: len(os.path.realpath(folder)))
    for folder in named or [root.path for root in catalogue.roots()]:
        path = os.path.realpath(folder)
        root, start = known_root(catalogue, path)
        identity = root_identity(root.path if root else path)
        if root is not None and identity is not None:
            scopes.append(Scope(root, _existing(root.path, start)))
        elif identity is not None:
            scopes.append(Scope(_new_root(catalogue, path, identity), b""))
        elif root is None and named:
            raise _not_a_folder(folder)
        else:
            offline.append(root.path if root else folder)
    return _without_overlap(scopes), offline


def _require_folder(catalogue: Catalogue, folder: bytes) -> None:
    """Raise UsageError for what is neither a folder nor something that was in a root.

    Asked of every folder before any becomes a root: a mistyped one changes nothing.
    """
    path = os.path.realpath(folder)
    root, start = known_root(catalogue, path)
    is_gone = root is not None and (not start or not os.path.lexists(path))
    if not is_gone and root_identity(path) is None:
        raise _not_a_folder(folder)


def known_root(catalogue: Catalogue, path: bytes) -> tuple[Root | None, bytes]:
    """The root that a real path lies in, and the folder inside it; None and b"" for none."""
    for root in catalogue.roots():
        if path == root.path:
            return root, b""
        if _is_below(path, root.path):
            # Inside a library folders are joined by "/" on every system.
            return root, os.path.relpath(path, root.path).replace(SEPARATOR, b"/")
    return None, b""


def _is_below(path: bytes, folder: bytes) -> bool:
    return path.startswith(folder.rstrip(SEPARATOR) + SEPARATOR)


def _existing(root: bytes, start: bytes) -> bytes:
    """`start`, or its nearest ancestor that still exists: a deleted folder is seen from there."""
    while start and not os.path.isdir(os.path.join(root, start)):
        start = os.path.dirname(start)
    return start


def _new_root(catalogue: Catalogue, path: bytes, identity: tuple[int, int]) -> Root:
    inner = [r for r in catalogue.roots() if _is_below(r.path, path)]
    device, inode = identity
    root = catalogue.add_root(path, device, inode)
    for other in inner:
        catalogue.merge_root(other, root)
    return root


def _without_overlap(scopes: list[Scope]) -> list[Scope]:
    """Drop a scope that lies inside another one of the same root."""
    kept: list[Scope] = []
    for scope in sorted(scopes, key=lambda s: (s.root.root_id, s.start)):
        covered = any(
            other.root.root_id == scope.root.root_id
            and (not other.start or (scope.start + b"/").startswith(other.start + b"/"))
            for other in kept
        )
        if not covered:
            kept.append(scope)
    return kept


def _not_a_folder(folder: bytes) -> UsageError:
    name = os.fsdecode(folder)
    if os.path.isfile(folder):
        return UsageError(f"{name} is a file", "Give the folder it is in.")
    if os.path.isdir(folder):
        return UsageError(f"{name} cannot be read", "Check its permissions.")
    return UsageError(f"There is no folder {name}", "Check the path, or mount its disk.")
