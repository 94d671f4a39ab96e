"""What words mean among a few hundred photos, in closed form: from the words of a caption, and the
letters in them, straight to where its photo lies."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipsearch.types import Floats, Ids

# Scripts without spaces: each sign is taken as a word of its own.
_SIGNS = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_SIGNS}]|[^\W{_SIGNS}]+")
# Of words with at least as many letters their pieces count too: "biking" says something of "biker".
_SHORTEST_IN_PIECES = 3
_PIECES = (3, 4)
# How much a piece counts beside a word. Recall@5 of photos and of captions among 140, learned from
# 420 others, five times: words alone 25.0 and 25.0 %, with pieces 26.3 and 27.7 %.
_PIECE_WEIGHT = 0.3
# What one photo alone has says nothing about others.
_FEWEST_PHOTOS = 2
_MOST_WORDS = 3_000
_MOST_PARTS = 6_000
_BLOCK = 4_096
# How far directions in which photos hardly differ are stretched: whitened, but for so much of the
# mean deviation that is added to each. With 0.3 in its place, words alone: 21.9 and 25.3 %.
_SOFTNESS = 1.0


def words_of_text(text: str) -> list[str]:
    """The lower-case words of a text in order; Chinese, Japanese and Korean signs one by one."""
    return _WORD.findall(text.casefold())


def pieces_of_word(word: str) -> list[str]:
    """Its runs of three and four letters with "<" and ">" around it; none of a very short word.

    Source: Bojanowski et al., "Enriching Word Vectors with Subword Information", TACL 2017.
    """
    if len(word) < _SHORTEST_IN_PIECES:
        return []
    bounded = f"<{word}>"
    return [bounded[i : i + n] for n in _PIECES for i in range(len(bounded) - n + 1)]


@dataclass(frozen=True)
class WordRegression:
    """Ridge regression from the words of a caption and their pieces to the embedding of its photo.

    A text is the vector x of its parts' weights, scaled to length 1: their idf, for pieces times a
    constant. With the photos' unit rows
    y whitened by P, W makes sum |x W - y P|^2 + penalty |W|^2 least; a text then lies at x W P^T,
    scaled to length 1. Sources: Hoerl and Kennard, "Ridge Regression", Technometrics 1970; the
    whitening is that of canonical correlation (Hotelling, 1936), softened.
    """

    parts: "Parts"
    towards: Floats  # [parts, dim], W P^T

    def rows(self, texts: Sequence[str]) -> Floats:
        """Unit rows [n, dim]; zeros for a text of which nothing is known."""
        return _unit(self.parts.vectors(texts) @ self.towards)


def fit_words(
    texts: Sequence[str], owner: Ids, photos: Floats, penalties: Sequence[float]
) -> list[WordRegression]:
    """A regression for each of the penalties.

    `texts[i]` belongs to photo `owner[i]`, a row of `photos` [n, dim] of unit length. What no two
    photos share is not learned: without anything else, every text lies nowhere.
    """
    parts = parts_of(texts, owner)
    whitening = _whitening(photos)  # [dim, dim]
    white = _unit(photos @ whitening)
    solve = _solve_by_texts if len(texts) <= len(parts.weights) else _solve_by_parts
    return [
        WordRegression(parts, np.asarray(answer @ whitening.T, dtype=np.float32))
        for answer in solve(parts, texts, white[owner], penalties)
    ]


@dataclass(frozen=True)
class Parts:
    """The words and pieces of words that count, and how much."""

    position: dict[str, int]
    weights: Floats  # [parts]

    def vectors(self, texts: Sequence[str]) -> Floats:
        """Unit rows [n, parts]; zeros for a text that has none of them."""
        rows = np.zeros((len(texts), len(self.weights)), dtype=np.float32)
        for i, text in enumerate(texts):
            known = [self.position[part] for part in _both(text) if part in self.position]
            rows[i, known] = self.weights[known]
        return _unit(rows)


def parts_of(texts: Sequence[str], owner: Ids) -> Parts:
    """What several photos have in their captions, weighted by log(texts / texts with it)."""
    in_texts: Counter[str] = Counter()
    in_photos: dict[str, set[int]] = {}
    for text, photo in zip(texts, owner.tolist(), strict=True):
        for part in set(_both(text)):
            in_texts[part] += 1
            in_photos.setdefault(part, set()).add(photo)
    shared = [p for p, _ in in_texts.most_common() if len(in_photos[p]) >= _FEWEST_PHOTOS]
    words = sorted([part for part in shared if not _is_piece(part)][:_MOST_WORDS])
    pieces = sorted([part for part in shared if _is_piece(part)][: _MOST_PARTS - len(words)])
    weights = [
        math.log((1 + len(texts)) / in_texts[part]) * (_PIECE_WEIGHT if _is_piece(part) else 1)
        for part in [*words, *pieces]
    ]
    position = {part: i for i, part in enumerate([*words, *pieces])}
    return Parts(position, np.array(weights, dtype=np.float32))


def _both(text: str) -> list[str]:
    """A text's words and, each marked with a "#", their pieces."""
    words = words_of_text(text)
    return [*words, *("#" + piece for word in words for piece in pieces_of_word(word))]


def _is_piece(part: str) -> bool:
    return part.startswith("#")


def _solve_by_texts(
    parts: Parts, texts: Sequence[str], targets: Floats, penalties: Sequence[float]
) -> Iterator[NDArray[np.floating[Any]]]:
    """W [parts, dim] for each penalty: X^T (X X^T + penalty)^-1 Y, cheap for few texts."""
    x = parts.vectors(texts).astype(np.float64)  # [texts, parts]
    products = x @ x.T  # [texts, texts]
    for penalty in penalties:
        yield x.T @ np.linalg.solve(products + penalty * np.eye(len(texts)), targets)


def _solve_by_parts(
    parts: Parts, texts: Sequence[str], targets: Floats, penalties: Sequence[float]
) -> Iterator[NDArray[np.floating[Any]]]:
    """The same as (X^T X + penalty)^-1 X^T Y, of which no side grows with the texts."""
    size = len(parts.weights)
    products = np.zeros((size, size))
    toward = np.zeros((size, targets.shape[1]))
    for start in range(0, len(texts), _BLOCK):
        x = parts.vectors(texts[start : start + _BLOCK])
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


def _unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-9), dtype=np.float32)
