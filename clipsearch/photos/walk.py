"""List the files of a tree, folder by folder, and say which listings can be trusted."""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from clipsearch.photos.files import file_stat
from clipsearch.photos.ignore import IGNORE_FILE, IgnoreRules
from clipsearch.types import FileStat, PhotoProblem

# Tests put a disk that fails half-way in their place.
scandir = os.scandir
lstat = os.lstat

_MOST_RULES_BYTES = 1_000_000
# Links are followed here: people keep their rules elsewhere, and rules are only read.
_RULES_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file, by its name in its folder."""

    name: bytes
    stat: FileStat


@dataclass(frozen=True, slots=True)
class ListedFolder:
    """One folder's content.

    `path` is relative to the root, b"" for the root itself. `ignored` are names of files and
    folders that exist and are not wanted. `complete` says that the folder was listed to its end
    and every entry could be asked what it is: only then does a name that is not here not exist.
    """

    path: bytes
    files: list[FoundFile]
    ignored: frozenset[bytes]
    subfolders: frozenset[bytes]
    complete: bool
    problems: list[PhotoProblem]


@dataclass(slots=True)
class _Listing:
    """A folder while it is being listed."""

    files: list[FoundFile] = field(default_factory=list)
    ignored: set[bytes] = field(default_factory=set)
    subfolders: set[bytes] = field(default_factory=set)
    complete: bool = True
    problems: list[PhotoProblem] = field(default_factory=list)


def walk(root: bytes, start: bytes, ignore: IgnoreRules) -> Iterator[ListedFolder]:
    """Every wanted folder at and below `start` (relative to `root`, b"" for all of it).

    Folders come in the order of their names, parents first. Nothing is opened but folders and
    ignore files; links, pipes, sockets and devices are passed over.

    A folder that cannot be listed comes with `complete` False and the reason. So does a folder
    whose ignore file cannot be read, with nothing in it: what it keeps out must stay out.
    """
    rules: IgnoreRules | None = ignore
    for above in _folders_above(start):
        rules = _rules_inside(_join(root, above), above, rules) if rules else None
    if rules is None:
        reason = "an ignore file above it cannot be read"
        yield _closed_folder(start, PhotoProblem(_join(root, start), None, "unreadable", reason))
        return
    waiting = [(start, rules)]
    while waiting:
        path, outer = waiting.pop()
        inner = _rules_inside(_join(root, path), path, outer)
        if inner is None:
            problem = _problem(_join(root, path, IGNORE_FILE), "the ignore file cannot be read")
            yield _closed_folder(path, problem)
            continue
        listing = _list_folder(root, path, inner)
        subfolders = sorted(listing.subfolders, reverse=True)
        waiting.extend((_join(path, name), inner) for name in subfolders)
        yield ListedFolder(
            path=path,
            files=sorted(listing.files, key=lambda file: file.name),
            ignored=frozenset(listing.ignored),
            subfolders=frozenset(listing.subfolders),
            complete=listing.complete,
            problems=listing.problems,
        )


def _list_folder(root: bytes, path: bytes, rules: IgnoreRules) -> _Listing:
    listing = _Listing()
    folder = _join(root, path)
    parent = os.path.basename(folder)
    try:
        with scandir(folder) as entries:
            for entry in entries:
                _list_entry(folder, path, entry.name, parent, rules, listing)
    except OSError as error:
        listing.complete = False
        listing.problems.append(_problem(folder, _reason(error), kind="unreadable-folder"))
    return listing


def _list_entry(
    folder: bytes,
    path: bytes,
    name: bytes,
    parent: bytes,
    rules: IgnoreRules,
    listing: _Listing,
) -> None:
    try:
        found = lstat(_join(folder, name))
    except OSError as error:
        # Gone since it was listed, or a disk that is going: either way nothing is proved.
        listing.complete = False
        if error.errno != errno.ENOENT:
            listing.problems.append(_problem(_join(folder, name), _reason(error)))
        return
    is_link = stat.S_ISLNK(found.st_mode)
    is_folder = stat.S_ISDIR(found.st_mode)
    if not (is_link or is_folder or stat.S_ISREG(found.st_mode)):
        return
    if rules.ignores(_join(path, name), is_folder=is_folder, parent=parent):
        listing.ignored.add(name)
    elif is_folder:
        listing.subfolders.add(name)
    elif not is_link:
        listing.files.append(FoundFile(name, file_stat(found)))


def _rules_inside(folder: bytes, path: bytes, rules: IgnoreRules) -> IgnoreRules | None:
    """The rules for what is in `folder`; None when it has an ignore file that cannot be read."""
    try:
        descriptor = os.open(_join(folder, IGNORE_FILE), _RULES_FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        return rules
    except OSError as error:
        # A path too long, or a folder that may not be entered: its listing will say so.
        return rules if error.errno in (errno.ENAMETOOLONG, errno.EACCES) else None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        text = os.read(descriptor, _MOST_RULES_BYTES + 1)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return rules.inside(path, text) if len(text) <= _MOST_RULES_BYTES else None


def _closed_folder(path: bytes, problem: PhotoProblem) -> ListedFolder:
    return ListedFolder(path, [], frozenset(), frozenset(), complete=False, problems=[problem])


def _folders_above(path: bytes) -> list[bytes]:
    """The folders on the way from the root to `path`, the root first, `path` itself left out."""
    parts = path.split(b"/") if path else []
    return [b"/".join(parts[:count]) for count in range(len(parts))]


def _join(folder: bytes, *names: bytes) -> bytes:
    parts = [folder.rstrip(b"/") if folder != b"/" else b"", *(name for name in names if name)]
    if not folder:
        parts = parts[1:]
    return b"/".join(parts) or folder


def _problem(path: bytes, reason: str, kind: str = "unreadable") -> PhotoProblem:
    return PhotoProblem(path, None, kind, reason)


def _reason(error: OSError) -> str:
    if error.errno == errno.ENAMETOOLONG:
        return "the path is too long for this system"
    return (error.strerror or "cannot be read").lower()
