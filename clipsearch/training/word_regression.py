"""What words mean among a few hundred photos, in closed form: from the words of a caption, and the
letters in them, straight to where its photo lies."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipsearch.training.word_features import WordFeatures, unit_or_zero, word_features
from clipsearch.types import Floats, Ids

_BLOCK = 4_096
# How far directions in which photos hardly differ are stretched: whitened, but for so much of the
# mean deviation that is added to each. With 0.3 in its place, words alone: 21.9 and 25.3 %.
_SOFTNESS = 1.0


@dataclass(frozen=True)
class WordRegression:
    """Ridge regression from a caption's words and character n-grams to the embedding of its photo.

    A text is the vector x of its `WordFeatures`. With the photos' unit rows y whitened by P, W
    makes sum |x W - y P|^2 + penalty |W|^2 least; a text then lies at x W P^T, scaled to length 1.
    Sources: Hoerl and Kennard, "Ridge Regression", Technometrics 1970; the whitening is that of
    canonical correlation (Hotelling, 1936), softened.
    """

    features: WordFeatures
    towards: Floats  # [features, dim], W P^T

    def rows(self, texts: Sequence[str]) -> Floats:
        """Unit rows [n, dim]; zeros for a text of which nothing is known."""
        blocks = [texts[start : start + _BLOCK] for start in range(0, len(texts), _BLOCK)]
        rows = [self.features.vectors(block) @ self.towards for block in blocks]
        return unit_or_zero(np.concatenate([self.towards[:0], *rows]))


def fit_words(
    texts: Sequence[str], owner: Ids, photos: Floats, penalties: Sequence[float]
) -> list[WordRegression]:
    """A regression for each of the penalties.

    `texts[i]` belongs to photo `owner[i]`, a row of `photos` [n, dim] of unit length. What no two
    photos share is not learned: without anything else, every text lies nowhere.
    """
    features = word_features(texts, owner)
    whitening = _whitening(photos)  # [dim, dim]
    white = unit_or_zero(photos @ whitening)
    solve = _solve_by_texts if len(texts) <= len(features.weights) else _solve_by_features
    return [
        WordRegression(features, np.asarray(answer @ whitening.T, dtype=np.float32))
        for answer in solve(features, texts, white[owner], penalties)
    ]


def _solve_by_texts(
    features: WordFeatures, texts: Sequence[str], targets: Floats, penalties: Sequence[float]
) -> Iterator[NDArray[np.floating[Any]]]:
    """W [features, dim] for each penalty: X^T (X X^T + penalty)^-1 Y, cheap for few texts."""
    x = features.vectors(texts).astype(np.float64)  # [texts, features]
    products = x @ x.T  # [texts, texts]
    for penalty in penalties:
        yield x.T @ np.linalg.solve(products + penalty * np.eye(len(texts)), targets)


def _solve_by_features(
    features: WordFeatures, texts: Sequence[str], targets: Floats, penalties: Sequence[float]
) -> Iterator[NDArray[np.floating[Any]]]:
    """The same as (X^T X + penalty)^-1 X^T Y, of which no side grows with the texts."""
    size = len(features.weights)
    products = np.zeros((size, size))
    toward = np.zeros((size, targets.shape[1]))
    for start in range(0, len(texts), _BLOCK):
        x = features.vectors(texts[start : start + _BLOCK])
        products += x.T @ x
        toward += x.T @ targets[start : start + _BLOCK]
    for penalty in penalties:
        yield np.linalg.solve(products + penalty * np.eye(size), toward)


def _whitening(photos: Floats) -> Floats:
    """[dim, dim], symmetric. The mean is left in: a model's embeddings have no place for it."""
    deviation, axes = np.linalg.svd(photos, full_matrices=False)[1:]  # [k], [k, dim]
    deviation = deviation / math.sqrt(len(photos))
    # Of the directions behind the first, which is nearly the mean itself.
    usual = math.sqrt(float(np.mean(deviation[1:] ** 2))) if len(deviation) > 1 else 1.0
    return np.asarray((axes.T / (deviation + _SOFTNESS * usual)) @ axes, dtype=np.float32)
