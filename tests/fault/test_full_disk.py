"""A library on a disk that is full: one line, exit code 6, and everything goes on after freeing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.indexing.album import Album

# Mounts a disk of $1 kB at $2, indexes $3, makes the disk larger, and indexes again.
SCRIPT = """
mount -t tmpfs -o size="$1"k tmpfs "$2" || exit 99
export CLIPSEARCH_LIBRARY="$2/library"
"$0" -m clipsearch index "$3" --model fake; echo "first $?"
mount -o remount,size=40m "$2"
"$0" -m clipsearch index; "$0" -m clipsearch index "$3" --model fake; echo "second $?"
"$0" -m clipsearch search red -k 1 --json
"""


def private_mounts() -> bool:
    if shutil.which("unshare") is None:
        return False
    probe = "mount -t tmpfs tmpfs /mnt"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", probe], capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.skipif(not private_mounts(), reason="this system lets us make no small disks")
@pytest.mark.parametrize("kilobytes", [60, 150, 300, 420])
def test_a_full_disk_costs_nothing_that_was_done(tmp_path: Path, kilobytes: int) -> None:
    album = Album(tmp_path)
    for i in range(300):
        album.add(f"{i:03}.png", (255, i % 250, i // 250))
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", SCRIPT, sys.executable, str(kilobytes), disk, album.photos],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "first 6" in done.stdout, done.stderr
    assert "Free some space" in done.stderr
    assert "second 0" in done.stdout, done.stderr
    assert "Traceback" not in done.stderr
    assert '"rank": 1' in done.stdout
