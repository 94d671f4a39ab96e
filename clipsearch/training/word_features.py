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
# Of words with at least as many letters their n-grams count too: "biking" says some of "biker".
_SHORTEST_WITH_NGRAMS = 3
_NGRAM_LENGTHS = (3, 4)
# How much an n-gram counts beside a word. Recall@5 of photos and of captions among 140, learned
# from 420 others, five times: words alone 25.0 and 25.0 %, with n-grams 26.3 and 27.7 %.
_NGRAM_WEIGHT = 0.3
# What one photo alone has says nothing about others.
_FEWEST_PHOTOS = 2
_MOST_WORDS = 3_000
_MOST_FEATURES = 6_000


def words_of_text(text: str) -> list[str]:
    """The lower-case words of a text in order; Chinese, Japanese and Korean signs one by one."""
    return _WORD.findall(text.casefold())


def character_ngrams(word: str) -> list[str]:
    """Its runs of three and four letters with "<" and ">" around it; none of a very short word.

    Source: Bojanowski et al., "Enriching Word Vectors with Subword Information", TACL 2017.
    """
    if len(word) < _SHORTEST_WITH_NGRAMS:
        return []
    bounded = f"<{word}>"
    return [bounded[i : i + n] for n in _NGRAM_LENGTHS for i in range(len(bounded) - n + 1)]


@dataclass(frozen=True)
class WordFeatures:
    """The words and character n-grams that count, and how much: their idf, for n-grams times a
    constant."""

    position: dict[str, int]
    weights: Floats  # [features]

    def vectors(self, texts: Sequence[str]) -> Floats:
        """Unit rows [n, features]; zeros for a text that has none of them."""
        rows = np.zeros((len(texts), len(self.weights)), dtype=np.float32)
        for i, text in enumerate(texts):
            known = [self.position[each] for each in _both(text) if each in self.position]
            rows[i, known] = self.weights[known]
        return unit_or_zero(rows)


def word_features(texts: Sequence[str], owner: Ids) -> WordFeatures:
    """What several photos have in their captions, weighted by log(texts / texts with it)."""
    in_texts: Counter[str] = Counter()
    in_photos: dict[str, set[int]] = {}
    for text, photo in zip(texts, owner.tolist(), strict=True):
        # Not a set: its order, another one in each process, would break ties below.
        for each in dict.fromkeys(_both(text)):
            in_texts[each] += 1
            in_photos.setdefault(each, set()).add(photo)
    shared = [f for f, _ in in_texts.most_common() if len(in_photos[f]) >= _FEWEST_PHOTOS]
    words = sorted([each for each in shared if not _is_ngram(each)][:_MOST_WORDS])
    ngrams = sorted([each for each in shared if _is_ngram(each)][: _MOST_FEATURES - len(words)])
    weights = [
        math.log((1 + len(texts)) / in_texts[each]) * (_NGRAM_WEIGHT if _is_ngram(each) else 1)
        for each in [*words, *ngrams]
    ]
    position = {each: i for i, each in enumerate([*words, *ngrams])}
    return WordFeatures(position, np.array(weights, dtype=np.float32))


def _both(text: str) -> list[str]:
    """A text's words and, each marked with a "#", their n-grams."""
    words = words_of_text(text)
    return [*words, *("#" + ngram for word in words for ngram in character_ngrams(word))]


def _is_ngram(feature: str) -> bool:
    return feature.startswith("#")


def unit_or_zero(rows: Floats) -> Floats:
    """Rows [n, dim] scaled to length 1; what is zero stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-9), dtype=np.float32)
