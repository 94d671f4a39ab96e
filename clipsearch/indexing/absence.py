"""Which photos are really gone. Everything here errs on the side of keeping a row.

A photo is recorded as missing only when its folder was listed to the end, the root is the same
folder before and after the scan, and a second lstat says that the file does not exist. When most
of a root is gone at once, nothing is recorded: an unmounted or swapped disk looks just like that.
"""

import os

from clipsearch.indexing.scan import Candidate, RootScan

# At most this share of a root may vanish in one run without the user's word.
BRAKE_SHARE = 0.5
# Below this number the brake would only be in the way of small folders.
BRAKE_MINIMUM = 10


def root_identity(path: bytes) -> tuple[int, int] | None:
    """(device, inode) of a folder, or None when it is not there or is no folder."""
    try:
        stat = os.stat(path)
        os.listdir(path)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def confirmed_absent(candidates: list[Candidate]) -> list[Candidate]:
    """The candidates of which the file system itself says: no such file."""
    return [candidate for candidate in candidates if _does_not_exist(candidate.path)]


def _does_not_exist(path: bytes) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def is_other_volume(scan: RootScan) -> bool:
    """Whether files with the names of many known photos lie there, and not one is that photo.

    Memory cards are like that: each has its IMG_0001.
    """
    return scan.matched >= BRAKE_MINIMUM and not scan.confirmed


def root_state(
    scan: RootScan, moved: int, lost: int, before: tuple[int, int], *, confirm_missing: bool
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
    if not scan.scope.start and not seen:
        return "other-volume" if scan.found else "offline"
    if lost >= BRAKE_MINIMUM and lost > BRAKE_SHARE * (seen + lost):
        return "held"
    return "scanned"
