"""How good a model is on photos it does not learn from, and what it forgot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clipsearch.metrics import (
    PairedDifference,
    Retrieval,
    RetrievalRanks,
    mean_estimate,
    mean_recall_of_both,
    paired_difference,
    ranks_in_blocks,
    retrieval_ranks,
    summarise,
)
from clipsearch.metrics.intervals import Estimate
from clipsearch.prompts import PLACE, class_embeddings, template_set
from clipsearch.types import CaptionedPhoto, Floats, Ids, Preprocess

if TYPE_CHECKING:
    from clipsearch.training.concepts import Concept
    from clipsearch.training.encoding import HeldOut
    from clipsearch.training.retention import Outlook

# At least as many labels that the data does not cover, or forgetting cannot be estimated.
_ENOUGH_LABELS = 20


@dataclass(frozen=True, slots=True)
class Seeing:
    """How a model takes photos and texts, whatever its weights are."""

    tokenize: Callable[[Sequence[str]], Any]
    preprocess: Preprocess
    batch_size: int = 64


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """What one model does on one part: ranks of pairs, and of labels, None where there are none.

    `labels` (n,): the rank of the right label of each labelled photo among all labels.
    `outlook`: what it makes of labels that the data does not cover.
    """

    ranks: RetrievalRanks | None
    labels: Ids | None
    outlook: "Outlook | None"

    @property
    def per_photo(self) -> "np.typing.NDArray[np.float64]":
        """What models are compared by, one number in 0..1 for each photo.

        For photos with captions the mean recall at 1, 5 and 10 in both directions; for photos with
        labels alone whether the right one is first.
        """
        parts = []
        if self.ranks is not None:
            parts.append(mean_recall_of_both(self.ranks))
        if self.labels is not None:
            parts.append((self.labels == 1).astype(np.float64))
        return np.concatenate(parts)

    @property
    def score(self) -> float:
        """The mean of `per_photo`."""
        return float(self.per_photo.mean())

    @property
    def score_name(self) -> str:
        """What the score is called: labels alone are judged by accuracy."""
        names = ["mean recall"] if self.ranks is not None else []
        return " and ".join([*names, "accuracy"] if self.labels is not None else names)

    def retrieval(self) -> Retrieval | None:
        """Recall, median rank and MRR with intervals."""
        return None if self.ranks is None else summarise(self.ranks)

    def accuracy(self) -> Estimate | None:
        """Zero-shot accuracy among the data's own labels."""
        if self.labels is None:
            return None
        return mean_estimate(self.labels == 1, np.arange(len(self.labels)))


def difference(before: Results, after: Results) -> PairedDifference:
    """After minus before, photo by photo."""
    first, second = before.per_photo, after.per_photo
    return paired_difference(first, second, np.arange(len(first)))


class Part:
    """Some photos kept for judging, and the labels they are judged by."""

    def __init__(
        self,
        photos: Sequence[CaptionedPhoto],
        labels: Sequence[str],
        general: Sequence[str],
        seeing: Seeing,
        pixels_of: Callable[[bytes], Any],
        workers: int,
    ) -> None:
        """`labels`: all of the data's. `general`: everyday ones that the data does not cover."""
        from clipsearch.training.encoding import HeldOut

        self._seeing = seeing
        self._labels = list(labels)
        self._general = list(general) if len(general) >= _ENOUGH_LABELS else []
        captioned = [photo for photo in photos if photo.captions]
        labelled = [photo for photo in photos if not photo.captions]
        self._captioned = HeldOut(captioned, pixels_of, workers=workers) if captioned else None
        self._labelled = HeldOut(labelled, pixels_of, workers=workers) if labelled else None

    def measure(self, model: Any, *, outlook: bool) -> Results:
        """Show all photos to a model. `outlook`: the labels that are not covered too."""
        from clipsearch.training.encoding import encode_pairs, encode_photos
        from clipsearch.training.retention import Outlook

        see = self._seeing
        ranks, label_ranks = None, None
        seen: list[Floats] = []
        if self._captioned is not None:
            pairs = encode_pairs(
                model, see.tokenize, see.preprocess, self._captioned, batch_size=see.batch_size
            )
            ranks = retrieval_ranks(pairs.image, pairs.text, pairs.owner)
            seen.append(pairs.image)
        if self._labelled is not None:
            rows, numbers = encode_photos(
                model, see.preprocess, self._labelled, batch_size=see.batch_size
            )
            classes = label_vectors(model, see, self._labels, template_set().prompts)
            right = self._numbers_of_labels(self._labelled, numbers)
            label_ranks = ranks_in_blocks(rows, classes, right)
            seen.append(rows)
        if not outlook or not self._general:
            return Results(ranks, label_ranks, None)
        # One wording is enough to see a change, and several would take as much longer.
        general = label_vectors(model, see, self._general, _one_wording)
        return Results(ranks, label_ranks, Outlook(np.concatenate(seen), general))

    def _numbers_of_labels(self, held_out: "HeldOut", numbers: Ids) -> Ids:
        place = {label: number for number, label in enumerate(self._labels)}
        return np.array([place[held_out.photos[n].label or ""] for n in numbers], np.int64)


def label_vectors(
    model: Any, seeing: Seeing, labels: Sequence[str], prompts: Callable[[str], Sequence[str]]
) -> Floats:
    """One unit row for each label: the mean over its wordings."""
    from clipsearch.training.encoding import encode_texts

    def encode(texts: Sequence[str]) -> Floats:
        return encode_texts(model, seeing.tokenize, texts, batch_size=seeing.batch_size)

    return class_embeddings(encode, [prompts(label) for label in labels])


def _one_wording(label: str) -> list[str]:
    return template_set().prompts(label)[:1]


def general_labels(captions: Sequence[str]) -> list[str]:
    """Everyday labels that none of these captions and labels names."""
    from clipsearch.training.retention import uncovered

    return uncovered([concept.names[0].words for concept in _concepts()], captions)


def general_prompts() -> list[str]:
    """Everyday labels and their second names in a few wordings: what a text tower holds on to.

    Those that the data names too: a sentence about a dog may move, the word alone need not.
    """
    from clipsearch.training.captions import zero_shot_prompts

    prompts: dict[str, None] = {}
    for concept in _concepts():
        prompts |= dict.fromkeys(zero_shot_prompts(concept))
        # What `classify` and the estimate of forgetting ask with: a full stop is another text.
        usual = concept.names[0].words
        prompts |= dict.fromkeys(w.replace(PLACE, usual) for w in template_set().templates[:3])
    return list(prompts)


def _concepts() -> "list[Concept]":
    from clipsearch.storage.layout import data_dir
    from clipsearch.training.concepts import read_concepts

    return read_concepts(data_dir() / "labels" / "concepts.tsv")


def forgetting(before: Results, after: Results) -> float | None:
    """The estimated share that is lost of what the data does not cover; None: it cannot be said."""
    from clipsearch.training.retention import estimated_forgetting

    if before.outlook is None or after.outlook is None:
        return None
    return estimated_forgetting(before.outlook, after.outlook).forgetting


def lost_labels(before: Results, after: Results) -> float:
    """The zero-shot accuracy that is gone on labelled photos of other things."""
    from clipsearch.training.retention import labelled_forgetting

    assert before.labels is not None
    assert after.labels is not None
    return labelled_forgetting(before.labels, after.labels).forgetting
