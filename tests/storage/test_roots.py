import pytest

from clipsearch.errors import DamageError, ModelMismatchError
from clipsearch.storage.catalogue import Catalogue, Root
from tests.storage.small_library import (
    MODEL,
    OTHER_MODEL,
    add,
    failure,
    hash_of,
    ids_at,
    photo,
)


def test_a_root_is_added_once_and_keeps_its_identity(catalogue: Catalogue) -> None:
    first = catalogue.add_root(b"/disk", 2**63 + 1, 2**64 - 1)
    assert catalogue.add_root(b"/disk", 7, 8) == first
    assert (first.device, first.inode) == (2**63 + 1, 2**64 - 1)
    assert first.scanned_at is None
    catalogue.touch_root(first, 123.5)
    assert catalogue.roots()[0].scanned_at == 123.5


def test_folders_are_those_with_rows(catalogue: Catalogue, root: Root) -> None:
    add(catalogue, [photo(root, p, p) for p in ("a.jpg", "x/a.jpg", "x/y/a.jpg", "xy/a.jpg")])
    catalogue.write_batch(1, [], {}, [failure(root, "bad/a.jpg")])
    assert catalogue.folders(root.root_id) == {b"", b"x", b"x/y", b"xy", b"bad"}
    assert catalogue.folders(root.root_id, b"x") == {b"x", b"x/y"}
    catalogue.delete_photos(list(ids_at(catalogue, root, b"x/y").values()))
    assert catalogue.folders(root.root_id, b"x") == {b"x"}


def test_merging_keeps_every_photo_at_its_path(catalogue: Catalogue) -> None:
    inner = catalogue.add_root(b"/disk/photos/2023", 1, 2)
    add(catalogue, [photo(inner, "a.jpg", "a"), photo(inner, "may/b.jpg", "b")])
    outer = catalogue.add_root(b"/disk", 1, 1)
    catalogue.merge_root(inner, outer)
    assert catalogue.roots() == [outer]
    assert catalogue.folders(outer.root_id) == {b"photos/2023", b"photos/2023/may"}
    # photo_at also checks that each row's checksum still fits.
    for path in (b"/disk/photos/2023/a.jpg", b"/disk/photos/2023/may/b.jpg"):
        row = catalogue.photo_at(path)
        assert row is not None
        assert row.path == path
    known = catalogue.photos_in_folder(outer.root_id, b"photos/2023", 1)
    assert known[b"a.jpg"].embedded


def test_merging_into_rows_of_the_same_files_leaves_one_of_each(catalogue: Catalogue) -> None:
    inner = catalogue.add_root(b"/disk/x", 1, 2)
    outer = catalogue.add_root(b"/disk", 1, 1)
    add(catalogue, [photo(inner, "a.jpg", "older"), photo(inner, "b.jpg", "b")])
    add(catalogue, [photo(outer, "x/a.jpg", "newer")])
    catalogue.merge_root(inner, outer)
    assert catalogue.counts().photos == 2
    row = catalogue.photo_at(b"/disk/x/a.jpg")
    assert row is not None
    assert row.content_hash == hash_of("newer")
    assert len(catalogue.live_contents()) == 2


def test_forgetting_a_root_erases_what_no_other_photo_shares(catalogue: Catalogue) -> None:
    kept, gone = catalogue.add_root(b"/kept", 1, 2), catalogue.add_root(b"/gone", 1, 3)
    add(catalogue, [photo(kept, "a.jpg", "shared"), photo(gone, "a.jpg", "shared")])
    add(catalogue, [photo(gone, "deep/b.jpg", "alone")])
    catalogue.write_batch(1, [], {}, [failure(gone, "c.jpg")])
    assert catalogue.forget_root(gone) == 3
    assert catalogue.roots() == [kept]
    assert catalogue.has_embedding(1, hash_of("shared"))
    assert not catalogue.has_embedding(1, hash_of("alone"))
    assert catalogue.history.last_erasure() == catalogue.history.generation()[0]
    assert catalogue.counts().photos == 1
    tables = ("SELECT count(*) FROM folders", "SELECT count(*) FROM contents")
    assert [catalogue._db.value(sql) for sql in tables] == [1, 1]


def test_the_old_model_answers_until_the_new_one_is_activated(
    catalogue: Catalogue, root: Root
) -> None:
    add(catalogue, [photo(root, "a.jpg", "a"), photo(root, "b.jpg", "b")])
    add(catalogue, [photo(root, "a.jpg", "a")], model=OTHER_MODEL)
    other = catalogue.register_model(OTHER_MODEL)
    assert catalogue.active_model() == MODEL
    assert catalogue.count_unembedded(other) == 1
    assert [(m.info, m.embedded, m.active) for m in catalogue.models()] == [
        (MODEL, 2, True),
        (OTHER_MODEL, 1, False),
    ]
    catalogue.activate_model(other)
    assert catalogue.active_model() == OTHER_MODEL
    assert catalogue.counts().embedded == 1


def test_one_fingerprint_cannot_have_two_dimensions(catalogue: Catalogue) -> None:
    from dataclasses import replace

    with pytest.raises(ModelMismatchError, match="4 dimensions, not 5"):
        catalogue.register_model(replace(MODEL, embed_dim=5))


def test_forgetting_a_root_without_photos_erases_nothing(catalogue: Catalogue, root: Root) -> None:
    before = catalogue.history.last_erasure()
    assert catalogue.forget_root(root) == 0
    assert catalogue.roots() == []
    assert catalogue.history.last_erasure() == before


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("DELETE FROM models", "has no model 1"),
        ("UPDATE models SET info = 'nothing'", "model 1 cannot be read"),
        ("UPDATE models SET fingerprint = 'x'", "carries another's fingerprint"),
    ],
)
def test_a_model_that_cannot_be_read_is_damage(
    catalogue: Catalogue, damage: str, told: str
) -> None:
    catalogue._db.rows("PRAGMA foreign_keys = OFF")
    catalogue._db.change(damage)
    with pytest.raises(DamageError, match=told):
        catalogue.active_model()
