"""The faster precision is chosen, and measuring leaves no trace."""

import itertools

import pytest
import torch

from clipsearch.training.precision import (
    Precision,
    computing_in,
    decide,
    measure_precision,
)
from tests.training.towers import RESNET10T, batch, clip

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("fp32", "bf16", "chosen"),
    [(1.0, 0.5, "bf16"), (1.0, 0.95, "fp32"), (1.0, 1.0, "fp32"), (0.5, 1.0, "fp32")],
)
def test_bf16_must_be_a_tenth_faster(fp32: float, bf16: float, chosen: str) -> None:
    found = decide({"fp32": fp32, "bf16": bf16})
    assert (found.precision, found.fp32_seconds, found.bf16_seconds) == (chosen, fp32, bf16)


def test_the_first_step_of_each_is_not_counted() -> None:
    """By a clock of its own: 100 seconds for the first ones, then 4 for fp32 and 2 for bf16."""
    lengths = itertools.chain([100, 100], itertools.cycle([4, 2]))
    stops = itertools.chain.from_iterable((0.0, float(length)) for length in lengths)
    found = measure_precision(clip(), lambda _: None, CPU, lambda: next(stops), repeats=1)
    assert (found.precision, found.fp32_seconds, found.bf16_seconds) == ("bf16", 4.0, 2.0)


def test_measuring_leaves_no_trace() -> None:
    model = clip(RESNET10T).train()
    photos, _ = batch(model, 4)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    dtypes = []

    def step(precision: Precision) -> None:
        torch.rand(1)
        with computing_in(precision, CPU):
            rows = model.encode_image(photos)
        dtypes.append(rows.dtype)
        rows.float().sum().backward()

    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    measure_precision(model, step, CPU)
    assert torch.equal(torch.rand(4), expected)
    assert dtypes == [torch.float32, torch.bfloat16] * 3
    assert all(parameter.grad is None for parameter in model.parameters())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
