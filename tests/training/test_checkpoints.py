"""Checkpoints: whole or absent, two kept, and a resumed run equals one that never stopped."""

import itertools
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from clipsearch.errors import DamageError
from clipsearch.training.checkpoints import latest_checkpoint, load_checkpoint, save_checkpoint
from clipsearch.training.loop import train
from tests.training.tiny_model import TinyRun

START: dict[str, int | float] = {"step": 0, "seconds": 0.0}


def saved(run: TinyRun, folder: Path, step: int) -> Path:
    return save_checkpoint(
        folder, {"step": step, "seconds": 0.0}, run.learner, run.optimizer, run.average
    )


def advance(run: TinyRun, start: dict[str, int | float], steps: int) -> None:
    reports = train(
        run.learner,
        None,
        run.average,
        run.optimizer,
        run.batches,
        run.schedule,
        start,
        report_every=1,
    )
    for _ in itertools.islice(reports, steps):
        pass


@pytest.mark.row("J3")
def test_a_resumed_run_equals_one_that_never_stopped(tmp_path: Path) -> None:
    straight = TinyRun(steps=6)
    advance(straight, START, 6)

    first = TinyRun(steps=6)
    advance(first, START, 3)
    saved(first, tmp_path, 3)
    second = TinyRun(steps=6)
    newest = latest_checkpoint(tmp_path)
    assert newest is not None
    position = load_checkpoint(newest, second.learner, second.optimizer, second.average)
    assert position == {"step": 3, "seconds": 0.0}
    advance(second, position, 3)

    for stopped, never in (
        (second.learner, straight.learner),
        (second.average.shadow, straight.average.shadow),
    ):
        for name, tensor in never.state_dict().items():
            assert torch.equal(stopped.state_dict()[name], tensor), name


def test_other_users_may_read_what_was_written(tmp_path: Path) -> None:
    assert saved(TinyRun(steps=1), tmp_path, 1).stat().st_mode & 0o777 == 0o644


@pytest.mark.row("J2")
def test_only_the_last_two_are_kept(tmp_path: Path) -> None:
    run = TinyRun(steps=1)
    for step in (1, 2, 3):
        saved(run, tmp_path, step)
    assert [p.name for p in sorted(tmp_path.iterdir())] == [
        "step-00000002.safetensors", "step-00000003.safetensors"
    ]  # fmt: skip


@pytest.mark.row("J2")
def test_a_crash_while_writing_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = TinyRun(steps=1)
    good = saved(run, tmp_path, 1)

    monkeypatch.setenv("CLIPSEARCH_FAILPOINT", "after_tensors=raise")
    with pytest.raises(OSError, match="after_tensors"):
        saved(run, tmp_path, 2)
    assert latest_checkpoint(tmp_path) == good
    load_checkpoint(good, run.learner, run.optimizer, run.average)


@pytest.mark.row("J1")
def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    run = TinyRun(steps=1)
    next(run.learner.parameters()).data.fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        saved(run, tmp_path, 1)
    assert latest_checkpoint(tmp_path) is None


@pytest.mark.row("J2")
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    run = TinyRun(steps=1)
    path = saved(run, tmp_path, 1)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamageError, match=r"step-00000001\.safetensors"):
        load_checkpoint(path, run.learner, run.optimizer, run.average)


def test_a_checkpoint_of_an_older_version_has_no_digest_and_still_loads(tmp_path: Path) -> None:
    run = TinyRun(steps=1)
    path = saved(run, tmp_path, 1)
    with safe_open(path, framework="pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        note = {k: v for k, v in stored.metadata().items() if k != "sha256"}
    save_file(tensors, path, note)
    position = load_checkpoint(path, run.learner, run.optimizer, run.average)
    assert position == {"step": 1, "seconds": 0.0}
