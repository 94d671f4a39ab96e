"""kill -9 at any moment: what was saved loads, and the run's end is the undisturbed one's.

Each child is a process of its own: a kill costs the seconds that torch takes to load.
"""

import random
import shutil
import signal
import time

import pytest

from clipsearch.finetuning import Finished
from clipsearch.training.states import newest_state
from clipsearch.training.tensor_files import read_tensors
from tests.fault.table import Trials
from tests.finetuning.tiny_run import Workshop

# Saved after every step: 9 steps, 3 evaluations, up to 3 best weights.
POINTS = [
    "step_backward:5",
    "step_applied:4",
    "before_judging:3",
    "before_tensors:6",
    "between_tensors:300",
    "after_tensors:8",
    "after_tensors_renamed:1",
]


def everything_saved_is_whole(undisturbed: Workshop, name: str) -> None:
    run = undisturbed.folder / name
    for path in run.rglob("*.safetensors"):
        # Copies of the original, and what was being written, carry no digest of their own.
        if not {"original", "model", "model.unfinished"} & set(path.parts):
            read_tensors(path)
    checkpoints = run / "checkpoints"
    if checkpoints.is_dir():
        assert len(list(checkpoints.glob("*.safetensors"))) <= 3


def ends_like_the_undisturbed_one(undisturbed: Workshop, name: str) -> None:
    finished = undisturbed.run(name, save_seconds=0.0)
    assert isinstance(finished, Finished)
    assert undisturbed.learned(name) == undisturbed.learned("undisturbed")
    newest = [
        newest_state(undisturbed.folder / each / "checkpoints") for each in (name, "undisturbed")
    ]
    assert newest[0] is not None
    assert newest[1] is not None
    tensors = [read_tensors(path)[0] for path in newest if path is not None]
    assert tensors[0].keys() == tensors[1].keys()
    for key, tensor in tensors[0].items():
        assert tensor.equal(tensors[1][key]), key
    leftovers = [p.name for p in (undisturbed.folder / name).rglob("*.unfinished")]
    assert leftovers == []


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.row("J2")
def test_killed_at_a_named_point(undisturbed: Workshop, point: str) -> None:
    name = f"killed-{point.replace(':', '-')}"
    ended = undisturbed.killed(name, f"{point}=exit", save_seconds=0.0)
    assert ended == -signal.SIGKILL, "the failpoint was never reached"
    everything_saved_is_whole(undisturbed, name)
    ends_like_the_undisturbed_one(undisturbed, name)


@pytest.mark.row("J2")
def test_killed_again_and_again_at_any_moment(undisturbed: Workshop, trials: Trials) -> None:
    moments = random.Random(3)
    for number in range(trials(1, 50)):
        name = f"killed-at-random-{number}"
        for _ in range(4):
            child = undisturbed.begun(name, save_seconds=0.0)
            time.sleep(moments.uniform(0.5, 4.0))
            child.kill()
            child.join()
            everything_saved_is_whole(undisturbed, name)
        ends_like_the_undisturbed_one(undisturbed, name)
        shutil.rmtree(undisturbed.folder / name)
