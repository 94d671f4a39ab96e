"""The words of captions and the letters in them, as vectors."""

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
class Parts:
    """The words and pieces of words that count, and how much: their idf, for pieces times a
    constant."""

    position: dict[str, int]
    weights: Floats  # [parts]

    def vectors(self, texts: Sequence[str]) -> Floats:
        """Unit rows [n, parts]; zeros for a text that has none of them."""
        rows = np.zeros((len(texts), len(self.weights)), dtype=np.float32)
        for i, text in enumerate(texts):
            known = [self.position[part] for part in _both(text) if part in self.position]
            rows[i, known] = self.weights[known]
        return unit_or_zero(rows)


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


def unit_or_zero(rows: Floats) -> Floats:
    """Rows [n, dim] scaled to length 1; what is zero stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-9), dtype=np.float32)
