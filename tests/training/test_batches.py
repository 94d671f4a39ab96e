"""Batches: every photo as often as its source says, and what counts as a match."""

import numpy as np

from clipsearch.training.batches import LabelledPhotos, PhotoPool, TextSampler
from clipsearch.training.concepts import Concept, Name


def source(count: int, value: int, repeats: float, kept: list[int] | None = None) -> LabelledPhotos:
    return LabelledPhotos(
        np.full((count, 2, 2, 3), value, dtype=np.uint8),
        np.full(count, value, dtype=np.int64),
        repeats,
        np.arange(count) if kept is None else np.array(kept),
    )


def concepts() -> list[Concept]:
    kinds = {"animal": (), "dog": ("animal",), "poodle": ("dog",), "car": ()}
    return [Concept(name, (Name(name, True),), kind, ()) for name, kind in kinds.items()]


def test_numbers_run_through_all_sources() -> None:
    pool = PhotoPool([source(3, 0, 1), source(4, 3, 1)])
    assert [int(pool.photo(i)[0, 0, 0]) for i in range(7)] == [0, 0, 0, 3, 3, 3, 3]
    assert pool.concepts.tolist() == [0, 0, 0, 3, 3, 3, 3]


def test_an_epoch_shows_each_photo_as_often_as_asked() -> None:
    pool = PhotoPool([source(4, 0, 2.5), source(6, 1, 0.5)])
    counts = np.bincount(pool.epoch_order(1, 0), minlength=10)
    assert sorted(counts[:4]) == [2, 2, 3, 3]
    assert sorted(counts[4:]) == [0, 0, 0, 1, 1, 1]


def test_removed_photos_never_appear() -> None:
    pool = PhotoPool([source(2, 0, 1), source(5, 1, 2, kept=[0, 3])])
    assert set(pool.epoch_order(1, 0).tolist()) == {0, 1, 2, 5}


def test_order_depends_on_seed_and_epoch_alone() -> None:
    pool = PhotoPool([source(50, 0, 1)])
    assert np.array_equal(pool.epoch_order(1, 2), pool.epoch_order(1, 2))
    assert not np.array_equal(pool.epoch_order(1, 2), pool.epoch_order(1, 3))
    assert not np.array_equal(pool.epoch_order(1, 2), pool.epoch_order(2, 2))


def test_matches_of_a_poodle_a_dog_and_a_car() -> None:
    sampler = TextSampler(concepts(), np.array([1, 2, 3]), concept_texts=3, kind_texts=9)
    assert sampler.kinds.tolist() == [0, 1]
    texts = sampler.draw(np.array([2, 1, 3]), np.random.default_rng(0))
    assert texts.concept_count == 3
    positive, ignored = texts.positive.tolist(), texts.ignored.tolist()
    # Columns: dog, poodle, car, then the kinds animal and dog in some order.
    assert [row[:3] for row in positive] == [
        [False, True, False], [True, False, False], [False, False, True]
    ]  # fmt: skip
    assert [row[:3] for row in ignored] == [
        [True, False, False], [False, True, False], [False, False, False]
    ]  # fmt: skip
    assert [row[3:] for row in positive] == [[True, True], [True, True], [False, False]]
    assert not any(any(row[3:]) for row in ignored)


def test_concepts_outside_the_batch_are_negatives() -> None:
    sampler = TextSampler(concepts(), np.array([1, 2, 3]), concept_texts=3, kind_texts=1)
    texts = sampler.draw(np.array([3, 3]), np.random.default_rng(0))
    assert texts.concept_count == 3
    assert texts.positive[:, : texts.concept_count].sum(dim=1).tolist() == [1, 1]
    assert len(texts.captions) == 4
