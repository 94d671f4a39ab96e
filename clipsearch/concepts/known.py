"""What was taught, as linear classifiers of one model: stored ones, or learned again now."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clipsearch.concepts.labelling import LearnedLabels, learn_labels
from clipsearch.concepts.learning import Background, Learned, learn
from clipsearch.concepts.names import as_typed, unknown_concept
from clipsearch.errors import UsageError
from clipsearch.storage.catalogue import Catalogue
from clipsearch.storage.concepts import Concept, ConceptPhoto, LinearClassifier
from clipsearch.types import Floats

EncodeText = Callable[[Sequence[str]], Floats]

# Enough for a covariance of 1,152 dimensions; reading them takes about 20 ms.
MOST_OTHERS = 4000
# From this cosine on, a photo of the library shows the same as an example: a copy, a smaller one,
# the next one of a burst. It is no example of what the concept is not.
SAME_SCENE = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class KnownConcept:
    """A concept with what was learned of it for one model, and what a person should know."""

    concept: Concept
    classifiers: tuple[LinearClassifier, ...]
    warnings: tuple[str, ...] = ()


def known_concept(
    catalogue: Catalogue, name: str, model_id: int, encode_text: EncodeText
) -> KnownConcept:
    """The concept called `name` for a model.

    When nothing was learned with this model yet (the library changed its model), it is learned from
    the same photos' embeddings now; nothing is written. Raises UsageError for a name that nothing
    is called, with the names that are near, and when the model has encoded none of the photos.
    """
    concept = catalogue.concepts.called(name)
    if concept is None:
        raise unknown_concept(name, catalogue.concepts.names().values())
    stored = catalogue.concepts.classifiers(concept, model_id)
    if stored:
        return KnownConcept(concept, stored)
    vectors = catalogue.concepts.vectors(model_id, [p.content_hash for p in concept.photos])
    photos = [photo for photo in concept.photos if photo.content_hash in vectors]
    typed = as_typed(concept.name)
    again = f"clipsearch teach {typed.removeprefix('@')}"
    if not any(photo.is_example for photo in photos):
        raise UsageError(
            f"{typed} was taught with another model, and its photos have no embedding by this one",
            f"Learn it again from the same photos: {again}",
        )
    if concept.kind == "labels":
        learned = learn_label_set(photos, vectors, encode_text)[0]
    else:
        learned = learn_one(catalogue, model_id, photos, vectors, concept.words, encode_text)[0]
    missing = len(concept.photos) - len(photos)
    part = f" without {missing} of its {len(concept.photos)} photos" if missing else ""
    warning = (
        f"{typed} was taught with another model and was learned again now{part}; to keep that: "
        f"{again}"
    )
    return KnownConcept(concept, learned, (warning,))


def known_thing(
    catalogue: Catalogue, name: str, model_id: int, encode_text: EncodeText
) -> KnownConcept:
    """The concept called `name`, which is one thing; it has one classifier.

    Raises as `known_concept` does, and UsageError for a set of labels.
    """
    known = known_concept(catalogue, name, model_id, encode_text)
    if known.concept.kind == "labels":
        typed = as_typed(known.concept.name)
        raise UsageError(
            f"{typed} is a set of labels, no single thing",
            f"Use it to classify: clipsearch classify --all --labels {typed}",
        )
    return known


def learn_one(
    catalogue: Catalogue,
    model_id: int,
    photos: Sequence[ConceptPhoto],
    vectors: Mapping[bytes, Floats],
    words: str | None,
    encode_text: EncodeText,
) -> tuple[tuple[LinearClassifier, ...], Learned]:
    """Learn one thing from photos with an example or more; `vectors` are by content hash.

    It is told from the library's own photos, never from the examples or what looks like them.
    Raises UsageError when there are no others.
    """
    examples = np.stack([vectors[p.content_hash] for p in photos if p.is_example])
    counter = [vectors[p.content_hash] for p in photos if not p.is_example]
    learned = learn(
        examples,
        Background(_others(catalogue, model_id, examples)),
        np.stack(counter) if counter else None,
        None if words is None else _words_vector(words, encode_text),
    )
    return (LinearClassifier("", learned.weights, learned.bias),), learned


def learn_label_set(
    photos: Sequence[ConceptPhoto], vectors: Mapping[bytes, Floats], encode_text: EncodeText
) -> tuple[tuple[LinearClassifier, ...], LearnedLabels]:
    """Learn a set of labels from photos of each, and from their names; in order of the labels.

    Raises UsageError for fewer than two labels.
    """
    labels = sorted({photo.label for photo in photos})
    number = {label: i for i, label in enumerate(labels)}
    rows = np.stack([vectors[photo.content_hash] for photo in photos])
    of_photo = np.array([number[photo.label] for photo in photos], np.int64)
    words = np.stack([_words_vector(_as_words(label), encode_text) for label in labels])
    learned = learn_labels(rows, of_photo, len(labels), words)
    classifiers = tuple(
        LinearClassifier(label, weights, float(bias))
        for label, weights, bias in zip(labels, learned.weights, learned.biases, strict=True)
    )
    return classifiers, learned


def _others(catalogue: Catalogue, model_id: int, examples: Floats) -> Floats:
    """(n, dim) unit rows of at most MOST_OTHERS live photos that do not look like an example."""
    ids = catalogue.live_contents()
    if len(ids) > MOST_OTHERS:
        ids = ids[np.linspace(0, len(ids) - 1, MOST_OTHERS).astype(np.int64)]
    blocks = [
        block.vectors[(block.vectors @ examples.T).max(axis=1) < SAME_SCENE]
        for block in catalogue.embeddings(model_id, content_ids=ids)
    ]
    if not blocks:
        return np.empty((0, examples.shape[1]), np.float32)
    others: Floats = np.concatenate(blocks)
    return others


def _as_words(label: str) -> str:
    """A folder's name as the model reads it; how names are split otherwise is `labels`'s to say."""
    # A model reads text: bytes that are none become question marks.
    text = label.encode("utf-8", "replace").decode()
    return " ".join(text.replace("_", " ").replace("-", " ").split()) or text


def _words_vector(words: str, encode_text: EncodeText) -> Floats:
    """(dim,) the unit mean of the words alone and in a sentence."""
    mean = encode_text([words, f"a photo of {words}."]).mean(axis=0)
    vector: Floats = (mean / np.linalg.norm(mean)).astype(np.float32)
    return vector
