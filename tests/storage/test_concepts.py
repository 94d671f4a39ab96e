from collections.abc import Callable, Sequence

import numpy as np
import pytest

from clipsearch.errors import DamageError
from clipsearch.storage.catalogue import Catalogue, Root
from clipsearch.storage.concepts import ConceptPhoto, LinearClassifier, key_of
from clipsearch.storage.records import embedding_checksum, embedding_seed
from tests.storage.small_library import MODEL, OTHER_MODEL, add, hash_of, photo, unit

A = ConceptPhoto(hash_of("a"), b"/photos/a.jpg")
B = ConceptPhoto(hash_of("b"), b"/else/\xff.jpg", is_example=False)
VECTORS = {hash_of("a"): unit(1, 0, 0, 0), hash_of("b"): unit(0, 1, 0, 0)}
WEIGHTS = np.array([3.0, -1.5, 0.0, 0.25], np.float32)


def save(
    catalogue: Catalogue,
    name: str = "Rex",
    photos: Sequence[ConceptPhoto] = (A, B),
    weights: np.ndarray = WEIGHTS,
) -> None:
    vectors = {p.content_hash: VECTORS[p.content_hash] for p in photos}
    learned = [LinearClassifier("", weights, -0.5)]
    catalogue.concepts.save(name, "one", "a dog", photos, model(catalogue), vectors, learned)


def model(catalogue: Catalogue) -> int:
    return catalogue.register_model(MODEL)


def test_what_was_saved_comes_back(catalogue: Catalogue) -> None:
    save(catalogue)
    concept = catalogue.concepts.called("Rex")
    assert concept is not None
    assert (concept.name, concept.kind, concept.words) == ("Rex", "one", "a dog")
    assert concept.photos == (A, B)
    (one,) = catalogue.concepts.classifiers(concept, model(catalogue))
    np.testing.assert_array_equal(one.weights, WEIGHTS)
    assert (one.label, one.bias) == ("", -0.5)
    assert catalogue.concepts.learned_with(concept) == [model(catalogue)]


@pytest.mark.parametrize("name", ["rex", "REX", "  rEx "])
def test_case_and_spaces_make_no_other_concept(catalogue: Catalogue, name: str) -> None:
    save(catalogue)
    save(catalogue, name.strip(), [A])
    (concept,) = catalogue.concepts.all()
    assert concept.photos == (A,)
    assert catalogue.concepts.called(name) == concept


def test_case_is_that_of_every_script(catalogue: Catalogue) -> None:
    save(catalogue, "Élan")
    assert catalogue.concepts.called("e\u0301LAN") is not None
    assert key_of("STRASSE") == key_of("straße")


def test_vectors_come_from_concepts_and_from_the_index(catalogue: Catalogue, root: Root) -> None:
    add(catalogue, [photo(root, "c.jpg", "c")], {"c": unit(0, 0, 1, 0)})
    save(catalogue)
    wanted = [hash_of(name) for name in "abcz"]
    found = catalogue.concepts.vectors(model(catalogue), wanted)
    assert found.keys() == {hash_of(name) for name in "abc"}
    np.testing.assert_allclose(found[hash_of("a")], unit(1, 0, 0, 0), atol=1e-3)
    np.testing.assert_allclose(found[hash_of("c")], unit(0, 0, 1, 0), atol=1e-3)
    other = catalogue.register_model(OTHER_MODEL)
    assert catalogue.concepts.vectors(other, wanted) == {}


def test_forgetting_erases_what_no_other_concept_needs(catalogue: Catalogue) -> None:
    save(catalogue)
    save(catalogue, "max", [A])
    assert catalogue.concepts.forget("REX")
    assert not catalogue.concepts.forget("rex")
    assert catalogue.concepts.names() == {"max": "max"}
    kept = catalogue.concepts.vectors(model(catalogue), VECTORS)
    assert kept.keys() == {A.content_hash}


def test_examples_outlive_their_root(catalogue: Catalogue, root: Root) -> None:
    add(catalogue, [photo(root, "a.jpg", "a")], {"a": unit(1, 0, 0, 0)})
    save(catalogue)
    catalogue.forget_root(root)
    assert hash_of("a") in catalogue.concepts.vectors(model(catalogue), [hash_of("a")])


@pytest.mark.parametrize(
    "label",
    ["cat", "b\udcfe", "b\\udcfe", "b\\u005cudcfe", "\\\udcfe\\", "a\\b\\u", "\ud800"],
    ids=ascii,
)
def test_labels_of_any_bytes_come_back_and_are_no_other(catalogue: Catalogue, label: str) -> None:
    learned = [LinearClassifier(label, WEIGHTS, 0.5), LinearClassifier("b\\xfe", WEIGHTS, 0.5)]
    photos = [ConceptPhoto(hash_of("a"), b"/photos/a.jpg", label)]
    catalogue.concepts.save("two", "labels", None, photos, model(catalogue), VECTORS, learned)
    concept = catalogue.concepts.called("two")
    assert concept is not None
    assert [photo.label for photo in concept.photos] == [label]
    found = catalogue.concepts.classifiers(concept, model(catalogue))
    assert [one.label for one in found] == [label, "b\\xfe"]


def broken(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@pytest.mark.parametrize("weights", [broken(1, 2, 3), broken(1, 2, 3, float("nan"))], ids=len)
def test_unusable_weights_change_nothing(catalogue: Catalogue, weights: np.ndarray) -> None:
    save(catalogue)
    with pytest.raises(ValueError, match="cannot be stored"):
        save(catalogue, "rex", [A], weights)
    (concept,) = catalogue.concepts.all()
    assert concept.photos == (A, B)


@pytest.mark.parametrize("vector", [broken(1, 0, 0), broken(1, 1, 0, 0)], ids=["short", "long"])
def test_an_unusable_vector_changes_nothing(catalogue: Catalogue, vector: np.ndarray) -> None:
    learned = [LinearClassifier("", WEIGHTS, -0.5)]
    with pytest.raises(ValueError, match="is refused"):
        catalogue.concepts.save(
            "Rex", "one", None, [A], model(catalogue), {A.content_hash: vector}, learned
        )
    assert catalogue.concepts.all() == []


Damage = Callable[[Catalogue], object]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE concept_classifiers SET bias = bias + 1",
        "UPDATE concept_classifiers SET label = 'x'",
        "UPDATE concept_classifiers SET weights = zeroblob(16)",
        "UPDATE concept_classifiers SET weights = zeroblob(3)",
    ],
)
def test_damaged_classifiers_are_refused(catalogue: Catalogue, change: str) -> None:
    save(catalogue)
    catalogue._db.change(change)
    (concept,) = catalogue.concepts.all()
    with pytest.raises(DamageError):
        catalogue.concepts.classifiers(concept, model(catalogue))


def test_swapped_embeddings_are_refused(catalogue: Catalogue) -> None:
    save(catalogue)
    catalogue._db.change(
        "UPDATE concept_embeddings SET vector = "
        "(SELECT vector FROM concept_embeddings ORDER BY id LIMIT 1)"
    )
    with pytest.raises(DamageError):
        catalogue.concepts.vectors(model(catalogue), VECTORS)


def test_where_the_odds_are_even() -> None:
    assert LinearClassifier("", broken(3, 4), -2.5).even_cosine == pytest.approx(0.5)
    assert LinearClassifier("", broken(0, 0), -2.5).even_cosine == float("inf")


def test_a_stored_vector_that_is_no_unit_row_is_damage(catalogue: Catalogue) -> None:
    """Although its checksum fits: another program, or a mistake of ours, wrote it so."""
    save(catalogue)
    vector = np.ones(4, "<f2").tobytes()
    checksum = embedding_checksum(embedding_seed(MODEL.fingerprint), A.content_hash, vector)
    catalogue._db.change(
        "UPDATE concept_embeddings SET vector = ?, checksum = ? WHERE hash = ?",
        (vector, checksum, A.content_hash),
    )
    with pytest.raises(DamageError, match="is no unit row"):
        catalogue.concepts.vectors(model(catalogue), [A.content_hash])
