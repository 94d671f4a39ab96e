"""Where words lie among photos, against ridge regression written out the slow way."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest

from clipsearch.training.word_features import character_ngrams, words_of_text
from clipsearch.training.word_regression import fit_words
from clipsearch.types import Floats, Ids

# Dogs lie near the first axis, cats near the second, and snow moves both towards the third.
PHOTOS: Floats = np.array(
    [[3, 0, 0], [3, 0, 1], [0, 3, 0], [0, 3, 1], [3, 0.5, 0], [0.5, 3, 0]], dtype=np.float32
)
PHOTOS /= np.linalg.norm(PHOTOS, axis=1, keepdims=True)
TEXTS = ["A dog.", "a dog in snow", "a cat", "a CAT in snow", "a dog, alone", "a cat"]
OWNER = np.arange(6)


def test_words_of_several_scripts() -> None:
    assert words_of_text("Two Dogs' paws, 2!") == ["two", "dogs", "paws", "2"]
    assert words_of_text("白い犬 dog") == ["白", "い", "犬", "dog"]
    assert words_of_text("собака бежит") == ["собака", "бежит"]


def slow_ngrams(word: str) -> list[str]:
    """Three and four letters in a row, of a word with its ends marked."""
    ends = [*"<", *word, *">"]
    threes = ["".join(three) for three in zip(ends, ends[1:], ends[2:], strict=False)]
    fours = ["".join(four) for four in zip(ends, ends[1:], ends[2:], ends[3:], strict=False)]
    return [*threes, *fours] if len(word) > 2 else []


def test_ngrams_are_runs_of_letters_with_the_ends_marked() -> None:
    assert character_ngrams("dog") == ["<do", "dog", "og>", "<dog", "dog>"]
    assert character_ngrams("犬") == character_ngrams("in") == []


def slowly(texts: list[str], owner: Ids, penalty: float) -> tuple[list[str], np.ndarray]:
    has = [words_of_text(t) for t in texts]
    has = [words + [f"#{ngram}" for word in words for ngram in slow_ngrams(word)] for words in has]
    photos_with = {
        w: {photo for other, photo in zip(has, owner, strict=True) if w in other}
        for words in has
        for w in words
    }
    shared = [w for w, photos in photos_with.items() if len(photos) >= 2]
    words = sorted(shared, key=lambda w: (w[0] == "#", w))
    x = np.array(
        [
            [
                math.log((1 + len(texts)) / sum(w in other for other in has))
                * (0.3 if w[0] == "#" else 1)
                * (w in own)
                for w in words
            ]
            for own in has
        ]
    )
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    values, axes = np.linalg.eigh(PHOTOS.T @ PHOTOS / 6)
    deviations = np.sqrt(values)
    usual = math.sqrt(np.mean(np.sort(deviations)[:-1] ** 2))
    whitening = axes @ np.diag(1 / (deviations + usual)) @ axes.T
    y = PHOTOS @ whitening
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    stacked = np.vstack([x, math.sqrt(penalty) * np.eye(len(words))])
    answers = np.vstack([y[owner], np.zeros((len(words), 3))])
    found = np.linalg.lstsq(stacked, answers, rcond=None)[0] @ whitening.T
    return words, found


@pytest.mark.parametrize("penalty", [0.1, 10.0])
@pytest.mark.parametrize("times", [1, 9])  # fewer texts than words and n-grams, and more
def test_equals_least_squares_with_the_penalty_as_rows(penalty: float, times: int) -> None:
    texts, owner = TEXTS * times, np.tile(OWNER, times)
    fitted = fit_words(texts, owner, PHOTOS, [99.0, penalty])[1]
    words, towards = slowly(texts, owner, penalty)
    assert list(fitted.features.position) == words
    assert (len(texts) > len(words)) == (times > 1)
    assert [w for w in words if w[0] != "#"] == ["a", "cat", "dog", "in", "snow"]
    assert "#<dog" in words
    assert np.allclose(fitted.towards, towards, atol=1e-4)


def test_texts_lie_where_their_photos_do() -> None:
    fitted = fit_words(TEXTS, OWNER, PHOTOS, [0.1])[0]
    dog, in_snow, cat = fitted.rows(["a dog", "snow, a dog!", "cat"])
    assert (dog @ PHOTOS.T).argmax() in (0, 4)
    assert (in_snow @ PHOTOS.T).argmax() == 1
    assert (cat @ PHOTOS.T).argmax() in (2, 5)
    assert np.allclose(np.linalg.norm([dog, in_snow, cat], axis=1), 1, atol=1e-5)


def test_a_text_of_unknown_words_lies_nowhere() -> None:
    assert fit_words(TEXTS, OWNER, PHOTOS, [0.1])[0].rows(["an elephant"]).tolist() == [[0, 0, 0]]


def test_a_word_of_one_photo_alone_is_not_learned_however_often_it_is_said() -> None:
    texts = ["rex", "rex rex", "rex the dog", "a dog"]
    fitted = fit_words(texts, np.array([0, 0, 0, 1]), PHOTOS[:2], [1.0])[0]
    assert list(fitted.features.position) == ["dog", "#<do", "#<dog", "#dog", "#dog>", "#og>"]


def test_captions_without_a_common_word_teach_nothing() -> None:
    fitted = fit_words(["rex", "bello"], np.array([0, 1]), PHOTOS[:2], [1.0])[0]
    assert fitted.rows(["rex", "bello", "dog"]).tolist() == [[0, 0, 0]] * 3


def test_which_features_are_kept_does_not_depend_on_the_process() -> None:
    """A set's order is another one in each process; a run taken up again is a new process."""
    say = (
        "import numpy as np, clipsearch.training.word_features as words\n"
        "words._MOST_WORDS, words._MOST_FEATURES = 3, 6\n"
        "texts = ['the quick brown fox jumps', 'over the lazy dog today'] * 2\n"
        "print(*words.word_features(texts, np.arange(4)).position)"
    )
    kept = {
        subprocess.run(
            [sys.executable, "-c", say],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            capture_output=True, check=True,
        ).stdout
        for seed in (1, 2, 3)
    }  # fmt: skip
    assert len(kept) == 1


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, owner = TEXTS * 9, np.tile(OWNER, 9)
    whole = fit_words(texts, owner, PHOTOS, [1.0])[0]
    monkeypatch.setattr("clipsearch.training.word_regression._BLOCK", 4)
    assert np.allclose(fit_words(texts, owner, PHOTOS, [1.0])[0].towards, whole.towards, atol=1e-6)
