"""`torchrun -m clipsearch finetune`: two processes, one run, one voice."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from clipsearch.errors import UsageError
from clipsearch.finetuning import Event, Judged, Wishes
from clipsearch.training.states import newest_state
from clipsearch.training.tensor_files import read_tensors
from tests.finetuning.tiny_run import Workshop

REPOSITORY = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def torchrun(workshop: Workshop, name: str, *more: str) -> subprocess.CompletedProcess[str]:
    """A run of two processes over loopback, ended."""
    return subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2",
            "--master_port", str(free_port()), "-m", "clipsearch", "finetune",
            str(workshop.table), "--model", str(workshop.model), "--out", name, "--tune", "all",
            "--batch-size", "12", "--threads", "1", "--json", *more,
        ],
        cwd=workshop.folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )  # fmt: skip


def finished(done: "subprocess.CompletedProcess[str]") -> dict[str, object]:
    (record,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert record["event"] == "finished", done.stderr
    found: dict[str, object] = record
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="gloo is told to meet over loopback here")
def test_two_processes_make_one_model_and_speak_once(workshop: Workshop) -> None:
    done = torchrun(workshop, "two", "--epochs", "2")
    finished(done)
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [event["event"] for event in events].count("began") == 1
    assert [e["epoch"] for e in events if e["event"] == "epoch"] == [0, 1, 2]
    settings = json.loads((workshop.folder / "two" / "settings.json").read_text())["basis"]
    assert settings["world"] == 2
    assert (workshop.folder / "two" / "model" / "open_clip_config.json").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="gloo is told to meet over loopback here")
def test_weights_shared_out_over_two_processes_are_those_of_one(workshop: Workshop) -> None:
    """Saved whole after every step, broken off, taken up, judged: one process makes the same."""
    wishes = Wishes(
        tune="all", batch_size=12, epochs=2, learning_rate=3e-3, anchor=1.0, threads=1,
        average=0.5, chunk=4, forgetting=1.0,
    )  # fmt: skip
    options = (
        "--shard", "--epochs", "2", "--learning-rate", "3e-3", "--anchor", "1", "--average", "0.5",
        "--chunk", "4", "--forgetting", "1", "--save-every", "0",
    )  # fmt: skip
    alone: list[float] = []

    def tell(event: Event) -> None:
        if isinstance(event, Judged):
            alone.append(event.score)

    workshop.run("whole", wishes, tell)
    record = finished(torchrun(workshop, "shared", *options))
    run = workshop.folder / "shared"
    # As if it had been killed in its sixth step.
    checkpoints = sorted((run / "checkpoints").iterdir())
    assert [path.name for path in checkpoints] == [f"step-{n:08d}.safetensors" for n in (5, 6)]
    start = load_file(run / "original" / "open_clip_model.safetensors")
    whole = load_state_of(workshop.folder / "whole" / "checkpoints")
    undisturbed = load_state_of(run / "checkpoints")
    assert apart(undisturbed, whole, start) < 1e-3
    checkpoints[-1].unlink()
    (run / "report.json").unlink()
    again = torchrun(workshop, "shared", *options)
    assert finished(again)["rows"] == record["rows"]
    assert '"event": "began", "step": 5, "steps": 6' in again.stderr
    for name, tensor in load_state_of(run / "checkpoints").items():
        assert tensor.equal(undisturbed[name]), name
    scores = [json.loads(line) for line in again.stderr.splitlines() if '"epoch", ' in line]
    assert [round(e["score"], 6) for e in scores] == [round(alone[0], 6), round(alone[-1], 6)]


def load_state_of(folder: Path) -> dict[str, Tensor]:
    newest = newest_state(folder)
    assert newest is not None
    return {n: t for n, t in read_tensors(newest)[0].items() if n.startswith(("model.", "average"))}


def apart(found: dict[str, Tensor], wanted: dict[str, Tensor], start: dict[str, Tensor]) -> float:
    """How far two states are apart, as a share of how far the second one has come.

    Not 0: in float32 Adam makes steps of gradients that are nothing but rounding, above all for the
    keys' biases, which are left out. In float64 tests/training/test_distributed.py finds none.
    """
    assert found.keys() == wanted.keys()
    off, way = 0.0, 0.0
    for name, tensor in wanted.items():
        if name.endswith("in_proj_bias"):
            continue
        off += float((found[name] - tensor).double().square().sum())
        way += float((tensor - start[name.split(".", 1)[1]]).double().square().sum())
    return float((off / way) ** 0.5)


def test_sharing_out_takes_several_processes(workshop: Workshop) -> None:
    with pytest.raises(UsageError, match=r"--shard .* torchrun"):
        workshop.run("alone", Wishes(shard=True))
