"""What is taught, as it is found and kept in a library."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clipsearch.concepts.known import EncodeText
from clipsearch.concepts.labelling import LearnedLabels
from clipsearch.concepts.learning import Learned
from clipsearch.concepts.names import as_typed, unknown_concept
from clipsearch.encoders import Towers
from clipsearch.errors import ModelMismatchError, UsageError
from clipsearch.library import Library
from clipsearch.storage.concepts import Concept, ConceptKind, ConceptPhoto, LinearClassifier
from clipsearch.types import Floats, PhotoProblem


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """A concept that was taught, how well it is told from the rest, and what could not be used.

    `found` is for one thing, `labels` for a set of labels; the other is None. `encoded` photos were
    not indexed and went through the image tower.
    """

    concept: Concept
    found: Learned | None
    labels: LearnedLabels | None
    encoded: int
    problems: tuple[PhotoProblem, ...] = ()
    warnings: tuple[str, ...] = ()


def taught(library: Library) -> list[Concept]:
    """Everything that was taught, by name."""
    return library.catalogue.concepts.all()


def forget(library: Library, name: str) -> Concept:
    """Erase a concept. Photos, and what the library knows of them, stay.

    Raises UsageError for a name that nothing is called, LockedError and StorageError.
    """
    with library.writer():
        concept = library.catalogue.concepts.called(name.removeprefix("@"))
        if concept is None:
            raise unknown_concept(
                name.removeprefix("@"), library.catalogue.concepts.names().values()
            )
        library.catalogue.concepts.forget(concept.name)
    return concept


def model_of(library: Library, towers: Towers) -> int:
    """The number of the library's model, which `towers` are of.

    Raises StorageError for a library without photos, ModelMismatchError for another model's towers.
    """
    model_id, model = library.require_model()
    if model.fingerprint != towers.info.fingerprint:
        raise ModelMismatchError(
            f"the library was made with {model.name}, not {towers.info.name}", f"Use {model.name}"
        )
    return model_id


def text_of(towers: Towers) -> EncodeText:
    """The text tower, opened only when it is asked: three photos without words need none."""
    return lambda texts: towers.text.encode_text(texts)


def concept_before(library: Library, name: str, *, add: bool) -> Concept | None:
    """The concept that photos are added to. Raises UsageError when the name does not fit."""
    before = library.catalogue.concepts.called(name)
    if add and before is None:
        raise unknown_concept(name, library.catalogue.concepts.names().values())
    if add and before is not None and before.kind == "labels":
        raise UsageError(
            f"{as_typed(before.name)} is a set of labels",
            f"Forget it and teach it again: clipsearch teach --forget {as_typed(before.name)[1:]}",
        )
    if not add and before is not None:
        typed = as_typed(before.name)[1:]
        anew = f"egin anew after: clipsearch teach --forget {typed}"
        raise UsageError(
            f"{as_typed(before.name)} was taught already",
            f"B{anew}"
            if before.kind == "labels"
            else f"Add photos: clipsearch teach {typed} --add PHOTO...; or b{anew}",
        )
    return before


def save(
    library: Library,
    model_id: int,
    name: str,
    kind: ConceptKind,
    words: str | None,
    photos: Sequence[ConceptPhoto],
    vectors: Mapping[bytes, Floats],
    learned: Sequence[LinearClassifier],
) -> Concept:
    """Write a concept over the one of that name. Raises LockedError and StorageError."""
    with library.writer():
        library.catalogue.concepts.save(
            name,
            kind,
            words,
            photos,
            model_id,
            vectors,
            learned,
        )
        concept = library.catalogue.concepts.called(name)
    assert concept is not None  # it was just saved, under the lock
    return concept
