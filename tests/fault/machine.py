"""What this machine lets a test do; where it does not, the test is skipped with the reason."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import pytest

# prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH): gone after the next exec.
_DROP = """
import ctypes, os, sys
if any(ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) for capability in (1, 2)):
    sys.exit("the capabilities cannot be dropped")
os.execv(sys.argv[1], sys.argv[1:])
"""


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


def without_privilege(command: Sequence[str]) -> list[str]:
    """The command, run by somebody to whom permissions apply.

    Root gives up the two capabilities by which it reads and writes what it likes, for good, and so
    stays able to start the interpreter it was started with. Fails the test where that cannot be
    done: nothing that is said about permissions would have been tried.
    """
    if os.getuid() != 0:
        return list(command)
    with tempfile.NamedTemporaryFile() as closed:
        os.chmod(closed.name, 0)
        probe = [sys.executable, "-c", _DROP, "/bin/cat", closed.name]
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
    if "Permission denied" not in done.stderr:
        pytest.fail(f"permissions cannot be tried: we are root and stay it ({done.stderr})")
    return [sys.executable, "-c", _DROP, *command]
