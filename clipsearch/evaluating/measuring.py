"""From vectors to figures: one model, or two on the same photos."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from clipsearch.evaluating.data import EvaluationData
from clipsearch.evaluating.embedding import Embedded, photos_with_a_say
from clipsearch.evaluating.snapshots import SnapshotAgreement, snapshot_agreement
from clipsearch.metrics import (
    CUTOFFS,
    Estimate,
    LabelReport,
    PairedDifference,
    Retrieval,
    RetrievalRanks,
    Values,
    expected_calibration_error,
    label_report,
    mean_estimate,
    mean_recall_of_both,
    paired_difference,
    ranks_in_blocks,
    retrieval_ranks,
    summarise,
)
from clipsearch.ranking import softmax
from clipsearch.types import Floats, Ids

_MOST_SCORES = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class LabelScores:
    """Zero-shot labels of the photos whose label is known, (n,) each.

    `ranks` are the places of the true labels (1 is best, ties last), `predicted` the labels with
    the highest score, `confidence` their probability (softmax over the labels).
    """

    truth: Ids
    ranks: Ids
    predicted: Ids
    confidence: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """What is right and where it stands, by one model; None where the data says nothing."""

    pairs: RetrievalRanks | None
    labels: LabelScores | None


@dataclass(frozen=True, slots=True)
class ZeroShot:
    """Accuracy over `report.photos` photos; the estimates with 95 % intervals by photo.

    `calibration_error` is the expected calibration error of the probabilities, 15 bins.
    """

    top_1: Estimate
    top_5: Estimate
    calibration_error: float
    report: LabelReport


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One model's figures. `retrieval` is None without captions, `zero_shot` without labels.

    `learned_from`: how many of the photos had a say in the model, see `photos_with_a_say`.
    """

    model: str
    fingerprint: str
    photos: int
    learned_from: int
    captions: int
    labels: int
    retrieval: Retrieval | None
    zero_shot: ZeroShot | None
    snapshot: SnapshotAgreement


@dataclass(frozen=True, slots=True)
class Compared:
    """A figure of two models on the same items; `figure` is a path such as `to_photo.recall_at.5`.

    `first` and `second` are the two values, in 0..1.
    """

    figure: str
    first: float
    second: float
    difference: PairedDifference


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same photos.

    What decides is `recall` (the mean of recall@1, 5 and 10 of both directions, every photo
    weighing the same) and `accuracy` (zero-shot top-1); None where the data has no such. The other
    `figures` are for looking closer: of twenty comparisons one is below p = 0.05 by chance.
    """

    recall: Compared | None
    accuracy: Compared | None
    figures: tuple[Compared, ...]


def rank(data: EvaluationData, embedded: Embedded) -> Ranked:
    """Where what is right stands, for each photo and caption."""
    return Ranked(_rank_pairs(data, embedded), _rank_labels(data, embedded))


def evaluation(data: EvaluationData, embedded: Embedded, ranked: Ranked) -> Evaluation:
    """The figures of one model."""
    captions = embedded.captions[_usable_captions(data, embedded)]
    return Evaluation(
        model=embedded.model.name,
        fingerprint=embedded.model.fingerprint,
        photos=len(embedded.numbers),
        learned_from=photos_with_a_say(embedded),
        captions=len(captions),
        labels=len(data.labels),
        retrieval=None if ranked.pairs is None else summarise(ranked.pairs),
        zero_shot=None if ranked.labels is None else _zero_shot(data, ranked.labels),
        snapshot=snapshot_agreement(
            embedded.photos, captions if len(captions) else embedded.photos
        ),
    )


def compare(first: Ranked, second: Ranked) -> Comparison:
    """Second minus first, item by item. Both are of the same photos: see `Embedded.only`."""
    figures: list[Compared] = []
    recall = accuracy = None
    if first.pairs is not None and second.pairs is not None:
        a, b = first.pairs, second.pairs
        recall = _compared("mean_recall", mean_recall_of_both(a), mean_recall_of_both(b), a.photos)
        for name, ours, theirs, groups in (
            ("to_text", a.of_photo, b.of_photo, a.photos),
            ("to_photo", a.of_caption, b.of_caption, a.owner),
        ):
            figures += [
                _compared(f"{name}.recall_at.{k}", ours <= k, theirs <= k, groups) for k in CUTOFFS
            ]
            figures.append(_compared(f"{name}.mean_reciprocal_rank", 1 / ours, 1 / theirs, groups))
    if first.labels is not None and second.labels is not None:
        photos = np.arange(len(first.labels.truth))
        one, two = first.labels.ranks, second.labels.ranks
        accuracy = _compared("zero_shot.top_1", one == 1, two == 1, photos)
        figures += [accuracy, _compared("zero_shot.top_5", one <= 5, two <= 5, photos)]
    return Comparison(recall, accuracy, tuple(figures))


def _compared(figure: str, first: Values, second: Values, groups: Ids) -> Compared:
    difference = paired_difference(first, second, groups)
    return Compared(figure, float(np.mean(first)), float(np.mean(second)), difference)


def _usable_captions(data: EvaluationData, embedded: Embedded) -> Ids:
    """The numbers of the captions whose photo is there."""
    return np.flatnonzero(np.isin(data.owner, embedded.numbers))


def _rank_pairs(data: EvaluationData, embedded: Embedded) -> RetrievalRanks | None:
    chosen = _usable_captions(data, embedded)
    if not len(chosen):
        return None
    owner = np.searchsorted(embedded.numbers, data.owner[chosen])
    return retrieval_ranks(embedded.photos, embedded.captions[chosen], owner)


def _rank_labels(data: EvaluationData, embedded: Embedded) -> LabelScores | None:
    truth = data.truth[embedded.numbers]
    known = truth >= 0
    if not data.labels or not known.any():
        return None
    photos, truth = embedded.photos[known], truth[known]
    decided = list(_decisions(photos, embedded))
    return LabelScores(
        truth=truth,
        ranks=ranks_in_blocks(photos, embedded.classes, truth),
        predicted=np.concatenate([best for best, _ in decided]),
        confidence=np.concatenate([share for _, share in decided]),
    )


def _decisions(photos: Floats, embedded: Embedded) -> Iterator[tuple[Ids, Floats]]:
    """(the best label, its probability) of blocks of photos, (block,) each."""
    rows = max(1, _MOST_SCORES // len(embedded.classes))
    for start in range(0, len(photos), rows):
        cosines = photos[start : start + rows] @ embedded.classes.T  # (block, labels)
        shares = softmax(embedded.model.logit_scale * cosines)
        yield cosines.argmax(axis=1), shares.max(axis=1)


def _zero_shot(data: EvaluationData, scores: LabelScores) -> ZeroShot:
    photos = np.arange(len(scores.truth))
    names = [label.name for label in data.labels]
    right = scores.predicted == scores.truth
    return ZeroShot(
        top_1=mean_estimate(scores.ranks == 1, photos),
        top_5=mean_estimate(scores.ranks <= 5, photos),
        calibration_error=expected_calibration_error(scores.confidence, right),
        report=label_report(names, scores.truth, scores.predicted, scores.ranks),
    )
