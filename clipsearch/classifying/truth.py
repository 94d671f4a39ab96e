"""How often the labels agree with the folders the photos lie in."""

import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipsearch.classifying.deciding import PhotoLabels
from clipsearch.labels import Label, folder_label, meaning_of
from clipsearch.metrics import LabelReport, label_report

_SEPARATOR = os.sep.encode()


@dataclass(frozen=True, slots=True)
class TruthReport(LabelReport):
    """Agreement with folder names; `others` more photos lie in folders of other names.

    The best label counts, also where "none of these" was decided.
    """

    others: int = 0


class FolderTruth:
    """Which label the folder of a photo is called; case and separators make no difference."""

    def __init__(self, labels: Sequence[Label]) -> None:
        self._by_words = {meaning_of(label.name): i for i, label in enumerate(labels)}
        self._by_folder: dict[bytes, int | None] = {}

    def number_of(self, path: bytes) -> int | None:
        """The number of the label that the photo's own folder is called, or None."""
        folder = path.rpartition(_SEPARATOR)[0]
        if folder not in self._by_folder:
            self._by_folder[folder] = self._by_words.get(meaning_of(folder_label(folder)))
        return self._by_folder[folder]


class TruthTally:
    """Keeps results as they come, a few numbers a photo; `report` says how many agreed."""

    def __init__(self, labels: Sequence[Label]) -> None:
        self._names = [label.name for label in labels]
        self._number = {name: number for number, name in enumerate(self._names)}
        self._truth, self._predicted, self._ranks = array("q"), array("q"), array("q")
        self._others = 0

    def add(self, result: PhotoLabels) -> None:
        """Count one photo."""
        if result.truth is None or result.truth_rank is None:
            self._others += 1
            return
        self._truth.append(self._number[result.truth])
        self._predicted.append(self._number[result.labels[0].label])
        self._ranks.append(result.truth_rank)

    def report(self) -> TruthReport:
        """What was counted so far."""
        truth, predicted, ranks = (
            np.array(numbers, np.int64) for numbers in (self._truth, self._predicted, self._ranks)
        )
        found = label_report(self._names, truth, predicted, ranks)
        return TruthReport(
            photos=found.photos,
            top_1=found.top_1,
            top_5=found.top_5,
            mean_per_class=found.mean_per_class,
            by_label=found.by_label,
            confusions=found.confusions,
            others=self._others,
        )
