"""A disk that fills up while a checkpoint is written: one line, and the run goes on after it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.encoders.tiny import write_clip
from tests.fault.machine import private_mounts
from tests.finetuning.tiny_run import write_photos

# Mounts a disk of $1 kB at $2, trains on it, makes the disk larger, and goes on.
SCRIPT = """
mount -t tmpfs -o size="$1"k tmpfs "$2" || exit 99
train() {
  "$0" -m clipsearch finetune "$3" --model "$4" --out "$2/run" --tune all --anchor 0 \\
    --batch-size 12 --epochs 3 --threads 1 --save-every 0 --quiet
}
train "$@"; echo "first $?"
ls "$2/run/checkpoints"
mount -o remount,size=900m "$2"
train "$@"; echo "second $?"
"""


@pytest.mark.skipif(not private_mounts(), reason="this system lets us make no small disks")
@pytest.mark.parametrize("megabytes", [37, 57])
@pytest.mark.row("J5")
def test_a_full_disk_costs_no_checkpoint(tmp_path: Path, megabytes: int) -> None:
    """A checkpoint of the tiny model takes about 19 MB, the model 6 MB."""
    model, table = write_clip(tmp_path / "clip"), write_photos(tmp_path / "photos")
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        [
            "unshare", "-rm", "sh", "-c", SCRIPT, sys.executable,
            str(megabytes * 1000), str(disk), str(table), str(model),
        ],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert "first 6" in done.stdout, done.stdout + done.stderr
    assert done.stderr.count("No space left on device") == 1
    assert "Free some space and run it again" in done.stderr
    assert "Traceback" not in done.stderr
    assert "unfinished" not in done.stdout
    assert "second 0" in done.stdout or "second 1" in done.stdout, done.stderr
