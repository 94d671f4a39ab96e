"""What words mean among a few hundred photos, in closed form: from the words of a caption straight
to where its photo lies."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipsearch.types import Floats, Ids

# Scripts without spaces: each sign is taken as a word of its own.
_SIGNS = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_SIGNS}]|[^\W{_SIGNS}]+")
# A word that one photo alone has says nothing about others.
_FEWEST_PHOTOS = 2
_MOST_WORDS = 3_000
_BLOCK = 4_096
# How far directions in which photos hardly differ are stretched: whitened, but for so much of the
# mean deviation that is added to each.
_SOFTNESS = 0.3


def words_of_text(text: str) -> list[str]:
    """The lower-case words of a text in order; Chinese, Japanese and Korean signs one by one."""
    return _WORD.findall(text.casefold())


@dataclass(frozen=True)
class WordRegression:
    """Ridge regression from the words of a caption to the embedding of its photo.

    A text is the vector x of its words' idf weights, scaled to length 1. With the photos' unit rows
    y whitened by P, W makes sum |x W - y P|^2 + penalty |W|^2 least; a text then lies at x W P^T,
    scaled to length 1. Sources: Hoerl and Kennard, "Ridge Regression", Technometrics 1970; the
    whitening is that of canonical correlation (Hotelling, 1936), softened.
    """

    position: dict[str, int]
    idf: Floats  # [words]
    towards: Floats  # [words, dim], W P^T

    def rows(self, texts: Sequence[str]) -> Floats:
        """Unit rows [n, dim]; zeros for a text of which no word is known."""
        return _unit(self._vectors(texts) @ self.towards)

    def _vectors(self, texts: Sequence[str]) -> Floats:
        return _vectors(texts, self.position, self.idf)


def fit_words(
    texts: Sequence[str], owner: Ids, photos: Floats, penalties: Sequence[float]
) -> list[WordRegression]:
    """A regression for each of the penalties.

    `texts[i]` belongs to photo `owner[i]`, a row of `photos` [n, dim] of unit length. Words that
    no two photos share are not learned: without any others, every text lies nowhere.
    """
    position, idf = _vocabulary(texts, owner)
    whitening = _whitening(photos)  # [dim, dim]
    white = _unit(photos @ whitening)
    gram = np.zeros((len(idf), len(idf)))
    toward = np.zeros((len(idf), photos.shape[1]))
    for start in range(0, len(texts), _BLOCK):
        rows = _vectors(texts[start : start + _BLOCK], position, idf)
        gram += rows.T @ rows
        toward += rows.T @ white[owner[start : start + _BLOCK]]
    return [
        WordRegression(
            position,
            idf,
            (np.linalg.solve(gram + penalty * np.eye(len(idf)), toward) @ whitening.T).astype(
                np.float32
            ),
        )
        for penalty in penalties
    ]


def _vocabulary(texts: Sequence[str], owner: Ids) -> tuple[dict[str, int], Floats]:
    """Words that several photos have, and how much each says: log(texts / texts with it)."""
    in_texts: Counter[str] = Counter()
    in_photos: dict[str, set[int]] = {}
    for text, photo in zip(texts, owner.tolist(), strict=True):
        for word in set(words_of_text(text)):
            in_texts[word] += 1
            in_photos.setdefault(word, set()).add(photo)
    shared = [w for w, _ in in_texts.most_common() if len(in_photos[w]) >= _FEWEST_PHOTOS]
    words = sorted(shared[:_MOST_WORDS])
    idf = [math.log((1 + len(texts)) / in_texts[word]) for word in words]
    return {word: i for i, word in enumerate(words)}, np.array(idf, dtype=np.float32)


def _vectors(texts: Sequence[str], position: dict[str, int], idf: Floats) -> Floats:
    rows = np.zeros((len(texts), len(idf)), dtype=np.float32)
    for i, text in enumerate(texts):
        known = [position[word] for word in words_of_text(text) if word in position]
        rows[i, known] = idf[known]
    return _unit(rows)


def _whitening(photos: Floats) -> Floats:
    """[dim, dim], symmetric. The mean is left in: a model's embeddings have no place for it."""
    deviation, axes = np.linalg.svd(photos, full_matrices=False)[1:]  # [k], [k, dim]
    deviation = deviation / math.sqrt(len(photos))
    # Of the directions behind the first, which is nearly the mean itself.
    usual = math.sqrt(float(np.mean(deviation[1:] ** 2))) if len(deviation) > 1 else 1.0
    return np.asarray((axes.T / (deviation + _SOFTNESS * usual)) @ axes, dtype=np.float32)


def _unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-9), dtype=np.float32)
