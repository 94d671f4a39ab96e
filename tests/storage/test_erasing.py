"""What purge erases, and what it must not."""

from clipsearch.storage.catalogue import Catalogue, Root
from clipsearch.storage.concepts import ConceptPhoto, LinearClassifier
from clipsearch.storage.erasing import Erased
from tests.storage.small_library import (
    MODEL,
    OTHER_MODEL,
    add,
    failure,
    hash_of,
    ids_at,
    photo,
    unit,
)


def test_a_photo_goes_with_its_content_unless_another_has_it(
    catalogue: Catalogue, root: Root
) -> None:
    add(catalogue, [photo(root, "a.jpg", "dog"), photo(root, "b.jpg", "dog")])
    add(catalogue, [photo(root, "c.jpg", "cat"), photo(root, "sub/d.jpg", "cow")])
    catalogue.write_batch(1, [], {}, [failure(root, "cut.jpg")])
    ids = ids_at(catalogue, root)
    gone = [ids[b"a.jpg"], ids[b"c.jpg"], ids[b"cut.jpg"]]
    catalogue.mark_missing(gone, 1000.0)
    assert [photo.photo_id for photo in catalogue.erasing.missing_photos(1001.0)] == gone
    assert list(catalogue.erasing.missing_photos(1000.0)) == []
    foreseen = catalogue.erasing.unneeded(gone)
    assert foreseen == Erased(photos=3, contents=1, embeddings=1)
    assert catalogue.erasing.erase_missing(gone) == foreseen
    assert list(map(catalogue.photo_at, (b"/photos/a.jpg", b"/photos/c.jpg"))) == [
        None, None
    ]  # fmt: skip
    assert catalogue.has_embedding(1, hash_of("dog"))
    assert not catalogue.has_embedding(1, hash_of("cat"))
    assert catalogue.history.last_erasure() == catalogue.history.generation()[0]
    assert list(catalogue.row_faults()) == catalogue.structure_faults() == []


def test_a_photo_that_came_back_meanwhile_stays(catalogue: Catalogue, root: Root) -> None:
    add(catalogue, [photo(root, "a.jpg", "dog"), photo(root, "b.jpg", "cat")])
    ids = list(ids_at(catalogue, root).values())
    catalogue.mark_missing(ids, 1000.0)
    catalogue.mark_present(ids[:1])
    assert catalogue.erasing.erase_missing(ids) == Erased(photos=1, contents=1, embeddings=1)
    assert catalogue.has_embedding(1, hash_of("dog"))


def test_what_no_photo_has_any_more_goes_without_being_named(
    catalogue: Catalogue, root: Root
) -> None:
    add(catalogue, [photo(root, "a.jpg", "before")])
    add(catalogue, [photo(root, "a.jpg", "after")])
    assert catalogue.erasing.unneeded([]) == Erased(contents=1, embeddings=1)
    assert catalogue.erasing.erase_missing([]) == Erased(contents=1, embeddings=1)
    assert catalogue.folders(root.root_id) == {b""}
    assert catalogue.erasing.unneeded([]) == Erased()


def test_a_model_goes_with_everything_it_made(catalogue: Catalogue, root: Root) -> None:
    add(catalogue, [photo(root, "a.jpg", "dog")])
    add(catalogue, [photo(root, "a.jpg", "dog")], model=OTHER_MODEL)
    content_hash = hash_of("rex")
    for model_id in (1, 2):
        catalogue.concepts.save(
            "Rex", "one", None, [ConceptPhoto(content_hash, b"/rex.jpg")], model_id,
            {content_hash: unit(1, 0, 0, 0)}, [LinearClassifier("", unit(1, 0, 0, 0), 0.0)],
        )  # fmt: skip
    assert catalogue.erasing.embeddings_by([2]) == Erased(embeddings=1)
    assert catalogue.erasing.erase_models([2]) == Erased(embeddings=1)
    assert catalogue.history.last_erasure() == catalogue.history.generation()[0]
    assert [model.info for model in catalogue.models()] == [MODEL]
    assert catalogue.has_embedding(1, hash_of("dog"))
    assert catalogue.concepts.vectors(1, [content_hash]).keys() == {content_hash}
    assert list(catalogue.row_faults()) == catalogue.structure_faults() == []


def test_space_is_given_back(catalogue: Catalogue, root: Root) -> None:
    add(catalogue, [photo(root, f"{i}.jpg", str(i)) for i in range(2000)])
    ids = list(ids_at(catalogue, root).values())
    catalogue._db.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    before = catalogue.path.stat().st_size
    catalogue.mark_missing(ids, 1.0)
    catalogue.erasing.erase_missing(ids)
    catalogue.erasing.give_space_back()
    assert catalogue.path.stat().st_size < before / 2
    assert catalogue.structure_faults() == []
