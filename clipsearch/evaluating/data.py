"""What a model is measured on: photos with captions, with labels, or with both."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from clipsearch.errors import UsageError
from clipsearch.labels import Label, labels_from_names, meaning_of
from clipsearch.pairs.folders import read_labelled
from clipsearch.pairs.inspecting import plain_captions
from clipsearch.pairs.reading import read_photos
from clipsearch.pairs.webdataset import is_standard_set, read_standard_set
from clipsearch.types import CaptionedPhoto, Ids


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationData:
    """Photos, and what is right for each.

    Photo i shows `labels[truth[i]]`; -1 where that is not known. Without labels, or with a single
    one, from which nothing can be told, `labels` is empty. `templates` are the data's own, or ().
    `dropped_captions`: how many were empty, or said of a photo before.
    """

    photos: tuple[CaptionedPhoto, ...]
    truth: Ids
    labels: tuple[Label, ...] = ()
    templates: tuple[str, ...] = ()
    dropped_captions: int = 0

    @property
    def captions(self) -> list[str]:
        """All captions, photo by photo."""
        return [caption for photo in self.photos for caption in photo.captions]

    @property
    def owner(self) -> Ids:
        """The number of each caption's photo."""
        counts = [len(photo.captions) for photo in self.photos]
        return np.repeat(np.arange(len(self.photos)), counts)


def read_evaluation_data(
    path: str,
    *,
    labels_from_folders: bool = False,
    split: str | None = None,
    photo_root: str | None = None,
) -> EvaluationData:
    """What lies at `path`, as `pairs.reading.read_photos` recognises it.

    A standard set (CLIP_benchmark's layout) brings its own class names and templates; `split` names
    the part of it that is meant. With `labels_from_folders` a folder is read for the names of its
    folders even when it holds captions. Raises UsageError when there is nothing to measure by.
    """
    if split is not None and not is_standard_set(path):
        raise UsageError(f"{path} has no splits", "Leave out --split")
    if is_standard_set(path):
        return _standard(path, split)
    if not labels_from_folders:
        photos = read_photos(path, photo_root)
    elif os.path.isdir(path):
        photos = read_labelled(path)
    else:
        raise UsageError(f"{path} is no folder", "--labels-from-folders wants a folder")
    labels, truth = _labels_of(photos, path)
    cleaned = tuple(replace(photo, captions=plain_captions(photo)) for photo in photos)
    dropped = _caption_count(photos) - _caption_count(cleaned)
    data = EvaluationData(cleaned, truth, labels, dropped_captions=dropped)
    if not labels and not data.captions:
        raise UsageError(
            f"nothing in {path} says what is right",
            "Give photos with captions, or folders with two names or more",
        )
    return data


def _caption_count(photos: Sequence[CaptionedPhoto]) -> int:
    return sum(len(photo.captions) for photo in photos)


def _standard(path: str, split: str | None) -> EvaluationData:
    found = read_standard_set(path, split)
    truth = np.array([-1 if number is None else number for number in found.classes], np.int64)
    # Names need not be different here: the number is what is right.
    labels = tuple(Label(name, name) for name in found.class_names)
    if len(labels) < 2:
        truth[:] = -1
    data = EvaluationData(
        found.photos, truth, labels if len(labels) > 1 else (), tuple(found.templates)
    )
    if not data.labels and not data.captions:
        raise UsageError(
            f"{path} has neither captions nor class names", "Is its classnames.txt there?"
        )
    return data


def _labels_of(photos: Sequence[CaptionedPhoto], path: str) -> tuple[tuple[Label, ...], Ids]:
    """The labels that photos have, and each photo's number among them."""
    nowhere = np.full(len(photos), -1, np.int64)
    names = {photo.label for photo in photos if photo.label is not None}
    if not names:
        return (), nowhere
    labels = labels_from_names(names, path)
    if len(labels) < 2:
        return (), nowhere
    number = {meaning_of(label.name): i for i, label in enumerate(labels)}
    truth = [-1 if photo.label is None else number[meaning_of(photo.label)] for photo in photos]
    return labels, np.array(truth, np.int64)
