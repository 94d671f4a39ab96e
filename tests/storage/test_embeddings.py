import numpy as np
import pytest

from clipsearch.errors import DamageError
from clipsearch.storage import embedding_rows
from clipsearch.storage.catalogue import Catalogue, Root
from clipsearch.storage.half_floats import unit_rows
from tests.storage.small_library import (
    MODEL,
    OTHER_MODEL,
    add,
    erase_embeddings,
    hash_of,
    photo,
    unit,
    vector_of,
)


@pytest.fixture
def filled(catalogue: Catalogue, root: Root) -> Catalogue:
    add(catalogue, [photo(root, f"{i}.jpg", str(i)) for i in range(10)])
    return catalogue


def test_stored_vectors_are_the_float16_rounding_normalised_again(filled: Catalogue) -> None:
    (block,) = filled.embeddings(1)
    given = np.stack([vector_of(hash_of(str(i))) for i in range(10)])
    photos = filled.photos_of(block.content_ids)
    order = [int(photos[c][0].path.split(b"/")[-1][:-4]) for c in block.content_ids.tolist()]
    assert np.array_equal(block.vectors, unit_rows(given[order].astype("<f2")))
    assert np.array_equal(next(filled.stored_embeddings(1)).halves, given[order].astype("<f2"))


def test_blocks_cover_all_rows_once_in_order(
    filled: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_rows, "BLOCK_ROWS", 3)
    blocks = list(filled.embeddings(1))
    assert [len(b.row_ids) for b in blocks] == [3, 3, 3, 1]
    rows = np.concatenate([b.row_ids for b in blocks])
    assert rows.tolist() == sorted(set(rows.tolist()))
    newer = list(filled.embeddings(1, after_id=int(rows[7])))
    assert np.concatenate([b.row_ids for b in newer]).tolist() == rows[8:].tolist()
    chosen = np.array([9, 2, 4, 6, 99], dtype=np.int64)
    some = np.concatenate([b.content_ids for b in filled.embeddings(1, content_ids=chosen)])
    assert sorted(some.tolist()) == [2, 4, 6, 9]


def test_a_model_sees_its_own_embeddings_only(filled: Catalogue, root: Root) -> None:
    other = filled.register_model(OTHER_MODEL)
    assert list(filled.embeddings(other)) == []
    add(filled, [photo(root, "0.jpg", "0")], model=OTHER_MODEL)
    assert [len(b.row_ids) for b in filled.embeddings(other)] == [1]
    assert filled.last_embedding_id(other) == 11
    assert filled.last_embedding_id(1) == 10
    assert not filled.has_more_embeddings_than(1, 10)
    assert filled.has_more_embeddings_than(1, 9)


def test_a_content_keeps_its_first_embedding(filled: Catalogue, root: Root) -> None:
    add(filled, [photo(root, "copy.jpg", "3")], {"3": unit(1, 1, 1, 1)})
    assert sum(len(b.row_ids) for b in filled.embeddings(1)) == 10


DAMAGE = {
    "one bit of the vector": "UPDATE embeddings SET vector = zeroblob(8) WHERE id = 4",
    "a vector cut short": "UPDATE embeddings SET vector = substr(vector, 1, 6) WHERE id = 4",
    "a row swapped with its neighbour": """UPDATE embeddings SET (vector, checksum) =
        (SELECT vector, checksum FROM embeddings WHERE id = 5) WHERE id = 4""",
    "another content": "UPDATE contents SET hash = randomblob(32) WHERE id = 4",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_embedding_is_named_never_returned(filled: Catalogue, damage: str) -> None:
    filled._db.change(damage)
    with pytest.raises(DamageError, match=r"Embedding 4 .*library check --repair"):
        list(filled.embeddings(1))


def test_an_embedding_of_another_model_is_damage(filled: Catalogue) -> None:
    other = filled.register_model(OTHER_MODEL)
    filled._db.change("UPDATE embeddings SET model_id = ? WHERE id = 4", (other,))
    with pytest.raises(DamageError, match="Embedding 4 "):
        list(filled.embeddings(other))


def test_a_vector_that_is_none_is_damage_even_when_its_checksum_fits(filled: Catalogue) -> None:
    from clipsearch.storage.records import embedding_checksum, embedding_seed

    vector = np.array([np.nan, 0, 0, 1], "<f2").tobytes()
    content_hash = filled._db.value("SELECT hash FROM contents WHERE id = 4")
    fitting = embedding_checksum(embedding_seed(MODEL.fingerprint), content_hash, vector)
    filled._db.change(
        "UPDATE embeddings SET vector = ?, checksum = ? WHERE id = 4", (vector, fitting)
    )
    with pytest.raises(DamageError, match="Embedding 4 "):
        list(filled.embeddings(1))


def test_erased_embeddings_are_written_anew_under_new_ids(filled: Catalogue, root: Root) -> None:
    before = filled.last_embedding_id(1)
    erase_embeddings(filled, 1, [4])
    assert filled.history.last_erasure() == filled.history.generation()[0]
    assert filled.count_unembedded(1) == 1
    assert 4 not in filled.embedded_contents(1, before)
    content_hash = filled._db.value("SELECT hash FROM contents WHERE id = 4")
    (content,) = (str(i) for i in range(10) if hash_of(str(i)) == content_hash)
    add(filled, [photo(root, f"{content}.jpg", content)])
    assert filled.last_embedding_id(1) == before + 1
    assert filled.count_unembedded(1) == 0


def test_contents_without_an_embedding_have_none(filled: Catalogue) -> None:
    other = filled.register_model(OTHER_MODEL)
    contents = filled.live_contents()
    assert list(filled.embeddings(other, content_ids=contents)) == []
    assert filled.embeddings_of(int(contents[0])) == {1: 1}
    assert filled.count_newer_embeddings(1, 4) == 6
