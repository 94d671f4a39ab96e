"""What is decided where nobody says: by the number of photos, the model's size, the machine."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from clipsearch.errors import UsageError
from clipsearch.finetuning.asking import Request
from clipsearch.finetuning.settings import Circumstances, Wishes, part_shares, resolve

SMALL = Circumstances(
    photos=560, usable=800, parameters=12_000_000, device="cpu", bfloat16=False, threads=2, world=1
)
LARGE = Circumstances(
    photos=560, usable=800, parameters=151_000_000, device="cpu", bfloat16=True, threads=2, world=1
)
MANY = Circumstances(
    photos=20_000,
    usable=22_000,
    parameters=151_000_000,
    device="cpu",
    bfloat16=False,
    threads=2,
    world=1,
)


def test_few_photos_and_a_small_model() -> None:
    found = resolve("finetune", Wishes(), SMALL)
    assert (found.tune, found.anchor, found.stored_views) == ("text", 240.0, 8)
    assert found.words == 30.0
    assert (found.batch_size, found.epochs, found.learning_rate) == (280, 180, 6e-3)
    assert (found.chunk, found.precision) == (0, "fp32")
    assert found.judge_every == 6


def test_few_photos_and_a_large_model() -> None:
    found = resolve("finetune", Wishes(), LARGE)
    assert (found.tune, found.learning_rate, found.epochs) == ("text", 1e-5, 10)
    assert (found.anchor, found.words) == (20.0, 30.0)
    assert (found.chunk, found.precision) == (128, "bf16")


def test_chunks_are_as_large_as_memory_allows() -> None:
    huge = replace(LARGE, parameters=428_000_000)
    assert resolve("finetune", Wishes(), huge).chunk == 16
    assert resolve("finetune", Wishes(precision="fp32"), LARGE).chunk == 64


def test_many_photos() -> None:
    found = resolve("finetune", Wishes(), MANY)
    assert (found.tune, found.batch_size, found.epochs) == ("all", 128, 5)
    assert (found.learning_rate, found.precision, found.stored_views) == (1e-5, "fp32", 0)
    assert found.frozen_norms


def test_from_nothing_everything_is_trained_and_nothing_held() -> None:
    found = resolve("train", Wishes(), SMALL)
    assert (found.tune, found.anchor, found.stored_views) == ("all", 0.0, 0)
    assert not found.frozen_norms


@pytest.mark.parametrize(
    ("tune", "rate"), [("lora", 2e-4), ("lora:4", 2e-4), ("projections", 1e-3), ("all", 1e-5)]
)
def test_the_learning_rate_follows_what_is_trained(tune: str, rate: float) -> None:
    assert resolve("finetune", Wishes(tune=tune), LARGE).learning_rate == rate


def test_the_shares_in_the_record_are_those_the_photos_were_divided_by() -> None:
    """5,200 photos are many, although fewer than 5,000 of them are learned from."""
    shares = part_shares(Wishes(), 5_200)
    found = resolve("finetune", Wishes(), replace(SMALL, usable=5_200, photos=4_680))
    assert (found.validation, found.test) == shares


def test_a_wish_is_a_wish() -> None:
    wishes = Wishes(
        epochs=3, batch_size=7, learning_rate=0.5, weight_decay=0.0, loss="margin", tune="all",
        views=0.5, views_of="label", chunk=0, accumulate=2, recompute=True, precision="fp32",
        average=0.9, anchor=0.0, words=2.0, forgetting=0.3, validation=0.2, test=0.3, seed=9,
        threads=5,
    )  # fmt: skip
    found = resolve("finetune", wishes, LARGE)
    for name in ("epochs", "batch_size", "learning_rate", "weight_decay", "loss", "tune", "views",
                 "chunk", "accumulate", "recompute", "precision", "average", "anchor", "words",
                 "forgetting", "validation", "test", "seed", "threads"):  # fmt: skip
        assert getattr(found, name) == getattr(wishes, name), name


def test_two_views_of_a_photo_need_its_pixels() -> None:
    found = resolve("finetune", Wishes(views=1.0), SMALL)
    assert (found.stored_views, found.words) == (0, 0.0)


def test_a_locked_text_tower_needs_no_anchor() -> None:
    assert resolve("finetune", Wishes(tune="image"), SMALL).anchor == 0


def test_few_photos_are_judged_by_a_larger_share() -> None:
    assert part_shares(Wishes(), 700) == (0.1, 0.15)
    assert part_shares(Wishes(), 50_000) == (0.05, 0.05)


@pytest.mark.parametrize(("validation", "test"), [(0.0, 0.2), (0.1, 0.0), (0.5, 0.45), (1.5, 0.1)])
def test_shares_that_leave_nothing_are_refused(validation: float, test: float) -> None:
    with pytest.raises(UsageError, match="leave too little"):
        part_shares(Wishes(validation=validation, test=test), 100)


@pytest.mark.parametrize("wish", [Wishes(epochs=-1), Wishes(batch_size=-4)])
def test_numbers_of_nothing_are_refused(wish: Wishes) -> None:
    with pytest.raises(UsageError, match="Give 1 or more"):
        resolve("finetune", wish, SMALL)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="fp32 and bf16"):
        resolve("finetune", Wishes(precision="int3"), SMALL)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_learns_nothing_is_refused_before_photos_are_read(rate: float) -> None:
    with pytest.raises(UsageError, match="--learning-rate"):
        Wishes(learning_rate=rate)


def test_what_is_no_number_is_refused_for_every_option() -> None:
    with pytest.raises(UsageError, match="--weight-decay"):
        Wishes(weight_decay=float("nan"))


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_torch_would_not_take_is_refused(seed: int) -> None:
    with pytest.raises(UsageError, match="out of range"):
        Wishes(seed=seed)
    assert Wishes(seed=2**63 - 1).seed == 2**63 - 1


@pytest.mark.parametrize("seconds", [math.nan, math.inf])
def test_a_time_that_is_no_number_is_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match="--save-every"):
        Request("finetune", Path("run"), None, None, "starter", None, None, Wishes(),
                save_seconds=seconds)  # fmt: skip
