"""`torchrun -m clipsearch finetune`: two processes, one run, one voice."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.finetuning.tiny_run import Workshop

REPOSITORY = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.skipif(sys.platform == "win32", reason="gloo is told to meet over loopback here")
def test_two_processes_make_one_model_and_speak_once(workshop: Workshop) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2",
            "--master_port", str(free_port()), "-m", "clipsearch", "finetune",
            str(workshop.table), "--model", str(workshop.model), "--out", "two", "--tune", "all",
            "--epochs", "2", "--batch-size", "12", "--threads", "1", "--json",
        ],
        cwd=workshop.folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )  # fmt: skip
    (finished,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert finished["event"] == "finished", done.stderr
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [event["event"] for event in events].count("began") == 1
    assert [e["epoch"] for e in events if e["event"] == "epoch"] == [0, 1, 2]
    settings = json.loads((workshop.folder / "two" / "settings.json").read_text())["basis"]
    assert settings["world"] == 2
    assert (workshop.folder / "two" / "model" / "open_clip_config.json").is_file()
