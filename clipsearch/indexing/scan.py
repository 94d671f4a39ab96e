"""Compare folders with the catalogue: what is unchanged, what has to be read, what was not found.

A scan proves presence only. What it did not find becomes a candidate; `absence` decides.
"""

import os
from dataclasses import dataclass, field
from typing import Literal

from clipsearch.indexing.summary import UNREADABLE, Tally
from clipsearch.photos.ignore import IgnoreRules
from clipsearch.photos.walk import FoundFile, ListedFolder, walk
from clipsearch.storage.catalogue import Catalogue
from clipsearch.storage.records import KnownPhoto, Root
from clipsearch.types import FileStat, Progress, same_file


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a root is scanned: all of it (`start` is b"") or one folder inside it."""

    root: Root
    start: bytes


@dataclass(frozen=True, slots=True)
class PendingFile:
    """A file to read, and why: it is new, it changed (or is tried again), or this model lacks it.

    `has_content` says that the library holds what the file was when it was last read.
    """

    root_id: int
    folder: bytes
    name: bytes
    why: Literal["new", "changed", "unencoded"]
    has_content: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A live row whose file was not found where it was.

    `path` is absolute, `stat` that of the file when it was last read. `emptied` says that nothing
    at all is left in the folder, or in the nearest folder above it that is left: so looks the place
    where a disk was mounted.
    """

    photo_id: int
    path: bytes
    stat: FileStat
    emptied: bool


@dataclass(slots=True)
class RootScan:
    """What the scan of one scope found.

    `confirmed` files lie where the catalogue has a row and have its size: it survives a restored
    backup or another disk, as inodes and times do not. `replaced` ones lie where it has a photo and
    have another size; the last of them changed at `replaced_ns`. `devices` are those that confirmed
    files were read from.
    """

    scope: Scope
    found: int = 0
    confirmed: int = 0
    replaced: int = 0
    replaced_ns: int = 0
    devices: set[int] = field(default_factory=set)
    pending: list[PendingFile] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    ignored: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Listing:
    ignored: frozenset[bytes]
    complete: bool
    empty: bool


def scan(
    catalogue: Catalogue,
    scope: Scope,
    model_id: int,
    rules: IgnoreRules,
    tally: Tally,
    progress: Progress,
    *,
    retry: bool,
) -> RootScan:
    """Walk one scope. Writes nothing but the return of photos that had been missing."""
    result = RootScan(scope)
    listings: dict[bytes, _Listing] = {}
    for folder in walk(scope.root.path, scope.start, rules):
        listings[folder.path] = _Listing(folder.ignored, folder.complete, _is_empty(folder))
        tally.folder_problems.extend(folder.problems)
        known = catalogue.photos_in_folder(scope.root.root_id, folder.path, model_id)
        _compare_folder(catalogue, result, folder, known, tally, retry=retry)
        progress("scan", tally.found, None)
    for path in catalogue.folders(scope.root.root_id, scope.start) - listings.keys():
        _unlisted_folder(catalogue, result, path, listings, model_id)
    return result


def _compare_folder(
    catalogue: Catalogue,
    result: RootScan,
    folder: ListedFolder,
    known: dict[bytes, KnownPhoto],
    tally: Tally,
    *,
    retry: bool,
) -> None:
    returned: list[int] = []
    for file in folder.files:
        result.found += 1
        tally.found += 1
        row = known.pop(file.name, None)
        if row is not None:
            _compare_size(result, row, file.stat)
        if row is None or not _is_settled(row, file.stat, retry=retry):
            result.pending.append(_pending(result.scope.root, folder.path, file, row))
        else:
            if row.missing:
                returned.append(row.photo_id)
            if row.problem_kind is not None:
                tally.problems[row.problem_kind] += 1
            elif row.missing:
                tally.restored += 1
            else:
                tally.unchanged += 1
    if returned:
        catalogue.mark_present(returned)
    for name, row in known.items():
        if row.missing:
            continue
        if name in folder.ignored:
            result.ignored.append(row.photo_id)
        elif folder.complete:
            emptied = _is_empty(folder)
            result.candidates.append(_candidate(result.scope.root, folder.path, name, row, emptied))


def _compare_size(result: RootScan, row: KnownPhoto, stat: FileStat) -> None:
    if row.stat.size == stat.size:
        result.confirmed += 1
        result.devices.add(row.stat.device)
    elif row.content_id is not None:
        result.replaced += 1
        # Windows keeps the time of a file's creation where others keep that of its last change.
        result.replaced_ns = max(result.replaced_ns, stat.mtime_ns, stat.ctime_ns)


def _pending(root: Root, folder: bytes, file: FoundFile, row: KnownPhoto | None) -> PendingFile:
    has_content = row is not None and row.content_id is not None
    why: Literal["new", "changed", "unencoded"] = "changed"
    if row is None:
        why = "new"
    elif has_content and same_file(row.stat, file.stat):
        why = "unencoded"
    return PendingFile(root.root_id, folder, file.name, why, has_content)


def _is_settled(row: KnownPhoto, stat: FileStat, *, retry: bool) -> bool:
    """Whether nothing has to be read: the same file, with its embedding or its known problem.

    What could not be read at all is tried in every run: that costs little, and a disk or a
    network that failed once says nothing about the photo.
    """
    if not same_file(row.stat, stat):
        return False
    if row.problem_kind is not None:
        return not retry and row.problem_kind != UNREADABLE
    return row.embedded


def _unlisted_folder(
    catalogue: Catalogue,
    result: RootScan,
    path: bytes,
    listings: dict[bytes, _Listing],
    model_id: int,
) -> None:
    """A folder of the catalogue that the walk never entered: deleted, ignored, or unknown."""
    listing, child = _nearest_listed(path, listings)
    root = result.scope.root
    rows = catalogue.photos_in_folder(root.root_id, path, model_id)
    live = {name: row for name, row in rows.items() if not row.missing}
    if child in listing.ignored:
        result.ignored.extend(row.photo_id for row in live.values())
    elif listing.complete:
        result.candidates.extend(
            _candidate(root, path, name, row, listing.empty) for name, row in live.items()
        )


def _nearest_listed(path: bytes, listings: dict[bytes, _Listing]) -> tuple[_Listing, bytes]:
    """The closest listed folder above `path`, and the name in it that leads to `path`.

    There is one: the walk lists the folder that it starts from in any case.
    """
    child = b""
    while path not in listings:
        path, _, child = path.rpartition(b"/")
    return listings[path], child


def _is_empty(folder: ListedFolder) -> bool:
    return not (folder.files or folder.subfolders or folder.ignored)


def _candidate(root: Root, folder: bytes, name: bytes, row: KnownPhoto, emptied: bool) -> Candidate:
    return Candidate(row.photo_id, os.path.join(root.path, folder, name), row.stat, emptied)
