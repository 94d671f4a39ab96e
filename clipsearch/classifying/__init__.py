"""Zero-shot classification: photos into labels that a person writes down.

classes = embed_labels(towers, labels_from_text("cat,dog"), template_set())
for result in classify_library(library, classes):
    print(result.path, result.labels[0].label)
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from clipsearch.classifying.classes import Classes, Odds, embed_labels
from clipsearch.classifying.concepts import classes_of
from clipsearch.classifying.deciding import (
    Decision,
    LabelProbability,
    PhotoLabels,
    Rule,
    decide,
)
from clipsearch.classifying.photos import (
    PhotoBlock,
    indexed_folders,
    indexed_photos,
    photo_folders,
    photos_at,
)
from clipsearch.classifying.truth import (
    FolderTruth,
    TruthReport,
    TruthTally,
)
from clipsearch.library import Library
from clipsearch.photos.ignore import IgnoreRules
from clipsearch.types import ImageEncoder, PhotoFilter, PhotoProblem

__all__ = [
    "Classes",
    "Decision",
    "LabelProbability",
    "Odds",
    "PhotoLabels",
    "Rule",
    "TruthReport",
    "TruthTally",
    "classes_of",
    "classify_library",
    "classify_paths",
    "embed_labels",
    "indexed_folders",
    "photo_folders",
]


def classify_library(
    library: Library,
    classes: Classes,
    rule: Rule | None = None,
    *,
    wanted: PhotoFilter | None = None,
) -> Iterator[PhotoLabels]:
    """The labels of every indexed photo that passes the filter; nothing is read but the library.

    Raises StorageError for a library without photos, ModelMismatchError when `classes` are by
    another model than its own.
    """
    for result in _classified(indexed_photos(library, classes.model, wanted), classes, rule):
        assert isinstance(result, PhotoLabels)  # stored photos have no problems
        yield result


def classify_paths(
    targets: Sequence[bytes],
    classes: Classes,
    load_encoder: Callable[[int], ImageEncoder],
    rule: Rule | None = None,
    *,
    library: Library | None = None,
    rules: IgnoreRules | None = None,
) -> Iterator[PhotoLabels | PhotoProblem]:
    """The labels of photos, and of the photos in folders, whether they are indexed or not.

    Stored embeddings are used for photos that `library` knows and that did not change since; the
    others are read and encoded, nothing is written. `load_encoder(n)` gives the image tower for
    about n photos, and is not called when all are stored. Results come as they are ready. What
    cannot be read is a PhotoProblem among them and stops nothing.

    Raises UsageError, before anything is read, when a target does not exist.
    """
    photos = photos_at(targets, library, classes.model, load_encoder, rules=rules)
    return _classified(photos, classes, rule)


def _classified(
    photos: Iterable[PhotoBlock | PhotoProblem], classes: Classes, rule: Rule | None
) -> Iterator[PhotoLabels | PhotoProblem]:
    truth = FolderTruth(classes.labels)
    for block in photos:
        if isinstance(block, PhotoProblem):
            yield block
            continue
        truths = [[truth.number_of(path) for path in paths] for paths in block.paths]
        yield from decide(classes, rule or Rule(), block.paths, block.vectors, truths)
