"""Which photos are really gone. Everything here errs on the side of keeping a row.

A photo is recorded as missing only when its folder was listed to the end, the root is the same
folder before and after the scan, and that very folder says once more that there is no such file.
When most of a root is gone at once, or all of one disk in it, nothing is recorded: an unmounted or
swapped disk looks just like that.
"""

import os
from collections.abc import Sequence

from clipsearch.indexing.scan import Candidate, PendingFile, RootScan

# At most this share of a root may vanish in one run without the user's word.
BRAKE_SHARE = 0.5
# Below this number the brake would only be in the way of small folders.
BRAKE_MINIMUM = 10
# Seconds: those of cameras and file servers, and time zones on disks that know none.
CLOCKS_DIFFER = 86_400.0


def root_identity(path: bytes) -> tuple[int, int] | None:
    """(device, inode) of a folder, or None when it is not there or is no folder."""
    try:
        stat = os.stat(path)
        os.listdir(path)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def confirmed_absent(scan: RootScan, before: tuple[int, int]) -> list[Candidate]:
    """The candidates of which the root itself says: no such file.

    It is asked through one open folder, which is the root as it was at the start of the scan: a
    disk that comes and goes meanwhile can fail to answer, but nobody can answer in its place.
    """
    root = scan.scope.root.path
    if os.stat not in os.supports_dir_fd:
        if root_identity(root) != before:
            return []
        return [c for c in scan.candidates if _does_not_exist(c.path, None)]
    try:
        folder = os.open(root, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError:
        return []
    try:
        stat = os.fstat(folder)
        if (stat.st_dev, stat.st_ino) != before:
            return []
        return [
            c for c in scan.candidates if _does_not_exist(os.path.relpath(c.path, root), folder)
        ]
    finally:
        os.close(folder)


def _does_not_exist(path: bytes, folder: int | None) -> bool:
    try:
        os.stat(path, dir_fd=folder, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def is_other_volume(scan: RootScan) -> bool:
    """Whether what lies there is not what the catalogue knows: not one file is a known photo.

    Either none has a known photo's place, nor its size and time at another; or all have its name
    and none its size: memory cards are like that, each has its IMG_0001. A few such files may just
    as well be edited photos, unless they are as they were before the root was last looked through.
    """
    if scan.confirmed:
        return False
    if scan.replaced:
        return scan.replaced >= BRAKE_MINIMUM or _were_there_before(scan)
    known = {(c.stat.size, c.stat.mtime_ns) for c in scan.candidates}
    if not known or not scan.pending or scan.scope.start:
        return False
    return all(_size_and_time(scan, file) not in known for file in scan.pending)


def _were_there_before(scan: RootScan) -> bool:
    """Whether all files in the place of known photos are older than the last scan of the root.

    That scan met other files there: whoever edits or replaces one makes it younger.
    """
    scanned_at = scan.scope.root.scanned_at
    return scanned_at is not None and scan.replaced_ns / 1e9 < scanned_at - CLOCKS_DIFFER


def _size_and_time(scan: RootScan, file: PendingFile) -> tuple[int, int] | None:
    try:
        stat = os.lstat(os.path.join(scan.scope.root.path, file.folder, file.name))
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def root_state(
    scan: RootScan,
    moved: int,
    lost: Sequence[Candidate],
    before: tuple[int, int],
    *,
    confirm_missing: bool,
) -> str:
    """ "scanned" when absences may be recorded, otherwise why not (see RootReport).

    `moved` photos were found again elsewhere, `lost` ones nowhere; `before` is the root's identity
    at the start of the scan.
    """
    if root_identity(scan.scope.root.path) != before:
        return "offline"
    if not lost or confirm_missing:
        return "scanned"
    seen = scan.confirmed + moved
    # A photo that arrived elsewhere says nothing about a root in which nothing at all was found.
    if not scan.scope.start and not (seen and scan.found):
        return "other-volume" if scan.found else "offline"
    if len(lost) >= BRAKE_MINIMUM and len(lost) > BRAKE_SHARE * (seen + len(lost)):
        return "held"
    if any(_was_on_a_disk_of_its_own(candidate, scan) for candidate in lost):
        return "held"
    return "scanned"


def _was_on_a_disk_of_its_own(candidate: Candidate, scan: RootScan) -> bool:
    """Whether a disk inside the root seems to be away: its folder is empty, and no photo that was
    read from the same device is there."""
    return candidate.emptied and candidate.stat.device not in scan.devices
