"""Whether a folder lies on a disk that other machines may use too, as far as this system tells."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# File systems whose memory is not shared by all who have them open, as Linux and macOS call them.
NETWORK_TYPES = frozenset(
    (
        *("9p", "acfs", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "gpfs"),
        *("lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "prl_fs", "pvfs2", "smb3"),
        *("smbfs", "vboxsf", "virtiofs", "vmhgfs", "webdav"),
        *("fuse.ceph-fuse", "fuse.davfs2", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs"),
        *("fuse.smbnetfs", "fuse.sshfs", "fuse.vmhgfs-fuse", "osxfuse", "macfuse"),
    )
)
MOUNTS = Path("/proc/self/mountinfo")
# What Windows calls a drive letter that stands for a network share.
_REMOTE_DRIVE = 4


def network_type(folder: Path) -> str | None:
    """What the file system of `folder` is called when it is a network one; None when it is not.

    None as well where the system does not tell.
    """
    path = os.path.realpath(folder)
    if os.name == "nt":
        return "network drive" if _is_remote(path) else None
    return type_in(_listed_by_mount() if sys.platform == "darwin" else _listed_by_linux(), path)


def type_in(mounts: Iterator[tuple[str, str]], path: str) -> str | None:
    """The type of the mount that an absolute path is on, when it is a network one.

    `mounts` are (mount point, type), in the order in which they were mounted.
    """
    found, longest = "", ""
    for point, kind in mounts:
        # The same place again: what was mounted last is what is seen.
        if len(point) >= len(longest) and f"{path}/".startswith(f"{point.rstrip('/')}/"):
            found, longest = kind, point
    return found if found in NETWORK_TYPES else None


def linux_mounts(mountinfo: str) -> Iterator[tuple[str, str]]:
    """The mounts that /proc/self/mountinfo lists: see proc_pid_mountinfo(5)."""
    for line in mountinfo.splitlines():
        about, _, source = line.partition(" - ")
        if source:
            yield _unescaped(about.split(" ")[4]), source.split(" ")[0]


def mac_mounts(listed: str) -> Iterator[tuple[str, str]]:
    """The mounts that `mount` lists on macOS: "//me@nas/a on /Volumes/a (smbfs, nodev)"."""
    for line in listed.splitlines():
        match = re.fullmatch(r".*? on (/.*) \(([^,()]+).*\)", line)
        if match:
            yield match[1], match[2]


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _listed_by_linux() -> Iterator[tuple[str, str]]:
    try:
        yield from linux_mounts(MOUNTS.read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError:
        return


def _listed_by_mount() -> Iterator[tuple[str, str]]:
    import subprocess

    try:
        done = subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return
    yield from mac_mounts(done.stdout)


def _is_remote(path: str) -> bool:
    """Whether Windows reaches a path over the network: by its name, or by its drive letter."""
    plain = path.removeprefix("\\\\?\\")
    if plain.startswith(("\\\\", "UNC\\")):
        return True
    drive, _ = os.path.splitdrive(plain)
    return _drive_type(f"{drive}\\") == _REMOTE_DRIVE


def _drive_type(root: str) -> int:
    # Windows only: elsewhere ctypes has no such attribute.
    import ctypes

    windows: Any = vars(ctypes)["windll"]
    return int(windows.kernel32.GetDriveTypeW(root))
