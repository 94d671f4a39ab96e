"""From what a person points at to the photos of a run: read, looked through, divided."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clipsearch.errors import UsageError
from clipsearch.labels import meaning_of, words_of
from clipsearch.pairs.checking import check_photos
from clipsearch.pairs.folders import labelled_by_folder
from clipsearch.pairs.inspecting import DataReport, inspect
from clipsearch.pairs.learned import PartName, PartOf
from clipsearch.pairs.near_duplicates import pairs_alike
from clipsearch.pairs.reading import read_photos
from clipsearch.pairs.splitting import data_fingerprint, groups_of, split
from clipsearch.types import (
    CaptionedPhoto,
    Floats,
    PhotoProblem,
    PhotoRead,
    Preprocess,
    Progress,
)

# Two frames of a burst; not two photos of one beach. Cosines after the photos' mean is taken away:
# models crowd all photos together, each as much as it likes.
ALIKE = 0.98
# A model that finds more photos alike than this share of all cannot tell them apart.
MOST_ALIKE = 0.2


@dataclass(frozen=True, slots=True)
class Parts:
    """The usable photos, and which of them are learned from, judged by, and tested on.

    `hashes` are the SHA-256 of their contents; `fingerprint` is that of all photos and words,
    `division` that of the photos not learned from.
    """

    photos: tuple[CaptionedPhoto, ...]
    hashes: tuple[bytes, ...]
    fingerprint: str
    division: str
    learned: list[int]
    validation: list[int]
    test: list[int]

    @property
    def sizes(self) -> tuple[int, int, int]:
        """How many photos are in each part."""
        return len(self.learned), len(self.validation), len(self.test)

    def by_part(self) -> Iterator[PartOf]:
        """Every photo with its content and its part."""
        parts: list[tuple[PartName, list[int]]] = [
            ("learned", self.learned), ("validation", self.validation), ("test", self.test)
        ]  # fmt: skip
        for part, numbers in parts:
            for number in numbers:
                yield PartOf(part, self.hashes[number], self.photos[number].source.name)

    def of(self, numbers: list[int]) -> list[CaptionedPhoto]:
        """The photos with those numbers."""
        return [self.photos[number] for number in numbers]


def gather(data: Path | None, library: Path | None, photo_root: str | None) -> list[CaptionedPhoto]:
    """The photos that a request names, their labels as words (see `in_words`).

    Raises UsageError when it names none or both.
    """
    if (data is None) == (library is None):
        raise UsageError(
            "say what to learn from",
            "Name a table of photos and captions, a folder or a .tar; or --library DIR",
        )
    if data is not None:
        return in_words(read_photos(data, photo_root))
    assert library is not None
    return in_words(_of_library(library))


def gather_retained(folder: Path) -> list[CaptionedPhoto]:
    """The labelled photos on which forgetting is measured. Raises UsageError when there are none.

    Of two labels or more: of one alone nothing could be forgotten.
    """
    photos = [replace(photo, captions=()) for photo in gather(folder, None, None) if photo.label]
    if len({photo.label for photo in photos}) < 2:
        raise UsageError(
            f"{folder} holds no photos in folders named after what they show",
            "Forgetting is measured on photos with labels",
        )
    return photos


def in_words(photos: Sequence[CaptionedPhoto]) -> list[CaptionedPhoto]:
    """Photos with labels as people say them, each in one spelling.

    Folders are called stop_sign; captions, models and vocabularies know "stop sign". Two folders of
    one name (Dog and dog) would otherwise be two labels that no model can tell apart.
    """
    spelled: dict[str, str] = {}

    def spelling(label: str) -> str:
        return spelled.setdefault(meaning_of(label), words_of(label))

    return [
        photo if photo.label is None else replace(photo, label=spelling(photo.label))
        for photo in photos
    ]


def _of_library(directory: Path) -> list[CaptionedPhoto]:
    """The photos of a library, each labelled with the name of its folder."""
    from clipsearch.library import Library

    with Library.open(directory) as opened:
        contents = opened.catalogue.live_contents(None)
        rows = opened.catalogue.photos_of(contents, None)
        roots = [os.fsdecode(root.path) for root in opened.catalogue.roots()]
    paths = sorted({os.fsdecode(row.path) for each in rows.values() for row in each})
    photos: list[CaptionedPhoto] = []
    for path in paths:
        inside = [root for root in roots if path.startswith(os.path.join(root, ""))]
        photos += labelled_by_folder([path], max(inside, key=len, default=""))
    labelled = [photo for photo in photos if photo.label is not None]
    if len({photo.label for photo in labelled}) < 2:
        raise UsageError(
            f"the photos of the library {directory} are not in folders named after what they show",
            "Name a table of photos and captions instead",
        )
    return labelled


def look_through(
    photos: Sequence[CaptionedPhoto],
    preprocess: Preprocess,
    too_long: Callable[[Sequence[str]], Sequence[bool]],
    workers: int,
    progress: Progress,
) -> DataReport:
    """Read and decode every photo once, in disposable processes: one that kills costs itself."""
    from clipsearch.photos.opening import decode
    from clipsearch.photos.reading import PhotoReader, nothing_known

    done = 0

    def counted(found: Iterable[PhotoRead | PhotoProblem]) -> Iterator[PhotoRead | PhotoProblem]:
        nonlocal done
        for each in found:
            done += 1
            progress("inspect", done, len(photos))
            yield each

    with PhotoReader(preprocess, workers) as reader:

        def read_files(paths: Iterable[bytes]) -> Iterator[PhotoRead | PhotoProblem]:
            return counted(reader.read(paths, nothing_known))

        checks = list(check_photos(photos, read_files, lambda data: decode(data, preprocess)))
    return inspect(photos, checks, too_long)


def divide(
    report: DataReport,
    shares: tuple[float, float],
    seed: int,
    embed: Callable[[Sequence[CaptionedPhoto]], Floats] | None,
) -> tuple[Parts, int]:
    """The parts, and how many pairs of near-duplicates were kept on one side, exact copies apart.

    `embed` gives unit rows of photos; None when the model knows nothing yet.
    """
    alike = [] if embed is None else _alike(embed(report.photos))
    validation, test = shares
    learned, judged, tested = split(
        report.photos, report.hashes, (1 - validation - test, validation, test), seed, alike
    )
    fingerprint = data_fingerprint(report.photos, report.hashes)
    parts = Parts(
        report.photos, report.hashes, fingerprint, _division(report.hashes, (judged, tested)),
        learned, judged, tested,
    )  # fmt: skip
    return parts, sum(report.hashes[one] != report.hashes[other] for one, other in alike)


def _division(hashes: Sequence[bytes], parts: Iterable[list[int]]) -> str:
    """A SHA-256 (hex) over the contents of each part, whatever their order and their names."""
    contents = [sorted(hashes[number].hex() for number in part) for part in parts]
    return hashlib.sha256(repr(contents).encode()).hexdigest()


def _alike(embeddings: Floats) -> list[tuple[int, int]]:
    """Near-duplicates among unit rows (n, dim); none when the model cannot tell photos apart."""
    centred = embeddings - embeddings.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)  # (n, 1)
    pairs = pairs_alike(centred / lengths.clip(min=1e-6), ALIKE)
    most = max(MOST_ALIKE * len(embeddings), 2)
    return pairs if max(map(len, groups_of(len(embeddings), pairs)), default=0) <= most else []


def words_of_photos(photos: Sequence[CaptionedPhoto]) -> list[str]:
    """All captions of photos, and the labels of those without."""
    captions = [caption for photo in photos for caption in photo.captions]
    return [*captions, *sorted({p.label for p in photos if p.label and not p.captions})]
