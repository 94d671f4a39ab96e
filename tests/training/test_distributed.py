"""Two processes on the CPU take the steps that one takes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from clipsearch.training.losses import LOSS_NAMES
from clipsearch.training.tuning import merge, prepare
from tests.training import two_processes
from tests.training.towers import RESNET10T, batch, clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes, started once for all tests here, left their results."""
    found = tmp_path_factory.mktemp("two")
    spawn(two_processes.run, args=(found,), nprocs=2)
    return found


def results(folder: Path, name: str) -> list[dict[str, Tensor]]:
    return [load_file(folder / f"{name}-{rank}.safetensors") for rank in range(2)]


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert (found[name] - tensor).abs().max().item() <= 1e-6, name


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_two_processes_train_as_one_does(folder: Path, name: str) -> None:
    alone = two_processes.train(name, "all", None)
    start = clip().double().state_dict()
    assert (alone["visual.proj"] - start["visual.proj"]).abs().max() > 1e-3  # it did learn
    for found in results(folder, f"loss {name}"):
        assert_same(found, alone)


@pytest.mark.parametrize("tune", two_processes.TUNES)
def test_whatever_is_trained(folder: Path, tune: str) -> None:
    alone = two_processes.train("unicl", tune, None)
    for found in results(folder, f"tune {tune}"):
        assert_same(found, alone)


def test_in_chunks_too(folder: Path) -> None:
    alone = two_processes.train("unicl", "all", None)
    for found in results(folder, "chunks"):
        assert_same(found, alone)


def test_running_statistics_are_the_mean_over_processes(folder: Path) -> None:
    photos, _ = batch(clip(RESNET10T), two_processes.PAIRS)
    halves = []
    for half in photos.chunk(2):
        model = clip(RESNET10T).train()
        model.encode_image(half)
        halves.append(dict(model.named_buffers()))
    for found in results(folder, "statistics"):
        for name, mean in found.items():
            expected = (halves[0][name] + halves[1][name]) / 2
            assert torch.allclose(mean, expected, atol=1e-6), name


def test_gradients_missing_in_one_process_count_as_zero(folder: Path) -> None:
    for found in results(folder, "unused"):
        assert torch.equal(found["everywhere"], torch.full((2, 2), 1.5))
        assert torch.equal(found["somewhere"], torch.full((2, 2), 1.5))
        assert found["figures"].tolist() == [2.0, 5.0]


@pytest.mark.parametrize("name", ["all", "chunks"])
def test_shared_out_weights_train_as_whole_ones_do(folder: Path, name: str) -> None:
    alone = two_processes.train("unicl", "all", None)
    first, second = results(folder, f"sharded {name}")
    assert_same(first, alone)
    assert second.keys() == {"losses"}  # the whole weights are collected by the first


def test_gradients_of_scalars_are_averaged_beside_shared_out_weights(folder: Path) -> None:
    for found in results(folder, "scalars"):
        assert found["logit_scale"].item() == 1.5


def test_shared_out_gradients_are_clipped_by_the_norm_of_all(folder: Path) -> None:
    alone = two_processes.clipped(sharded=False)
    first, second = results(folder, "clipped")
    assert_same(first, alone)
    assert second.keys() == {"norm"}
    assert second["norm"] == first["norm"] > 0.1


def test_shared_out_lora_trains_and_merges_as_whole(folder: Path) -> None:
    alone = two_processes.train("unicl", "lora", None)
    found = results(folder, "sharded lora")[0]
    losses = found.pop("losses")
    model = clip().double()
    prepare(model, two_processes.TUNES["lora"])
    model.load_state_dict(found)
    merge(model)
    assert_same({**model.state_dict(), "losses": losses}, alone)
