"""Checkpoints of runs: all that a run is comes back, and nothing else is taken for one."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from clipsearch.errors import DamageError
from clipsearch.training import sharding, states
from clipsearch.training.states import (
    NotFiniteError,
    load_state,
    load_weights,
    newest_state,
    save_state,
    save_weights,
)
from clipsearch.training.tensor_files import read_tensors, write_tensors
from clipsearch.training.trainee import Evaluated, TrainedAverage, Trainee

RUN = "the run's fingerprint"


class Scale(nn.Module):
    """A loss with a number of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))


def trainee(seed: int, *, average: bool = True) -> Trainee:
    """Three steps of a small model; each seed gives other numbers everywhere."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    loss = Scale()
    optimizer = torch.optim.AdamW([*model.parameters(), *loss.parameters()], lr=0.1)
    found = Trainee(model, loss, optimizer, TrainedAverage(model, 0.5) if average else None)
    for step in range(1, 4):
        optimizer.zero_grad()
        (model(torch.randn(5, 3)).square().sum() * loss.scale).backward()
        optimizer.step()
        found.step = step
        if found.average is not None:
            found.average.update(model, step)
    found.evaluations = [Evaluated(3, {"recall": 0.1 * seed})]
    return found


def everything(found: Trainee) -> dict[str, torch.Tensor]:
    tensors = {f"model.{n}": t for n, t in found.model.state_dict().items()}
    tensors |= {f"loss.{n}": t for n, t in found.loss.state_dict().items()}
    for index, state in found.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{n}": torch.as_tensor(t) for n, t in state.items()}
    if found.average is not None:
        tensors |= {f"average.{n}": t for n, t in found.average.tensors.items()}
    return {name: t.clone() for name, t in tensors.items()}


def assert_same(one: Trainee, other: Trainee) -> None:
    left, right = everything(one), everything(other)
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


@pytest.mark.row("J3")
@pytest.mark.parametrize("average", [True, False])
def test_all_of_a_run_comes_back_random_numbers_included(tmp_path: Path, average: bool) -> None:
    first = trainee(1, average=average)
    path = save_state(tmp_path, first, RUN)
    drawn = torch.randn(5)
    other = trainee(2, average=average)
    load_state(path, other, RUN)
    assert_same(first, other)
    assert torch.equal(torch.randn(5), drawn)
    assert (other.step, other.evaluations) == (3, [Evaluated(3, {"recall": 0.1})])


def test_any_run_s_checkpoint_is_taken_where_that_was_asked_for(tmp_path: Path) -> None:
    path = save_state(tmp_path, trainee(1), RUN)
    load_state(path, trainee(2), None)
    with pytest.raises(DamageError, match="another run"):
        load_state(path, trainee(2), "another")


@pytest.mark.parametrize("part", ["average.0.weight", "random.cpu", "loss."])
def test_a_checkpoint_that_lacks_something_is_refused(tmp_path: Path, part: str) -> None:
    path = save_state(tmp_path, trainee(1), RUN)
    tensors, note = read_tensors(path)
    kept = {name: t for name, t in tensors.items() if not name.startswith(part)}
    assert len(kept) == len(tensors) - 1
    write_tensors(path, kept, note)
    with pytest.raises(DamageError, match="no checkpoint of this run"):
        load_state(path, trainee(2), RUN)


@pytest.mark.parametrize("note", [{}, {"state": "{"}, {"state": "[]"}, {"state": "{}"}])
def test_a_note_of_something_else_is_refused(tmp_path: Path, note: dict[str, str]) -> None:
    path = save_state(tmp_path, trainee(1), RUN)
    write_tensors(path, read_tensors(path)[0], note)
    with pytest.raises(DamageError):
        load_state(path, trainee(2), RUN)


def test_a_format_to_come_is_refused(tmp_path: Path) -> None:
    path = save_state(tmp_path, trainee(1), RUN)
    tensors, note = read_tensors(path)
    state = {**json.loads(note["state"]), "format": 2}
    write_tensors(path, tensors, {"state": json.dumps(state)})
    with pytest.raises(DamageError):
        load_state(path, trainee(2), RUN)


@pytest.mark.row("J2")
def test_the_last_two_are_kept_and_the_newest_is_found(tmp_path: Path) -> None:
    assert newest_state(tmp_path / "nowhere") is None
    found = trainee(1)
    for step in (1, 2, 30):
        found.step = step
        newest = save_state(tmp_path, found, RUN)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-00000002.safetensors",
        "step-00000030.safetensors",
    ]
    assert newest_state(tmp_path) == newest


@pytest.mark.row("J1")
def test_nothing_that_is_no_number_is_written(tmp_path: Path) -> None:
    found = trainee(1)
    good = save_state(tmp_path, found, RUN)
    before = good.read_bytes()
    found.loss.scale.data.fill_(float("inf"))  # type: ignore[union-attr]
    with pytest.raises(NotFiniteError, match=r"loss\.scale"):
        save_state(tmp_path, found, RUN)
    with pytest.raises(NotFiniteError):
        save_weights(tmp_path / "best", {"a": torch.tensor([1.0, float("nan")])}, 3)
    assert [path.name for path in tmp_path.iterdir()] == [good.name]
    assert good.read_bytes() == before


def test_another_process_than_the_first_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (states, sharding):
        monkeypatch.setattr(module, "rank", lambda: 1)
    assert save_state(tmp_path, trainee(1), RUN).name == "step-00000003.safetensors"
    assert list(tmp_path.iterdir()) == []


def test_a_gpu_s_random_numbers_are_kept_and_left_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, restored = torch.arange(16, dtype=torch.uint8), []
    one, other = trainee(1), trainee(2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: state)
    monkeypatch.setattr(torch.cuda, "set_rng_state", restored.append)
    path = save_state(tmp_path, one, RUN)
    load_state(path, other, RUN)
    assert [each.tolist() for each in restored] == [state.tolist()]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    load_state(path, other, RUN)
    assert len(restored) == 1


def test_weights_come_back_with_their_step(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    save_weights(path, {"a": torch.tensor([1.5])}, 7)
    weights, step = load_weights(path)
    assert (step, weights["a"].tolist()) == (7, [1.5])
    for note in ({}, {"step": "last"}):
        write_tensors(path, weights, note)
        with pytest.raises(DamageError, match="does not say which"):
            load_weights(path)
