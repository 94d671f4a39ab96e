import io
import math

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from clipsearch.training.curves import curve_png
from clipsearch.training.interpolation import (
    Point,
    choose,
    curve_table,
    interpolate,
    sweep,
)


def weights(
    *values: float, steps: int = 0, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    return {"w": torch.tensor(values, dtype=dtype), "steps": torch.tensor(steps)}


def test_the_line_between_two_models() -> None:
    quarter = interpolate(weights(0, 4), weights(8, 0), 0.25)
    assert quarter["w"].tolist() == [2, 3]


def test_both_ends_are_the_models_themselves() -> None:
    # Values that no sum of products gives back exactly, and one that 0 times makes NaN.
    one, two = weights(0.1, -0.0, math.inf, steps=3), weights(0.3, 1e-45, 7.7, steps=9)
    for weight, wanted in ((0.0, one), (1.0, two)):
        mixed = interpolate(one, two, weight)
        for name, tensor in wanted.items():
            assert mixed[name].numpy().tobytes() == tensor.numpy().tobytes()
            assert mixed[name].data_ptr() != tensor.data_ptr()
    assert interpolate(one, two, 0.5)["steps"] == 3


def test_half_precision_is_mixed_in_single() -> None:
    # 1 + 2^-10 and 1 - 2^-11 are halves; a third of the way between them is none.
    one, two = weights(1 + 2**-10, dtype=torch.float16), weights(1 - 2**-11, dtype=torch.float16)
    mixed = interpolate(one, two, 1 / 3)["w"]
    exact = (2 / 3) * (1 + 2**-10) + (1 / 3) * (1 - 2**-11)
    assert mixed.dtype == torch.float16
    assert mixed.item() == torch.tensor(exact, dtype=torch.float16).item()


@pytest.mark.parametrize(
    ("other", "weight", "said"),
    [
        (weights(1, 2), 1.5, "not in 0..1"),
        ({"w": torch.zeros(2)}, 0.5, "only in one"),
        (weights(1, 2, 3), 0.5, "w is"),
    ],
    ids=["weight", "names", "shapes"],
)
def test_what_does_not_belong_together_is_refused(
    other: dict[str, Tensor], weight: float, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        interpolate(weights(1, 2), other, weight)


def test_sweep_measures_each_point_and_gives_the_original_back() -> None:
    model = nn.Linear(1, 1, bias=False)
    original = {"weight": torch.tensor([[2.0]])}
    points = sweep(
        model,
        original,
        {"weight": torch.tensor([[4.0]])},
        lambda: (model.weight.item(), model.weight.item() / 100),
        weights=(1.0, 0.5),
    )
    # The original is measured unasked, and forgot nothing.
    assert points == [Point(0.0, 2.0, 0.0), Point(0.5, 3.0, 0.03), Point(1.0, 4.0, 0.04)]
    assert model.weight.item() == 2


def test_sweep_gives_the_original_back_when_measuring_fails() -> None:
    model = nn.Linear(1, 1, bias=False)

    def measure() -> tuple[float, float]:
        if model.weight.item() > 2:
            raise KeyboardInterrupt
        return 0.0, 0.0

    with pytest.raises(KeyboardInterrupt):
        sweep(
            model,
            {"weight": torch.tensor([[2.0]])},
            {"weight": torch.tensor([[4.0]])},
            measure,
        )
    assert model.weight.item() == 2


ORIGINAL = Point(0.0, 0.40, 0.0)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ([Point(0.5, 0.5, 0.01), Point(1, 0.6, 0.03)], 0.5),  # the best forgets too much
        ([Point(0.5, 0.5, 0.02), Point(1, 0.5, 0.02)], 0.5),  # as good: the smaller weight
        ([Point(0.5, 0.4, 0.0), Point(1, 0.3, 0.0)], 0.0),  # none is better
        ([Point(0.5, 0.5, 0.021)], 0.0),  # none is allowed
        ([Point(0.5, math.nan, 0.0), Point(1, 0.41, 0.0)], 1.0),
        ([Point(0.5, 0.5, math.nan)], 0.0),  # not known to keep anything
        ([Point(0.5, 0.5, -0.01)], 0.5),  # better elsewhere too
    ],
    ids=["bound", "tie", "no better", "none allowed", "nan score", "nan forgetting", "gain"],
)
def test_choice(others: list[Point], chosen: float) -> None:
    assert choose([*reversed(others), ORIGINAL], 0.02).weight == chosen


def test_anything_is_better_than_an_original_without_a_score() -> None:
    points = [Point(0.0, math.nan, 0.0), Point(0.5, 0.1, 0.0)]
    assert choose(points, 0.02) == choose(points[::-1], 0.02) == points[1]


def test_choice_needs_the_original() -> None:
    with pytest.raises(ValueError, match="original"):
        choose([Point(0.5, 0.5, 0.0)], 0.02)


def test_curve_as_table_and_picture() -> None:
    points = [ORIGINAL, Point(0.5, 0.5, 0.01), Point(1.0, 0.6, 0.03)]
    lines = curve_table(points, points[1], "recall@5").splitlines()
    assert lines[0].split() == ["weight", "recall@5", "forgetting"]
    assert lines[2].split() == ["*", "0.50", "50.0", "%", "1.0", "%"]
    assert sum(line.startswith("*") for line in lines) == 1
    picture = curve_png(points, points[1], 0.02, "recall@5")
    assert picture == curve_png(points, points[1], 0.02, "recall@5")
    assert Image.open(io.BytesIO(picture)).size == (768, 528)
    # One point alone is a picture too.
    assert curve_png([ORIGINAL], ORIGINAL, 0.02, "recall@5").startswith(b"\x89PNG")
