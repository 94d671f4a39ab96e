"""How often the labels agree with the folders the photos lie in."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from clipsearch.classifying.deciding import PhotoLabels
from clipsearch.labels import Label, folder_label, meaning_of


@dataclass(frozen=True, slots=True)
class LabelAccuracy:
    """One label's photos, by folder, and how many of them were right."""

    label: str
    photos: int
    top_1: int
    top_5: int


@dataclass(frozen=True, slots=True)
class LabelConfusion:
    """`count` photos in folders called `truth` were taken for `predicted`."""

    truth: str
    predicted: str
    count: int


@dataclass(frozen=True, slots=True)
class TruthReport:
    """Agreement with folder names over `photos` photos; `others` lie in folders of other names.

    `top_1` and `top_5` are shares of `photos` (0..1, None without photos) whose true label has the
    highest score, or one of the five highest; every photo weighs the same, and a tie counts as
    wrong. `by_label` is in order of the labels, `confusions` most frequent first. The best label
    counts, also where "none of these" was decided.
    """

    photos: int
    others: int
    top_1: float | None
    top_5: float | None
    by_label: tuple[LabelAccuracy, ...]
    confusions: tuple[LabelConfusion, ...]


class FolderTruth:
    """Which label the folder of a photo is called; case and separators make no difference."""

    def __init__(self, labels: Sequence[Label]) -> None:
        self._by_words = {meaning_of(label.name): i for i, label in enumerate(labels)}
        self._by_folder: dict[bytes, int | None] = {}

    def number_of(self, path: bytes) -> int | None:
        """The number of the label that the photo's own folder is called, or None."""
        folder = os.path.dirname(path)
        if folder not in self._by_folder:
            self._by_folder[folder] = self._by_words.get(meaning_of(folder_label(folder)))
        return self._by_folder[folder]


class TruthTally:
    """Counts results as they come; `report` says how many agreed."""

    def __init__(self, labels: Sequence[Label]) -> None:
        self._names = [label.name for label in labels]
        self._photos: Counter[str] = Counter()
        self._top_1: Counter[str] = Counter()
        self._top_5: Counter[str] = Counter()
        self._confused: Counter[tuple[str, str]] = Counter()
        self._others = 0

    def add(self, result: PhotoLabels) -> None:
        """Count one photo."""
        if result.truth is None or result.truth_rank is None:
            self._others += 1
            return
        self._photos[result.truth] += 1
        self._top_1[result.truth] += result.truth_rank == 1
        self._top_5[result.truth] += result.truth_rank <= 5
        if result.labels[0].label != result.truth:
            self._confused[result.truth, result.labels[0].label] += 1

    def report(self) -> TruthReport:
        """What was counted so far."""
        photos = self._photos.total()
        confusions = sorted(self._confused.items(), key=lambda item: (-item[1], item[0]))
        return TruthReport(
            photos=photos,
            others=self._others,
            top_1=self._top_1.total() / photos if photos else None,
            top_5=self._top_5.total() / photos if photos else None,
            by_label=tuple(
                LabelAccuracy(name, self._photos[name], self._top_1[name], self._top_5[name])
                for name in self._names
                if self._photos[name]
            ),
            confusions=tuple(LabelConfusion(t, p, count) for (t, p), count in confusions),
        )
