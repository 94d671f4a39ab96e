"""The vector of a query: words, example photos and taught concepts, combined."""

from dataclasses import dataclass

import numpy as np

from clipsearch.concepts.known import KnownConcept, known_thing
from clipsearch.encoders import Towers
from clipsearch.errors import ModelMismatchError
from clipsearch.library import Library
from clipsearch.query import Term
from clipsearch.ranking import combine, unit
from clipsearch.searching.examples import photo_vectors
from clipsearch.types import Floats, Lap, no_lap


@dataclass(frozen=True, slots=True, eq=False)
class QueryVector:
    """The unit vector (dim,) of some terms (see `ranking.combine`), and warnings about them.

    `least_score` is the cosine from which a photo is more likely the concept than not, where a
    concept is the only term; None for all others.
    """

    vector: Floats
    warnings: tuple[str, ...]
    least_score: float | None = None


def query_vector(
    library: Library, towers: Towers, terms: tuple[Term, ...], lap: Lap = no_lap
) -> QueryVector:
    """What to look for when terms are asked for. Raises as `search` does."""
    _require_same_model(library, towers)
    vectors = np.empty((len(terms), towers.info.embed_dim), np.float32)
    texts = [i for i, term in enumerate(terms) if term.kind == "text"]
    concepts = [i for i, term in enumerate(terms) if term.kind == "concept"]
    photos = [i for i, term in enumerate(terms) if term.kind == "photo"]
    warnings: list[str] = []
    least_score = None
    if texts:
        values = [terms[i].value for i in texts]
        tower = towers.text
        lap("text tower open")
        vectors[texts] = unit(tower.encode_text(values))
        warnings.extend(_text_warnings(towers, values))
        lap("text tower run")
    for i in concepts:
        known = _known(library, towers, terms[i].value)
        (classifier,) = known.classifiers
        vectors[i] = unit(classifier.weights)
        warnings.extend(known.warnings)
        if len(terms) == 1:
            least_score = classifier.even_cosine
    if photos:
        values = [terms[i].value for i in photos]
        vectors[photos], about = photo_vectors(library, towers, values)
        warnings.extend(about)
        lap("example photos")
    weights = np.array([term.weight for term in terms], np.float32)
    return QueryVector(combine(vectors, weights), tuple(warnings), least_score)


def _known(library: Library, towers: Towers, name: str) -> KnownConcept:
    model_id, _ = library.require_model()
    # The text tower is opened only when words are needed to learn it again.
    return known_thing(library.catalogue, name, model_id, lambda t: towers.text.encode_text(t))


def _require_same_model(library: Library, towers: Towers) -> None:
    model = library.model
    if model is not None and model.fingerprint != towers.info.fingerprint:
        raise ModelMismatchError(
            f"the library was made with {model.name}, the query with {towers.info.name}",
            f"Use {model.name}, or run: clipsearch index --model {towers.info.name}",
        )


def _text_warnings(towers: Towers, texts: list[str]) -> list[str]:
    warnings = [
        f"only the beginning of {_shortened(text)} was read: the model reads about "
        f"{towers.info.context_length} word parts"
        for text, cut in zip(texts, towers.text.truncated(texts), strict=True)
        if cut
    ]
    unknown = dict.fromkeys(word for text in texts for word in towers.text.unknown_words(text))
    if unknown:
        words = ", ".join(_shortened(word) for word in list(unknown)[:10])
        warnings.append(
            f"the model {towers.info.name} was never shown {words}: expect poor results for it"
        )
    return warnings


def _shortened(text: str) -> str:
    return f'"{text}"' if len(text) <= 40 else f'"{text[:40]}..."'
