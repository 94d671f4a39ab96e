"""A teacher for small text towers: what ridge regression makes of words, where it ranks better than
the tower itself.

A few hundred photos teach a transformer their captions by heart before it has learned what the
words mean; a regression on words cannot learn captions by heart, and it has an answer for any mix
of words. The tower learns both from the captions and from that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from clipsearch.metrics.ranks import mean_recall_of_both, retrieval_ranks
from clipsearch.training.word_features import words_of_text
from clipsearch.training.word_regression import fit_words
from clipsearch.types import Floats, Ids

DRAWN = 256
FEWEST_PHOTOS = 40
_PENALTIES = (3.0, 10.0, 30.0, 100.0)
_FOLDS = 4
_MOST_WORDS = 30


class Regression(Protocol):
    """Where texts lie."""

    def rows(self, texts: Sequence[str]) -> Floats:
        """Unit rows [n, dim]; zeros for a text of which nothing is known."""


@dataclass(frozen=True, slots=True)
class WordsFound:
    """Mean recall@1, 5 and 10 in both directions on captioned photos that were left out in turn:
    of the model as it was, and of the best regression."""

    model: float
    words: float
    penalty: float

    @property
    def help(self) -> bool:
        """Whether there is something to be learned from the words."""
        return self.words > self.model


class WordTeacher:
    """`scores_apart` of captions drawn anew for each step, over the photos that are learned from:

        L = 1 - sum(T Y^T * R Y^T) / (|T Y^T| |R Y^T|)

    Rows of T are where the tower puts the texts, of R where their words do, and of Y the photos: to
    be alike is to rank photos for a text, and texts for a photo, alike. (Compared by the mean of
    cos(t, r), half of what was learned was directions in which photos hardly differ.)

    One half of the captions as they are written; of the others some words are left out, some are
    joined by those of another caption, some are shuffled: the regression has an answer for those as
    well.
    """

    def __init__(
        self,
        regression: Regression,
        captions: Sequence[str],
        photos: Floats,
        tokenize: Callable[[Sequence[str]], Tensor],
        device: torch.device,
        drawn: int = DRAWN,
    ) -> None:
        """`photos` [n, dim] are the unit rows that texts are to rank."""
        self._regression, self._captions = regression, list(captions)
        self._tokenize, self._device, self._drawn = tokenize, device, drawn
        # Y = QR with orthonormal columns in Q: lengths and angles of Y t are those of R t, and no
        # more than dim rows.
        self._photos = torch.linalg.qr(torch.from_numpy(photos), mode="r").R.to(device)  # [m, dim]

    def loss(self, encode_text: Callable[[Tensor], Tensor]) -> Tensor:
        """A scalar in 0..2. Which captions are drawn depends on torch's random numbers."""
        rng = np.random.default_rng(int(torch.randint(2**31, (1,))))
        texts = [
            self._captions[i] for i in rng.integers(len(self._captions), size=self._drawn).tolist()
        ]
        half = self._drawn // 2
        others = rng.permutation(self._drawn)[half:].tolist()
        texts[half:] = [
            altered(text, texts[i], rng) for text, i in zip(texts[half:], others, strict=True)
        ]
        places = torch.from_numpy(self._regression.rows(texts)).to(self._device)  # [drawn, dim]
        known = places.norm(dim=1) > 0.5  # [drawn]
        now = encode_text(self._tokenize(texts).to(self._device))  # [drawn, dim]
        if not known.any():
            return 0 * now.sum()
        return scores_apart(now[known], places[known], self._photos)


def scores_apart(texts: Tensor, places: Tensor, photos: Tensor) -> Tensor:
    """1 - the cosine of two tables of scores, each table taken as one vector.

    `texts` and `places` [n, dim] are rows of the same n texts, `photos` [m, dim] what they score.
    """
    return 1 - cosine_similarity((texts @ photos.T).flatten(), (places @ photos.T).flatten(), dim=0)


def altered(text: str, other: str, rng: np.random.Generator) -> str:
    """Some of the words of a text, half of the time with another text's, in any order."""
    words = words_of_text(text)
    if rng.random() < 0.5:
        words = words + words_of_text(other)
    kept = rng.random(len(words)) < rng.uniform(0.1, 0.9)
    some = [word for word, keep in zip(words, kept, strict=True) if keep] or words[:1]
    if rng.random() < 0.5:
        some = [some[i] for i in rng.permutation(len(some)).tolist()]
    return " ".join(some[:_MOST_WORDS])


def compare_words(captions: Sequence[str], owner: Ids, texts: Floats, photos: Floats) -> WordsFound:
    """What regressions make of captioned photos left out in turn, beside the model's own texts.

    `captions[i]`, which the model puts at `texts[i]` [m, dim], belongs to photo `owner[i]`, a row
    of `photos` [n, dim]; all of unit length. The photos are cut into four parts by their number.
    """
    own: list[float] = []
    best: dict[float, list[float]] = {penalty: [] for penalty in _PENALTIES}
    for fold in range(_FOLDS):
        out = owner % _FOLDS == fold
        left, numbers = np.unique(owner[out], return_inverse=True)
        said = [captions[i] for i in np.flatnonzero(out).tolist()]
        others, their_numbers = np.unique(owner[~out], return_inverse=True)
        kept = [captions[i] for i in np.flatnonzero(~out).tolist()]
        fitted = fit_words(kept, their_numbers, photos[others], _PENALTIES)
        own.append(_score(photos[left], texts[out], numbers))
        for penalty, regression in zip(_PENALTIES, fitted, strict=True):
            best[penalty].append(_score(photos[left], regression.rows(said), numbers))
    penalty = max(best, key=lambda each: float(np.mean(best[each])))
    return WordsFound(float(np.mean(own)), float(np.mean(best[penalty])), penalty)


def _score(photos: Floats, texts: Floats, owner: Ids) -> float:
    return float(mean_recall_of_both(retrieval_ranks(photos, texts, owner)).mean())
