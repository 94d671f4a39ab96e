"""Stored embeddings stand where the pixels of the same photo and epoch would."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from clipsearch.training.pair_batches import PairBatches
from clipsearch.training.stored_views import (
    StoredPairs,
    encode_views,
    for_all_captions,
    read_views,
    write_views,
)
from tests.training.test_fitting import PHOTOS, PREPROCESS, decode
from tests.training.tiny_model import tokens_of


def batches() -> PairBatches:
    return PairBatches(PHOTOS, PREPROCESS, tokens_of, decode, batch_size=5, seed=5, workers=0)


def mean_colour(images: Tensor) -> Tensor:
    return images.mean(dim=(2, 3))


def test_each_epoch_has_its_view_of_each_photo_and_begins_again() -> None:
    shown = batches()
    views = encode_views(batches(), mean_colour, len(PHOTOS), 2, lambda done, total: None)
    assert views.shape == (2, len(PHOTOS), 3)
    stored = StoredPairs(batches(), views).iterate(0)
    for step in range(2 * shown.steps_per_epoch):
        real, batch = shown.make(step), next(stored)
        assert torch.equal(batch.indices, real.indices)
        assert torch.equal(batch.tokens, real.tokens)
        assert torch.equal(batch.ids, real.ids)
        assert torch.equal(batch.images, mean_colour(real.images))
    again = next(stored)
    assert torch.equal(again.images, views[0][again.indices])


def test_it_goes_on_at_any_step() -> None:
    views = encode_views(batches(), mean_colour, len(PHOTOS), 2, lambda done, total: None)
    straight = StoredPairs(batches(), views).iterate(0)
    later = StoredPairs(batches(), views).iterate(4)
    for _ in range(4):
        next(straight)
    assert torch.equal(next(straight).images, next(later).images)


def test_views_are_another_run_s_business(tmp_path: Path) -> None:
    path = tmp_path / "views.safetensors"
    assert read_views(path, "mine") is None
    write_views(path, torch.ones(1, 2, 3), "mine")
    assert torch.equal(read_views(path, "mine"), torch.ones(1, 2, 3))  # type: ignore[arg-type]
    assert read_views(path, "other") is None


def test_a_view_must_suit_every_caption() -> None:
    photo = replace(PHOTOS[0], captions=("a dog", "a dog on the left"))
    assert for_all_captions([photo])[0].captions == ("a dog a dog on the left",)
