"""Labels that were taught with photos, beside labels that are words."""

from collections.abc import Sequence

import numpy as np

from clipsearch.classifying.classes import Classes, Odds, embed_labels, neutral_embedding
from clipsearch.concepts.known import KnownConcept, known_concept
from clipsearch.concepts.names import as_typed
from clipsearch.encoders import Towers
from clipsearch.errors import UsageError
from clipsearch.labels import Label, concept_of, meaning_of
from clipsearch.library import Library
from clipsearch.prompts import TemplateSet
from clipsearch.ranking import unit
from clipsearch.storage.concepts import LinearClassifier
from clipsearch.storage.label_vectors import LabelVectors
from clipsearch.types import Progress


def classes_of(
    library: Library | None,
    towers: Towers,
    labels: Sequence[Label],
    templates: TemplateSet,
    progress: Progress | None = None,
) -> Classes:
    """Labels as classes: words through the text tower, `@name` from what the library was taught.

    A concept that is a set of labels stands for all of them. Raises as `embed_labels` does, and
    UsageError for a concept that was not taught, without a library, and for a name that is there
    twice then.
    """
    kept = LabelVectors(library.directory) if library is not None else None
    if all(concept_of(label) is None for label in labels):
        return embed_labels(towers, labels, templates, progress, kept=kept)
    names: list[Label] = []
    learned: list[LinearClassifier | None] = []
    warnings: list[str] = []
    for label in labels:
        name = concept_of(label)
        if name is None:
            names.append(label)
            learned.append(None)
            continue
        known = _known(library, towers, name)
        warnings.extend(known.warnings)
        for one in known.classifiers:
            names.append(_label(label, known, one))
            learned.append(one)
    _refuse_repeated(names)
    return _classes(towers, names, learned, templates, warnings, progress, kept)


def _known(library: Library | None, towers: Towers, name: str) -> KnownConcept:
    if library is None:
        raise UsageError(
            f"{as_typed(name)} needs the library it was taught in", "Name it: --library DIR"
        )
    fingerprint = towers.info.fingerprint
    models = library.catalogue.models()
    model_id = next((m.model_id for m in models if m.info.fingerprint == fingerprint), None)
    if model_id is None:
        raise UsageError(
            f"{as_typed(name)} was not taught with {towers.info.name}",
            "Leave out --model, to use the library's own",
        )
    return known_concept(
        library.catalogue, name, model_id, lambda texts: towers.text.encode_text(texts)
    )


def _label(typed: Label, known: KnownConcept, one: LinearClassifier) -> Label:
    """What is shown: a name given with name=@concept, the concept's own, or its label's."""
    if known.concept.kind == "labels":
        return Label(one.label, typed.words)
    shown = known.concept.name if typed.name == typed.words else typed.name
    return Label(shown, typed.words)


def _refuse_repeated(labels: Sequence[Label]) -> None:
    seen: set[str] = set()
    for label in labels:
        meaning = meaning_of(label.name)
        if meaning in seen:
            raise UsageError(
                f"the label '{label.name}' is there twice", f"Rename one: other={label.words}"
            )
        seen.add(meaning)


def _classes(
    towers: Towers,
    labels: Sequence[Label],
    learned: Sequence[LinearClassifier | None],
    templates: TemplateSet,
    warnings: Sequence[str],
    progress: Progress | None,
    kept: LabelVectors | None,
) -> Classes:
    taught = np.array([one is not None for one in learned])
    embeddings = np.empty((len(labels), towers.info.embed_dim), np.float32)
    scales, biases = np.zeros(len(labels), np.float32), np.zeros(len(labels), np.float32)
    about: tuple[str, ...] = ()
    if not taught.all():
        words = [label for label, one in zip(labels, learned, strict=True) if one is None]
        by_words = embed_labels(towers, words, templates, progress, kept=kept)
        embeddings[~taught], about = by_words.embeddings, by_words.warnings
    for i, one in enumerate(learned):
        if one is not None:
            embeddings[i] = unit(one.weights)
            scales[i], biases[i] = np.linalg.norm(one.weights), one.bias
    return Classes(
        model=towers.info,
        labels=tuple(labels),
        embeddings=embeddings,
        neutral=neutral_embedding(towers),
        warnings=(*warnings, *about),
        odds=Odds(taught, scales, biases),
    )
