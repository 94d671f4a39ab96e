"""What this machine lets a test do; where it does not, the test is skipped with the reason."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534


def private_mounts() -> bool:
    """Whether a process can have mounts of its own."""
    if shutil.which("unshare") is None:
        return False
    probe = "mount -t tmpfs tmpfs /mnt"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", probe], capture_output=True, check=False)
    return done.returncode == 0


def require_private_mounts() -> None:
    if not private_mounts():
        pytest.skip("this system lets us mount nothing (unshare -rm)")


def as_nobody(command: Sequence[str]) -> list[str]:
    """The command, run by somebody to whom permissions apply.

    Fails the test where we are root and cannot become anybody else: without that, nothing that is
    said about permissions would have been tried.
    """
    if os.getuid() != 0:
        return list(command)
    drop = f"import os, sys; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY}); "
    full = [sys.executable, "-c", f"{drop}os.execv(sys.argv[1], sys.argv[1:])", *command]
    check = [sys.executable, "-c", f"{drop}print(os.getuid())"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    if done.stdout.strip() != str(NOBODY):
        pytest.fail(f"root cannot become another user here: {done.stderr}")
    return full


@contextmanager
def opened_for_all(folder: Path) -> Iterator[None]:
    """Let another user reach a folder of pytest's, whose parents are private, while this lasts."""
    closed = []
    for above in folder.parents:
        mode = above.stat().st_mode & 0o777
        if mode & 0o005 != 0o005 and os.access(above, os.W_OK):
            closed.append((above, mode))
            above.chmod(mode | 0o055)
    try:
        yield
    finally:
        for above, mode in closed:
            above.chmod(mode)
