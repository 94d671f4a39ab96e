"""The teacher of words: what it asks of a text tower, and whether it is asked at all."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from clipsearch.training.word_features import words_of_text
from clipsearch.training.word_regression import fit_words
from clipsearch.training.word_teacher import (
    WordsFound,
    WordTeacher,
    altered,
    compare_words,
    scores_apart,
)
from clipsearch.types import Floats

CPU = torch.device("cpu")
THINGS = ("dog", "cat", "tree", "car")


def tokenize(texts: Sequence[str]) -> Tensor:
    """Which of the four things a text names."""
    return torch.tensor(
        [[thing in words_of_text(text) for thing in THINGS] for text in texts]
    ).long()


class Axes:
    """One axis for each of the things; nothing for a text without any."""

    def rows(self, texts: Sequence[str]) -> Floats:
        named = tokenize(texts).numpy().astype(np.float32)
        return np.asarray(named / np.maximum(np.linalg.norm(named, axis=1, keepdims=True), 1))


def same_axes(tokens: Tensor) -> Tensor:
    return torch.nn.functional.normalize(tokens.float(), dim=1)


# One photo for each of the things: a text's scores are its coordinates.
PHOTOS: Floats = np.eye(4, dtype=np.float32)


def taught(
    captions: Sequence[str],
    drawn: int,
    photos: Floats = PHOTOS,
    tokenize: Callable[[Sequence[str]], Tensor] = tokenize,
) -> WordTeacher:
    return WordTeacher(Axes(), captions, photos, tokenize, CPU, drawn)


def test_a_tower_that_agrees_has_nothing_to_learn() -> None:
    teacher = taught(["a dog", "the cat and the tree", "car", "?"], 64)
    assert abs(float(teacher.loss(same_axes))) < 1e-6


def test_only_texts_that_say_something_are_compared() -> None:
    teacher = taught(["dog", "?"], 64)
    # Where nothing is known, whatever the tower says is right.
    there = torch.tensor([[0.6, 0.8, 0.0, 0.0]])
    assert float(teacher.loss(lambda tokens: there.expand(len(tokens), -1))) == pytest.approx(0.4)


def test_texts_are_compared_by_their_scores_for_photos() -> None:
    # All photos have much of "car" in them: where a text lies along it hardly changes its ranking.
    photos = np.array([[0.6, 0, 0, 0.8], [0, 0.6, 0, 0.8], [0, 0.8, 0, 0.6]], dtype=np.float32)
    there = np.array([0.6, 0.0, 0.0, 0.8], dtype=np.float32)
    now, right = photos @ there, photos[:, THINGS.index("dog")]
    cosine = float(now @ right / np.linalg.norm(now) / np.linalg.norm(right))
    loss = taught(["a dog"], 8, photos).loss(
        lambda tokens: torch.from_numpy(there).expand(len(tokens), -1)
    )
    assert float(loss) == pytest.approx(1 - cosine, abs=1e-6)
    assert abs(cosine - there[0]) > 0.1


def test_a_text_whose_scores_are_all_too_low_is_not_right() -> None:
    # Both rank the two photos rightly, but for either photo the first text comes first.
    now = torch.tensor([[0.8, 0.6], [0.06, 0.08]])
    right = torch.tensor([[0.8, 0.6], [0.6, 0.8]])
    by_hand = (0.64 + 0.36 + 0.036 + 0.064) / math.sqrt((1 + 0.01) * 2)
    assert float(scores_apart(now, right, torch.eye(2))) == pytest.approx(1 - by_hand)
    assert float(scores_apart(0.1 * right, right, torch.eye(2))) == pytest.approx(0, abs=1e-6)


def test_directions_that_no_photo_has_do_not_count() -> None:
    photos = np.eye(4, dtype=np.float32)[:3]
    teacher = taught(["dog"], 8, photos)
    astray = torch.tensor([[0.6, 0.0, 0.0, 0.8]])
    assert abs(float(teacher.loss(lambda tokens: astray.expand(len(tokens), -1)))) < 1e-6


def test_draws_depend_on_torchs_random_numbers() -> None:
    seen: list[Tensor] = []

    def encode(tokens: Tensor) -> Tensor:
        seen.append(tokens)
        return same_axes(tokens)

    teacher = taught(["a dog", "a cat", "a tree", "a car"], 16)
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        teacher.loss(encode)
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])
    assert len(seen[0]) == 16


def test_half_of_the_texts_stay_as_they_are_and_others_are_mixed() -> None:
    seen: list[list[str]] = []

    def listening(texts: Sequence[str]) -> Tensor:
        seen.append(list(texts))
        return tokenize(texts)

    captions = ["A dog by a tree.", "The cat in a car."]
    taught(captions, 200, tokenize=listening).loss(same_axes)
    (texts,) = seen
    assert set(texts[:100]) == set(captions)
    assert not set(texts[100:]) & set(captions)
    assert any("dog" in text and "cat" in text for text in texts[100:])


def test_altered_texts_hold_words_of_both_and_never_nothing() -> None:
    rng = np.random.default_rng(0)
    made = [altered("a dog runs", "the cat", rng) for _ in range(300)]
    words = {word for text in made for word in text.split()}
    assert words == {"a", "dog", "runs", "the", "cat"}
    assert all(made)
    assert any(text.split() == ["runs", "dog"] for text in made)


def photos_and_captions(*, say_truth: bool) -> tuple[list[str], np.ndarray, Floats]:
    """80 photos around four axes, two captions each, that name the axis or anything at all."""
    rng = np.random.default_rng(7)
    kind = np.arange(80) // 4 % 4
    rows = np.eye(4, 12, dtype=np.float32)[kind] + 0.1 * rng.normal(size=(80, 12)).astype("f4")
    said = kind if say_truth else rng.integers(4, size=80)
    captions = [text for k in said for text in (f"a {THINGS[k]}", f"see the {THINGS[k]} here")]
    return captions, np.repeat(np.arange(80), 2), rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_true_words_help_a_model_that_knows_nothing() -> None:
    captions, owner, photos = photos_and_captions(say_truth=True)
    nonsense = np.roll(photos, 1, axis=1)[owner]
    found = compare_words(captions, owner, nonsense, photos)
    assert found.help
    assert found.words > 0.5 > found.model


def test_a_model_that_knows_its_photos_needs_no_words() -> None:
    captions, owner, photos = photos_and_captions(say_truth=True)
    assert not compare_words(captions, owner, photos[owner], photos).help


def test_words_without_meaning_do_not_pass_by_having_seen_the_photos() -> None:
    captions, owner, photos = photos_and_captions(say_truth=False)
    # Each caption names its own photo, and one other in the next part: learned by heart it would
    # find all of them, by what it means none.
    captions = [f"{text} number {photo // 2}" for text, photo in zip(captions, owner, strict=True)]
    truth, their_owner, _ = photos_and_captions(say_truth=True)
    meant = compare_words(truth, their_owner, photos[owner], photos)
    assert compare_words(captions, owner, photos[owner], photos).words < 0.6 * meant.words
    by_heart = fit_words(captions, owner, photos, [0.01])[0].rows(captions)
    best = (by_heart @ photos.T).argmax(axis=1)
    assert np.mean(best // 2 == owner // 2) > 0.8


def test_captions_without_a_common_word_are_no_help() -> None:
    _, owner, photos = photos_and_captions(say_truth=True)
    captions = [chr(0x4E00 + photo) for photo in owner]
    found = compare_words(captions, owner, np.roll(photos, 1, axis=1)[owner], photos)
    assert found.words == 0
    assert not found.help


def test_found_says_which_ranks_better() -> None:
    assert WordsFound(0.2, 0.3, 10.0).help
    assert not WordsFound(0.3, 0.3, 10.0).help
