"""What a tuned model lost of what the new data says nothing about: the forgetting score.

With labelled photos of other things it is measured: the points of zero-shot accuracy that are gone
(`labelled_forgetting`). Without any it is estimated (`estimated_forgetting`), with the original as
the truth: the same held-out photos and the same general labels are shown to both models, but only
labels that the captions never name (`uncovered`), because about the others the tuned model is
supposed to think differently.

The estimate is no accuracy: a decision that changed may be a mistake that was mended, and what a
model thinks of snow leopards cannot be seen on photos of kitchens. It is there to choose between
models of one fine-tuning, and to warn. How the two go together, in two fine-tunings of `starter` on
560 captioned photos (four points on each line to the original; accuracy lost on average over 400
photos of each of four held-out sets): estimates of 2, 8, 17, 19, 31, 40, 55 and 65 % went with 1.0,
3.4, 4.4, 5.6, 9.1, 16.4, 25.9 and 31.3 points lost.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from clipsearch.metrics import (
    PairedDifference,
    intersection_at_k,
    paired_difference,
    top_k_accuracy,
)
from clipsearch.ranking import top_k_rows
from clipsearch.types import Floats, Ids

# What is allowed to be lost where nobody says otherwise: two points of accuracy, and the estimate
# that goes with about as much.
MOST_LOST = 0.02
MOST_ESTIMATED = 0.05

NEIGHBOURS = 10
_AMONG = 5
_MOST_SCORES = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """What one model makes of some photos and labels, the same for every model compared.

    `photos` (n, dim) and `labels` (c, dim), the labels' prompts averaged: unit rows.
    """

    photos: Floats
    labels: Floats


@dataclass(frozen=True, slots=True)
class EstimatedForgetting:
    """How far a tuned model is from its original on what the data does not cover. All in 0..1.

    `decisions`: the share of photos whose best label by the original is among the tuned model's
    five best. `geometry`: the mean share of a label's ten nearest other labels, by the original's
    text tower, that are still so. `forgetting` is 1 - (decisions + geometry) / 2; 0 for the
    original itself.

    A rotation of everything forgets nothing: vectors are only compared with those of one model.
    """

    forgetting: float
    decisions: float
    geometry: float
    photos: int
    labels: int


@dataclass(frozen=True, slots=True)
class LabelledForgetting:
    """Zero-shot accuracy on photos that the data does not cover, before and after, in 0..1.

    `change` is after minus before on the same photos, with its interval and p value;
    `forgetting` is before minus after: below 0 when the tuned model is better there too.
    """

    before: float
    after: float
    change: PairedDifference

    @property
    def forgetting(self) -> float:
        """The accuracy that is gone."""
        return -self.change.difference


def labelled_forgetting(before: Ids, after: Ids) -> LabelledForgetting:
    """From the ranks (n,) of the true labels of the same n photos, by the original and the tuned.

    Ranks as `metrics.ranks_in_blocks` gives them: ties count as wrong. Raises ValueError without
    photos, or when the two do not fit.
    """
    if before.shape != after.shape or not len(before):
        raise ValueError(f"ranks of shape {before.shape} and {after.shape} do not compare")
    change = paired_difference(before == 1, after == 1, np.arange(len(before)))
    return LabelledForgetting(top_k_accuracy(before, 1), top_k_accuracy(after, 1), change)


def estimated_forgetting(before: Outlook, after: Outlook) -> EstimatedForgetting:
    """How far the tuned model's view is from the original's.

    Raises ValueError when the two are not of the same photos and labels, or there are none.
    """
    if before.photos.shape[0] != after.photos.shape[0] or len(before.labels) != len(after.labels):
        raise ValueError("the two models were shown different photos or labels")
    if not len(before.photos) or not len(before.labels):
        raise ValueError("without photos and labels nothing can be said")
    decisions = _kept_decisions(before, after)
    geometry = intersection_at_k(_neighbours(after.labels), _neighbours(before.labels))
    return EstimatedForgetting(
        forgetting=1 - (decisions + geometry) / 2,
        decisions=decisions,
        geometry=geometry,
        photos=len(before.photos),
        labels=len(before.labels),
    )


def uncovered(labels: Sequence[str], captions: Iterable[str]) -> list[str]:
    """The labels that no caption names, in their order.

    A caption names a label when it has all of its words, in any order; words are compared without
    regard to case and to a plural's -s. "a dog runs" names "dog", not "hunting dog".
    """
    wanted = [(label, _words(label)) for label in labels]
    # Only captions that share a word with the label can name it.
    by_word: dict[str, list[set[str]]] = {}
    for caption in set(captions):
        words = _words(caption)
        for word in words:
            by_word.setdefault(word, []).append(words)
    return [
        label
        for label, words in wanted
        if not words or not any(words <= caption for caption in by_word.get(next(iter(words)), []))
    ]


def _kept_decisions(before: Outlook, after: Outlook) -> float:
    rows = max(1, _MOST_SCORES // len(before.labels))
    kept = 0
    for start in range(0, len(before.photos), rows):
        block = slice(start, start + rows)
        best = top_k_rows(before.photos[block] @ before.labels.T, 1)  # (rows, 1)
        among = top_k_rows(after.photos[block] @ after.labels.T, _AMONG)  # (rows, 5)
        kept += int(np.count_nonzero(best == among))
    return kept / len(before.photos)


def _neighbours(labels: Floats) -> Ids:
    """The nearest other labels of each, (c, at most NEIGHBOURS)."""
    k = min(NEIGHBOURS, len(labels) - 1)
    rows = max(1, _MOST_SCORES // len(labels))
    found = [np.empty((0, k), np.int64)]
    for start in range(0, len(labels), rows):
        scores = labels[start : start + rows] @ labels.T  # (rows, c)
        own = np.arange(len(scores))
        scores[own, start + own] = -np.inf
        found.append(top_k_rows(scores, k) if k else np.empty((len(scores), 0), np.int64))
    return np.concatenate(found)


def _words(text: str) -> set[str]:
    words = re.findall(r"\w+", text.casefold())
    return {word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words}
