"""The concepts of a catalogue: taught names, kept and found without regard to case."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from clipsearch.storage import concept_rows
from clipsearch.storage.concept_rows import Concept, ConceptKind, ConceptPhoto, LinearClassifier
from clipsearch.storage.connection import Connection
from clipsearch.types import Floats

__all__ = ["Concept", "ConceptKind", "ConceptPhoto", "Concepts", "LinearClassifier", "key_of"]


def key_of(name: str) -> str:
    """What names have in common that differ only in case, spaces or how accents are composed."""
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


class Concepts:
    """The concepts of one open catalogue. Raises as `Catalogue` does."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def all(self) -> list[Concept]:
        """All concepts, by name."""
        return concept_rows.concepts(self._db)

    def names(self) -> dict[str, str]:
        """The names of all concepts by their keys (see `key_of`)."""
        return concept_rows.concept_names(self._db)

    def called(self, name: str) -> Concept | None:
        """The concept of that name, without regard to case; None when nothing is called so."""
        return concept_rows.concept(self._db, key_of(name))

    def save(
        self,
        name: str,
        kind: ConceptKind,
        words: str | None,
        photos: Sequence[ConceptPhoto],
        model_id: int,
        vectors: Mapping[bytes, Floats],
        learned: Sequence[LinearClassifier],
    ) -> None:
        """Write a concept and what was learned of it with one model, over an earlier one.

        `vectors` are the embeddings of its photos by content hash. One transaction. Raises
        ValueError, and changes nothing, for vectors and weights that cannot be used.
        """
        with self._db.transaction():
            concept_id = concept_rows.save_concept(
                self._db, name, key_of(name), kind, words, photos
            )
            concept_rows.save_embeddings(self._db, model_id, vectors)
            concept_rows.save_classifiers(self._db, concept_id, model_id, learned)
            concept_rows.drop_unused_embeddings(self._db)

    def forget(self, name: str) -> bool:
        """Erase a concept and the embeddings kept for it alone; whether there was one."""
        with self._db.transaction():
            forgotten = concept_rows.forget_concept(self._db, key_of(name))
            concept_rows.drop_unused_embeddings(self._db)
            return forgotten

    def classifiers(self, concept: Concept, model_id: int) -> tuple[LinearClassifier, ...]:
        """What was learned of a concept with a model; () when nothing was."""
        return concept_rows.classifiers(self._db, concept.concept_id, model_id)

    def learned_with(self, concept: Concept) -> list[int]:
        """The ids of the models with which a concept was learned."""
        return concept_rows.learned_with(self._db, concept.concept_id)

    def vectors(self, model_id: int, hashes: Iterable[bytes]) -> dict[bytes, Floats]:
        """The unit vectors that a model gave some contents, indexed or taught, where it did."""
        return concept_rows.embeddings_by_hash(self._db, model_id, hashes)
