"""Teaching with the fake model: colours as concepts, every vector computable by hand."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clipsearch.classifying import Rule, classes_of, classify_library
from clipsearch.concepts import known
from clipsearch.concepts.learning import Background
from clipsearch.encoders import Towers
from clipsearch.encoders.fake import FAKE, FakeImageEncoder, FakeTextEncoder
from clipsearch.errors import LockedError, StorageError, UsageError
from clipsearch.labels import labels_from_text
from clipsearch.library import Library
from clipsearch.prompts import template_set
from clipsearch.query import parse_query
from clipsearch.searching import SearchAnswer, query_vectors, search
from clipsearch.storage import embedding_rows
from clipsearch.storage.catalogue import Catalogue
from clipsearch.storage.lock import writer_lock
from clipsearch.teaching import Taught, forget, taught, teach, teach_again, teach_labels
from clipsearch.types import Floats, ImageEncoder, ModelInfo, TextEncoder
from tests.indexing.album import Album, write_photo

ORANGE = [(250, 120, 0), (255, 130, 10), (240, 110, 5), (255, 140, 20), (245, 125, 0)]


def make_album(folder: Path) -> Album:
    """Five orange photos among thirty of other colours."""
    album = Album(folder)
    for i, colour in enumerate(ORANGE):
        album.add(f"orange/{i}.png", colour)
    rng = np.random.default_rng(1)
    for i in range(30):
        r, g, b = (int(c) for c in rng.integers(0, 256, 3))
        album.add(f"other/{i:02}.png", (r // 3, g, max(b, 90)))
    album.index()
    return album


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Album:
    return make_album(tmp_path_factory.mktemp("teaching"))


@pytest.fixture
def album(made: Album) -> Album:
    """The album, with nothing taught."""
    with Library.open(made.library) as library:
        for concept in taught(library):
            forget(library, concept.name)
    return made


def no_tower() -> ImageEncoder:
    raise AssertionError("the image tower was opened")


def no_text() -> TextEncoder:
    raise AssertionError("the text tower was opened")


STORED_ONLY = Towers(FAKE, no_text, no_tower)
TOWERS = Towers(FAKE, FakeTextEncoder, FakeImageEncoder)


def at(album: Album, *names: str) -> list[bytes]:
    return [os.fsencode(album.photos / name) for name in names]


def learn(
    album: Album, name: str = "peel", photos: int = 3, towers: Towers = STORED_ONLY
) -> Taught:
    with Library.open(album.library) as library:
        paths = at(album, *(f"orange/{i}.png" for i in range(photos)))
        return teach(library, towers, name, paths)


def ask(album: Album, typed: str, towers: Towers = STORED_ONLY, **more: float) -> SearchAnswer:
    with Library.open(album.library) as library:
        names = library.catalogue.concepts
        query = parse_query(typed, is_concept=lambda name: names.called(name) is not None)
        return search(library, towers, query, **more)  # type: ignore[arg-type]


def found(album: Album, answer: SearchAnswer) -> list[str]:
    return [os.path.relpath(os.fsdecode(r.path), album.photos) for r in answer.results]


def test_what_was_taught_is_found_from_stored_embeddings_alone(album: Album) -> None:
    result = learn(album)
    assert result.encoded == 0
    assert result.warnings == ()
    best = found(album, ask(album, "@peel", top_k=5, min_score=-1))
    assert sorted(best) == [f"orange/{i}.png" for i in range(5)]


def test_what_is_likely_something_else_is_left_out_unless_asked_for(album: Album) -> None:
    learn(album)
    answer = ask(album, "@peel", top_k=35)
    assert set(found(album, answer)) <= {f"orange/{i}.png" for i in range(5)}
    assert "--min-score -1" in answer.warnings[0]
    assert len(ask(album, "@peel", top_k=35, min_score=-1).results) == 35
    assert ask(album, "@peel in:other").results == ()
    # Of several terms nobody knows from where on a photo is what was meant.
    assert len(ask(album, "@peel +@peel", top_k=35).results) == 35


def test_a_query_looks_a_concept_up_once(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    learn(album)
    looked_up: list[str] = []

    def known_thing(catalogue: Catalogue, name: str, *more: Any) -> known.KnownConcept:
        looked_up.append(name)
        return known.known_thing(catalogue, name, *more)

    monkeypatch.setattr(query_vectors, "known_thing", known_thing)
    assert ask(album, "@peel").results
    assert looked_up == ["peel"]


def test_concepts_combine_with_words_photos_and_minus(album: Album) -> None:
    learn(album)
    with Library.open(album.library) as library:
        (weights,) = [
            c.weights
            for concept in taught(library)
            for c in library.catalogue.concepts.classifiers(concept, 1)
        ]
    unit = weights / np.linalg.norm(weights)
    blue = FakeTextEncoder().encode_text(["blue"])[0]
    mixed = blue - 2 * unit
    mixed /= np.linalg.norm(mixed)
    answer = ask(album, "blue -@PEEL^2", TOWERS, top_k=1)
    with Library.open(album.library) as library:
        expected = library.nearest(mixed[None], 1)[1][0, 0]
    assert answer.results[0].score == pytest.approx(float(expected), abs=1e-5)


def test_examples_and_what_looks_like_them_are_no_negatives(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Floats] = []

    def background(rows: Floats) -> Background:
        seen.append(rows)
        return Background(rows)

    monkeypatch.setattr(known, "Background", background)
    learn(album, photos=1)
    assert len(seen[0]) == 30  # the other four orange photos are nearly the same colour


def test_photos_that_are_not_indexed_are_encoded_and_kept(album: Album, tmp_path: Path) -> None:
    paths = [os.fsencode(write_photo(tmp_path / f"{i}.png", c)) for i, c in enumerate(ORANGE)]
    copy = os.fsencode(tmp_path / "copy.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "0.png").read_bytes())
    # Orange photos of another size, so that their content is not indexed.
    for path, colour in zip(paths, ORANGE, strict=True):
        Image.new("RGB", (50, 50), colour).save(os.fsdecode(path))
    with Library.open(album.library) as library:
        result = teach(library, TOWERS, "peel", [*paths, copy])
        assert result.encoded == 5
        assert len(result.concept.photos) == 6
        # The copy is that of an indexed photo: its embedding is known by content.
    for path in paths:
        os.unlink(path)
    with Library.open(album.library) as library:
        again = teach_again(library, STORED_ONLY, "peel")
    assert [p.content_hash for p in again.concept.photos] == [
        p.content_hash for p in result.concept.photos
    ]


def test_adding_photos_equals_teaching_with_all(album: Album) -> None:
    whole = learn(album, "whole", 5)
    learn(album, "parts", 3)
    with Library.open(album.library) as library:
        rest = at(album, "orange/3.png", "orange/4.png")
        parts = teach(library, STORED_ONLY, "Parts", rest, add=True)
    assert parts.found is not None
    assert whole.found is not None
    np.testing.assert_allclose(parts.found.weights, whole.found.weights, rtol=1e-4)
    assert parts.concept.name == "parts"


def test_an_example_can_become_a_counter_example(album: Album) -> None:
    learn(album)
    with Library.open(album.library) as library:
        changed = teach(
            library, STORED_ONLY, "peel", [], counter=at(album, "orange/0.png"), add=True
        )
    assert [photo.is_example for photo in changed.concept.photos] == [True, True, False]


def test_a_taken_name_is_not_overwritten_and_an_unknown_one_not_added_to(album: Album) -> None:
    learn(album)
    with pytest.raises(UsageError, match="was taught already"):
        learn(album, "PEEL")
    with Library.open(album.library) as library:
        with pytest.raises(UsageError, match="Did you mean @peel"):
            teach(library, STORED_ONLY, "peal", at(album, "orange/0.png"), add=True)
        with pytest.raises(UsageError, match="Did you mean @peel"):
            forget(library, "peal")


def test_few_photos_are_said(album: Album) -> None:
    (warning,) = learn(album, photos=1).warnings
    assert "1 of 3 to 20" in warning


def test_words_need_the_text_tower_only_when_they_are_given(album: Album) -> None:
    with Library.open(album.library) as library:
        paths = at(album, "orange/0.png", "orange/1.png", "orange/2.png")
        result = teach(library, TOWERS, "peel", paths, words="blue")
    plain = learn(album, "plain")
    assert result.found is not None
    assert plain.found is not None
    assert result.found.weights[2] > plain.found.weights[2]  # blue


def test_what_cannot_be_used(album: Album, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    broken = os.fsencode(tmp_path / "broken.png")
    with Library.open(album.library) as library:
        with pytest.raises(UsageError, match="cannot be an example"):
            teach(library, TOWERS, "peel", [broken])
        with pytest.raises(UsageError, match="there is no"):
            teach(library, TOWERS, "peel", [b"/nowhere/a.png"])
        with pytest.raises(UsageError, match="no photos of peel"):
            teach(library, TOWERS, "peel", [])
        (same,) = at(album, "orange/0.png")
        with pytest.raises(UsageError, match="as an example and as none"):
            teach(library, TOWERS, "peel", [same], counter=[same])
        assert taught(library) == []
        result = teach(library, TOWERS, "peel", [*at(album, "orange/0.png"), broken])
    assert [problem.path for problem in result.problems] == [broken]
    assert len(result.concept.photos) == 1


def test_a_library_without_photos_and_a_locked_one(album: Album, tmp_path: Path) -> None:
    with (
        Library.open(tmp_path / "empty", create=True) as library,
        pytest.raises(StorageError, match="no photos yet"),
    ):
        teach(library, TOWERS, "peel", at(album, "orange/0.png"))
    with writer_lock(album.library), pytest.raises(LockedError):
        learn(album)


def taught_meanwhile(album: Album, photo: str, *, add: bool) -> Towers:
    """Towers beside whose first encoding another process teaches the same name."""

    def image_tower() -> ImageEncoder:
        with Library.open(album.library) as library:
            teach(library, STORED_ONLY, "peel", at(album, photo), add=add)
        return FakeImageEncoder()

    return Towers(FAKE, no_text, image_tower)


def test_photos_added_by_two_at_once_are_all_kept(album: Album, tmp_path: Path) -> None:
    learn(album, photos=1)
    Image.new("RGB", (50, 50), ORANGE[3]).save(tmp_path / "new.png")
    towers = taught_meanwhile(album, "orange/1.png", add=True)
    with Library.open(album.library) as library:
        result = teach(library, towers, "peel", [os.fsencode(tmp_path / "new.png")], add=True)
        names = {os.path.basename(photo.path) for photo in taught(library)[0].photos}
    assert names == {b"0.png", b"1.png", b"new.png"}
    assert (len(result.concept.photos), result.encoded) == (3, 1)


def test_a_name_taken_while_photos_were_read_is_not_overwritten(
    album: Album, tmp_path: Path
) -> None:
    Image.new("RGB", (50, 50), ORANGE[3]).save(tmp_path / "new.png")
    towers = taught_meanwhile(album, "orange/1.png", add=False)
    with Library.open(album.library) as library:
        with pytest.raises(UsageError, match="was taught already"):
            teach(library, towers, "peel", [os.fsencode(tmp_path / "new.png")])
        (concept,) = taught(library)
    assert [os.path.basename(photo.path) for photo in concept.photos] == [b"1.png"]


OTHER = replace(FAKE, name="other", fingerprint="0" * 64)


def switch_model(library: Library, encoded: Callable[[bytes], bool]) -> Towers:
    """Let another model answer, which has encoded those photos whose path `encoded` accepts."""
    catalogue = library.catalogue
    before = catalogue.active_model_id()
    assert before is not None
    blocks = list(catalogue.embeddings(before))
    model_id = catalogue.register_model(OTHER)
    rows = catalogue.photos_of(np.concatenate([block.content_ids for block in blocks]))
    hashes = {rows[i][0].content_id: rows[i][0].content_hash for i in rows}
    with catalogue._db.transaction():
        some = {
            hashes[i]: vector[::-1]
            for block in blocks
            for i, vector in zip(block.content_ids.tolist(), block.vectors, strict=True)
            if encoded(rows[i][0].path)
        }
        ids = {h: i for i, h in hashes.items() if h in some}
        embedding_rows.write_embeddings(catalogue._db, model_id, some, ids)
    catalogue.activate_model(model_id)
    return Towers(OTHER, no_text, Backwards)


class Backwards(FakeImageEncoder):
    """The fake image tower with its components the other way round."""

    @property
    def info(self) -> ModelInfo:  # type: ignore[override]
        return OTHER

    def encode_image(self, pixels: np.ndarray) -> Floats:
        return super().encode_image(pixels)[:, ::-1].copy()


@pytest.fixture
def own_album(tmp_path: Path) -> Album:
    return make_album(tmp_path / "own")


def test_after_a_model_change_it_is_learned_again_from_the_same_photos(own_album: Album) -> None:
    before = learn(own_album)
    with Library.open(own_album.library) as library:
        towers = switch_model(library, lambda path: True)
        answer = search(library, towers, parse_query("@peel"), top_k=5)
        assert set(found(own_album, answer)) <= {f"orange/{i}.png" for i in range(5)}
        assert "learned again now" in answer.warnings[0]
        again = teach_again(library, towers, "peel")
        assert again.concept.photos == before.concept.photos
        answer = search(library, towers, parse_query("@peel"), top_k=5)
        assert not any("learned again" in warning for warning in answer.warnings)


def test_after_a_model_change_without_embeddings_it_says_what_to_do(own_album: Album) -> None:
    learn(own_album)
    with Library.open(own_album.library) as library:
        towers = switch_model(library, lambda path: b"other" in path)
        with pytest.raises(UsageError, match="clipsearch teach peel"):
            search(library, towers, parse_query("@peel +./x.png"))


def test_photos_gone_or_changed_are_left_out_when_learning_again(own_album: Album) -> None:
    learn(own_album, photos=4)
    own_album.add("orange/0.png", (0, 0, 255))
    (own_album.photos / "orange/1.png").unlink()
    with Library.open(own_album.library) as library:
        towers = switch_model(library, lambda path: b"other" in path)
        again = teach_again(library, towers, "peel")
        assert again.encoded == 3  # the changed one had to be read to know that it changed
        names = [os.path.basename(photo.path) for photo in again.concept.photos]
        assert names == [b"2.png", b"3.png"]
        assert "2 of its 4 photos are gone or changed" in again.warnings[0]


def test_folders_become_labels_to_classify_with(album: Album) -> None:
    with Library.open(album.library) as library:
        result = teach_labels(
            library, Towers(FAKE, FakeTextEncoder, no_tower), "colours", at(album, ".")
        )
        assert result.labels is not None
        assert result.labels.accuracy == 1.0
        labels = labels_from_text("@colours")
        classes = classes_of(library, TOWERS, labels, template_set("words"))
        assert [label.name for label in classes.labels] == ["orange", "other"]
        for one in classify_library(library, classes):
            assert one.labels[0].label == one.truth
        with pytest.raises(UsageError, match="set of labels"):
            search(library, STORED_ONLY, parse_query("@colours"))
        with pytest.raises(UsageError, match="set of labels"):
            teach(library, STORED_ONLY, "colours", at(album, "orange/0.png"), add=True)


def test_a_photo_below_two_labels_is_left_out(tmp_path: Path, album: Album) -> None:
    for folder in ("a", "b"):
        write_photo(tmp_path / "labels" / folder / "same.png", (9, 9, 9))
        write_photo(tmp_path / "labels" / folder / f"{folder}.png", (200, ord(folder), 0))
    with Library.open(album.library) as library:
        folders = [os.fsencode(tmp_path / "labels")]
        result = teach_labels(library, TOWERS, "two", folders)
        assert len(result.concept.photos) == 2
        assert "2 labels" not in result.warnings[0]
        assert "1 photos lie below two labels" in result.warnings[0]
        with pytest.raises(UsageError, match="fewer than two"):
            teach_labels(library, TOWERS, "one", [os.fsencode(tmp_path / "labels" / "a")])


def test_names_of_folders_that_are_no_text_reach_the_model_as_text(
    tmp_path: Path, album: Album
) -> None:
    class Strict(FakeTextEncoder):
        def encode_text(self, texts: Sequence[str]) -> Floats:
            assert "b?" in texts
            "".join(texts).encode()  # as tokenizers do
            return super().encode_text(texts)

    for i, name in enumerate((b"b\xfe", b"b\xff")):
        write_photo(tmp_path / "labels" / os.fsdecode(name) / "1.png", (200 * i, 9, 0))
    with Library.open(album.library) as library:
        towers = Towers(FAKE, Strict, FakeImageEncoder)
        result = teach_labels(library, towers, "bytes", [os.fsencode(tmp_path / "labels")])
        labels = {os.fsencode(photo.label) for photo in result.concept.photos}
        assert labels == {b"b\xfe", b"b\xff"}


def test_as_a_label_it_has_its_own_odds_beside_words(album: Album) -> None:
    learn(album, photos=5)
    with Library.open(album.library) as library:
        labels = labels_from_text("fruit=@peel,blue,green")
        classes = classes_of(library, TOWERS, labels, template_set("words"))
        results = list(classify_library(library, classes, Rule("best-or-none")))
        for one in results:
            is_orange = b"orange" in one.path
            assert ("fruit" in one.assigned) == is_orange, one
        with pytest.raises(UsageError, match="there is no concept @pel"):
            classes_of(library, TOWERS, labels_from_text("@pel"), template_set("words"))
        with pytest.raises(UsageError, match="twice"):
            classes_of(library, TOWERS, labels_from_text("@peel,peel"), template_set("words"))
        with pytest.raises(UsageError, match="library"):
            classes_of(None, TOWERS, labels, template_set("words"))


def test_words_the_model_never_saw_are_said(album: Album) -> None:
    with Library.open(album.library) as library:
        examples = at(album, *(f"orange/{i}.png" for i in range(3)))
        told = teach(library, TOWERS, "peel", examples, words="red zzxqwy")
        assert any('never shown "zzxqwy"' in warning for warning in told.warnings)
        known = teach(library, TOWERS, "rind", examples, words="red")
        assert not any("never shown" in warning for warning in known.warnings)


def test_a_set_of_labels_is_never_told_to_add_photos(album: Album) -> None:
    with Library.open(album.library) as library:
        teach_labels(library, TOWERS, "colours", at(album, "."))
        with pytest.raises(UsageError) as refused:
            teach_labels(library, TOWERS, "colours", at(album, "."))
    assert "--forget colours" in str(refused.value)
    assert "--add" not in str(refused.value)
