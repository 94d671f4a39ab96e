"""From photo vectors to labels: probabilities, the best few, and what is decided.

With s the cosine between a photo and a label, s0 that with the neutral prompts ("a photo."), t the
model's logit scale and b its bias:

    best           p = softmax over the labels of t s. The best label is assigned when its p reaches
                   `min_probability` (0 unless given: always).
    best-or-none   p = softmax over the labels and "none of these" with t s and t s0. None of these
                   is decided when no label has s > s0 (so none has a higher p): words that name
                   the photo must fit it better than words that say nothing.
    each           labels independently: p = sigmoid(t s + b) for a model trained with the sigmoid
                   loss (b != 0). A softmax-trained model has no calibrated single probability; p is
                   the softmax between the label and the neutral prompts, sigmoid(t (s - s0)).
                   Every label with p >= `min_probability` (0.5 unless given) is assigned.

A label that was taught with photos has log odds l against everything else, whatever the other
labels are. Words and "none of these" share what is left: theirs are log p, with p as above among
them; words get a quarter more of e = log((sum exp(t s) + exp(t s0)) / exp(t s0)), by which they
explain the photo better than words that say nothing (benchmarks/few_shot.md: without it, ten taught
labels take the photos of ten words). The p of all labels is the softmax over these and the l. In
`each` p = sigmoid(l). A taught label with l <= 0 is never decided for in `best-or-none`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clipsearch.classifying.classes import Classes, Odds
from clipsearch.errors import UsageError
from clipsearch.ranking import ranks_of, sigmoid, softmax, top_k_rows
from clipsearch.types import Floats, Ids

Decision = Literal["best", "best-or-none", "each"]

# The part of their log odds against neutral words that words keep beside taught labels.
WORDS_CREDIT = np.float32(0.25)
# Scores of one block of photos against all labels: 16 MB.
_MOST_SCORES = 4_000_000


@dataclass(frozen=True, slots=True)
class LabelProbability:
    """A label with its probability in [0, 1] and the cosine it comes from."""

    label: str
    probability: float
    score: float


@dataclass(frozen=True, slots=True)
class PhotoLabels:
    """What one photo is taken for.

    `labels` are the best few, best first, whatever was decided. `assigned` are the labels decided
    for: at most one, or several when each label is decided alone; empty means none of these.
    `none_probability` is that of "none of these", when that was a choice. `truth` is the label its
    folder is called, and `truth_rank` that label's place (1 is best; worst place among equals);
    None when the folder is called otherwise.
    """

    path: bytes
    labels: tuple[LabelProbability, ...]
    assigned: tuple[str, ...]
    none_probability: float | None = None
    truth: str | None = None
    truth_rank: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """How labels are decided, and how many are told."""

    decision: Decision = "best"
    top_n: int = 5
    min_probability: float | None = None

    def __post_init__(self) -> None:
        if self.top_n < 1:
            raise UsageError(f"cannot tell {self.top_n} labels", "Ask for at least 1")
        if self.min_probability is not None and not 0 <= self.min_probability <= 1:
            raise UsageError(
                f"{self.min_probability} is no probability", "Give a number from 0 to 1"
            )

    @property
    def threshold(self) -> float:
        """The probability from which a label is assigned."""
        if self.min_probability is not None:
            return self.min_probability
        return 0.5 if self.decision == "each" else 0.0


def probabilities(classes: Classes, decision: Decision, vectors: Floats) -> tuple[Floats, Floats]:
    """Cosines and probabilities, each (n, labels), of photos with unit rows `vectors` (n, dim).

    With "best-or-none" the rows of the probabilities leave to 1 what "none of these" has.
    """
    judged = _judged(classes, decision, vectors)
    return judged.cosines, judged.shares


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """Photos against labels, each (n, labels): cosines, probabilities, and what orders the labels.

    `beaten` (n,) says where "none of these" is decided for, if that is a choice.
    """

    cosines: Floats
    shares: Floats
    merits: Floats
    beaten: NDArray[np.bool_]


def _judged(classes: Classes, decision: Decision, vectors: Floats) -> _Judged:
    cosines: Floats = vectors @ classes.embeddings.T  # (n, labels)
    neutral = vectors @ classes.neutral[:, None]  # (n, 1)
    scale, bias = np.float32(classes.model.logit_scale), np.float32(classes.model.logit_bias)
    logits: Floats
    if decision == "each":
        logits = (scale * cosines + bias if bias else scale * (cosines - neutral)).astype(
            np.float32, copy=False
        )
        if classes.odds is not None:
            logits = _with_odds(classes.odds, cosines, logits)
        merits = cosines if classes.odds is None else logits
        return _Judged(cosines, sigmoid(logits), merits, np.zeros(len(vectors), np.bool_))
    logits = (scale * cosines).astype(np.float32, copy=False)
    if decision == "best-or-none":
        logits = np.concatenate([logits, scale * neutral], axis=1)  # the last column: none of these
    labels = cosines.shape[1]
    if classes.odds is None:
        beaten = cosines.max(axis=1) <= neutral[:, 0]
        return _Judged(cosines, softmax(logits)[:, :labels], cosines, beaten)
    words = np.append(~classes.odds.taught, True)[: logits.shape[1]]  # the last one is none
    if words.any():
        fitting = scale * np.concatenate([cosines[:, ~classes.odds.taught], neutral], axis=1)
        explained = _log_sum_exp(fitting) - scale * neutral  # (n, 1), at least 0
        logits[:, words] -= _log_sum_exp(logits[:, words])
        logits[:, np.flatnonzero(~classes.odds.taught)] += WORDS_CREDIT * explained
    logits[:, :labels] = _with_odds(classes.odds, cosines, logits[:, :labels])
    merits = logits[:, :labels]
    best = merits.argmax(axis=1)
    # With "best" the last column is a label, and nobody asks.
    beaten = merits.max(axis=1) <= logits[:, -1]
    beaten |= classes.odds.taught[best] & (merits.max(axis=1) <= 0)
    return _Judged(cosines, softmax(logits)[:, :labels], merits, beaten)


def _with_odds(odds: Odds, cosines: Floats, logits: Floats) -> Floats:
    """The logits (n, labels) of words, with the log odds of taught labels in their columns."""
    mixed: Floats = np.where(odds.taught, odds.scales * cosines + odds.biases, logits)
    return mixed


def _log_sum_exp(logits: Floats) -> Floats:
    """(n, labels) -> (n, 1)."""
    top = logits.max(axis=1, keepdims=True)
    total: Floats = top + np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    return total


def decide(
    classes: Classes,
    rule: Rule,
    paths: Sequence[Sequence[bytes]],
    vectors: Floats,
    truths: Sequence[Sequence[int | None]],
) -> Iterator[PhotoLabels]:
    """The labels of photos with unit rows `vectors` (n, dim).

    Row i belongs to all of `paths[i]`, copies of one content, whose folders are called after the
    labels numbered `truths[i]`. Works in blocks: memory does not grow with photos times labels.
    """
    names = [label.name for label in classes.labels]
    rows = max(1, _MOST_SCORES // len(names))
    for start in range(0, len(vectors), rows):
        block = slice(start, start + rows)
        yield from _decide_block(classes, rule, names, paths[block], vectors[block], truths[block])


def _decide_block(
    classes: Classes,
    rule: Rule,
    names: list[str],
    paths: Sequence[Sequence[bytes]],
    vectors: Floats,
    truths: Sequence[Sequence[int | None]],
) -> Iterator[PhotoLabels]:
    judged = _judged(classes, rule.decision, vectors)
    cosines, shares = judged.cosines, judged.shares  # (rows, labels) each
    best = top_k_rows(judged.merits, rule.top_n)  # (rows, n)
    best_cosines = np.take_along_axis(cosines, best, axis=1).tolist()
    best_shares = np.take_along_axis(shares, best, axis=1).tolist()
    none = np.clip(1 - shares.sum(axis=1), 0, 1).tolist()  # only for best-or-none
    choosing_none = rule.decision == "best-or-none"
    for i, columns in enumerate(best.tolist()):
        told = tuple(
            LabelProbability(names[column], share, cosine)
            for column, share, cosine in zip(columns, best_shares[i], best_cosines[i], strict=True)
        )
        beaten = choosing_none and bool(judged.beaten[i])
        assigned = () if beaten else _assigned(rule, names, told, shares[i])
        for path, truth in zip(paths[i], truths[i], strict=True):
            yield PhotoLabels(
                path,
                told,
                assigned,
                none_probability=none[i] if choosing_none else None,
                truth=None if truth is None else names[truth],
                truth_rank=None if truth is None else _rank(judged.merits[i], truth),
            )


def _assigned(
    rule: Rule, names: list[str], told: tuple[LabelProbability, ...], shares: Floats
) -> tuple[str, ...]:
    if rule.decision == "each":
        reached: Ids = np.flatnonzero(shares >= rule.threshold)
        order = reached[np.argsort(-shares[reached], kind="stable")]
        return tuple(names[c] for c in order.tolist())
    return (told[0].label,) if told[0].probability >= rule.threshold else ()


def _rank(merits: Floats, truth: int) -> int:
    return int(ranks_of(merits[None], np.array([truth]))[0])
