"""Searching with the fake model, whose cosines can be computed by hand."""

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipsearch.encoders import Towers, load_towers
from clipsearch.encoders.fake import FAKE, FakeImageEncoder, FakeTextEncoder
from clipsearch.errors import ModelMismatchError, QueryError, StorageError, UsageError
from clipsearch.library import Library
from clipsearch.query import parse_query
from clipsearch.searching import SearchAnswer, query_vector, search
from clipsearch.storage import model_snapshot
from clipsearch.types import ImageEncoder
from tests.indexing.album import Album, vector_of
from tests.storage.small_library import add, photo, random_units

RED, BLUE, GREEN, BLACK = (255, 0, 0), (0, 0, 255), (0, 255, 0), (0, 0, 0)


def make_album(folder: Path) -> Album:
    made = Album(folder)
    made.add("red.png", RED)
    made.add("2023/blue.png", BLUE)
    made.add("2023/dark red.png", (128, 0, 0))
    made.add("2024/copy of red.png", RED)
    made.add("2024/green.png", GREEN)
    made.index()
    return made


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Album:
    """An indexed album that no test changes: indexing starts processes, which takes its time."""
    return make_album(tmp_path_factory.mktemp("album"))


@pytest.fixture
def own_album(tmp_path: Path) -> Album:
    """An indexed album of the test's own."""
    return make_album(tmp_path / "album")


def no_image_tower() -> ImageEncoder:
    raise AssertionError("the image tower was opened")


def ask(
    album: Album,
    typed: str,
    *,
    top_k: int = 20,
    min_score: float | None = None,
    towers: Towers | None = None,
) -> SearchAnswer:
    towers = towers or Towers(FAKE, FakeTextEncoder, no_image_tower)
    with Library.open(album.library) as library:
        return search(library, towers, parse_query(typed), top_k=top_k, min_score=min_score)


def names(album: Album, answer: SearchAnswer) -> list[str]:
    return [os.path.relpath(os.fsdecode(found.path), album.photos) for found in answer.results]


def test_words_find_every_path_best_first_and_equals_by_path(album: Album) -> None:
    answer = ask(album, "red")
    assert names(album, answer)[:3] == ["2024/copy of red.png", "red.png", "2023/dark red.png"]
    assert [found.rank for found in answer.results] == [1, 2, 3, 4, 5]
    dark = float(vector_of((128, 0, 0))[0])
    scores = [found.score for found in answer.results]
    assert scores == pytest.approx([1, 1, dark, 0, 0], abs=2e-3)
    best = answer.results[0]
    assert (best.facts.format, best.facts.width) == ("PNG", 40)
    assert os.path.isabs(best.path)
    assert len(best.content_hash) == 32


def test_words_are_embedded_as_they_were_typed(album: Album) -> None:
    # The fake gives texts without a colour a vector of their own: any rewording shows.
    text = "xyzzy of the north"
    expected = float(FakeTextEncoder().encode_text([text])[0] @ vector_of(GREEN))
    answer = ask(album, text)
    scores = dict(zip(names(album, answer), (r.score for r in answer.results), strict=True))
    assert scores["2024/green.png"] == pytest.approx(expected, abs=2e-3)


def test_k_counts_paths_not_contents(album: Album) -> None:
    assert names(album, ask(album, "red", top_k=1)) == ["2024/copy of red.png"]
    assert len(ask(album, "red", top_k=2).results) == 2


def test_equal_scores_at_the_edge_are_decided_by_path(tmp_path: Path) -> None:
    # Different contents with the same vector, stored in the opposite order of their paths.
    album = Album(tmp_path)
    for size, name in enumerate("dcba", start=40):
        Image.new("RGB", (size, size), RED).save(album.photos / f"{name}.png")
        album.index()
    for k in (1, 3, 4):
        assert names(album, ask(album, "red", top_k=k)) == [f"{c}.png" for c in "abcd"[:k]]


def test_terms_are_weighted_and_scores_stay_cosines(album: Album) -> None:
    answer = ask(album, "red^3 +blue^4", top_k=1)
    assert names(album, answer) == ["2023/blue.png"]
    assert answer.results[0].score == pytest.approx(0.8, abs=2e-3)


def test_leaving_out_subtracts(album: Album) -> None:
    answer = ask(album, "green -red^1")
    assert names(album, answer)[0] == "2024/green.png"
    assert answer.results[0].score == pytest.approx(0.5**0.5, abs=2e-3)
    assert answer.results[-1].score == pytest.approx(-(0.5**0.5), abs=2e-3)


def test_terms_that_cancel_are_a_query_error(album: Album) -> None:
    with pytest.raises(QueryError, match="cancel"):
        ask(album, "red -red^1")


def test_filters_restrict_paths_of_the_same_content_too(album: Album) -> None:
    assert names(album, ask(album, "red in:2024", top_k=1)) == ["2024/copy of red.png"]
    assert names(album, ask(album, "red -in:2024", top_k=1)) == ["red.png"]
    assert ask(album, "red in:nowhere").results == ()


def test_folders_can_be_given_from_here(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(album.photos / "2023")
    assert names(album, ask(album, "red in:../2024", top_k=1)) == ["2024/copy of red.png"]
    assert len(ask(album, "red in:.").results) == 2
    monkeypatch.setenv("HOME", str(album.photos))
    assert len(ask(album, "red in:~/2024").results) == 2


def test_min_score_leaves_out_what_scores_below(album: Album) -> None:
    assert len(ask(album, "red", min_score=0.5).results) == 3
    assert ask(album, "red", min_score=1.01).results == ()


def test_a_score_that_is_no_number_is_refused(album: Album) -> None:
    for typed in ("red", "in:2023"):
        with pytest.raises(UsageError, match="nan is no score"):
            ask(album, typed, min_score=float("nan"))


def test_only_filters_list_newest_first_and_undated_last(own_album: Album) -> None:
    for name, taken in [("a", "2023:05:01 10:00:00"), ("b", "2024:05:01 10:00:00")]:
        photo = Image.new("RGB", (40, 40), BLACK)
        exif = Image.Exif()
        exif[306] = taken
        photo.save(own_album.photos / "2023" / f"{name}.jpg", exif=exif)
    own_album.index()
    answer = ask(own_album, "in:2023")
    assert [Path(name).name for name in names(own_album, answer)] == [
        "b.jpg",
        "a.jpg",
        "blue.png",
        "dark red.png",
    ]
    assert answer.results[0].facts.taken_at == datetime(2024, 5, 1, 10)
    assert {found.score for found in answer.results} == {None}
    assert len(ask(own_album, "in:2023", top_k=2).results) == 2
    assert [Path(n).name for n in names(own_album, ask(own_album, "red after:2024"))] == ["b.jpg"]


def test_an_indexed_example_is_not_read_again(album: Album) -> None:
    # The image tower may not be opened (see `ask`).
    answer = ask(album, f"{album.photos}/2023/blue.png", top_k=1)
    assert names(album, answer) == ["2023/blue.png"]
    assert answer.warnings == ()


def test_an_indexed_example_on_a_disk_plugged_in_again_is_not_read_again(own_album: Album) -> None:
    own_album.plug_in_again()
    answer = ask(own_album, f"{own_album.photos}/2023/blue.png", top_k=1)
    assert names(own_album, answer) == ["2023/blue.png"]


def test_an_indexed_example_that_is_out_of_reach_still_counts(own_album: Album) -> None:
    (own_album.photos / "2023" / "blue.png").unlink()
    assert names(own_album, ask(own_album, f"{own_album.photos}/2023/blue.png", top_k=1)) == [
        "2023/blue.png"
    ]


def test_an_example_in_several_places_is_said(album: Album) -> None:
    (warning,) = ask(album, f"{album.photos}/red.png").warnings
    assert "2 times" in warning


def test_examples_that_are_not_indexed_are_encoded(album: Album, tmp_path: Path) -> None:
    towers = load_towers(FAKE, tmp_path)
    Image.new("RGB", (50, 20), GREEN).save(tmp_path / "other.jpg")
    answer = ask(album, f"{tmp_path}/other.jpg", towers=towers, top_k=1)
    assert names(album, answer) == ["2024/green.png"]
    (tmp_path / "link.jpg").symlink_to(tmp_path / "other.jpg")
    answer = ask(album, f"{tmp_path}/link.jpg", towers=towers, top_k=1)
    assert names(album, answer) == ["2024/green.png"]


def test_a_changed_example_is_encoded_again(own_album: Album, tmp_path: Path) -> None:
    own_album.add("red.png", GREEN)
    answer = ask(
        own_album, f"{own_album.photos}/red.png", towers=load_towers(FAKE, tmp_path), top_k=1
    )
    assert names(own_album, answer) == ["2024/green.png"]


def test_each_example_keeps_its_own_vector(album: Album, tmp_path: Path) -> None:
    colours = {"a": RED, "b": BLUE, "c": GREEN}
    for name, colour in colours.items():
        Image.new("RGB", (30, 30), colour).save(tmp_path / f"{name}.png")
    typed = " ".join(
        f"+{tmp_path}/{name}.png^{weight}" for name, weight in zip("abc", "123", strict=True)
    )
    with Library.open(album.library) as library:
        query = parse_query(f"{typed} +{album.photos}/2023/blue.png^2 +black")
        vector = query_vector(library, load_towers(FAKE, tmp_path), query.terms).vector
    expected = np.array([1, 3, 4, 1], np.float32)
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=2e-3)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("{}/none.jpg", "there is no photo"),
        ("{}/note.txt", "cannot be an example"),
        ("{}/broken.jpg", "cannot be an example"),
        ("{}", "is a folder"),
    ],
)
def test_what_is_no_photo_is_refused(
    album: Album, tmp_path: Path, typed: str, message: str
) -> None:
    (tmp_path / "note.txt").write_text("a dog")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    with pytest.raises(QueryError, match=re.escape(message)):
        ask(album, typed.format(tmp_path), towers=load_towers(FAKE, tmp_path))


def test_unknown_words_and_cut_texts_are_said(album: Album) -> None:
    (unknown,) = ask(album, "red zebra").warnings
    assert '"zebra"' in unknown
    (cut,) = ask(album, "red " * 17).warnings
    assert "only the beginning" in cut


@pytest.mark.row("G4")
def test_another_models_towers_are_refused(album: Album) -> None:
    other = replace(FAKE, name="other", fingerprint="0" * 64)
    with pytest.raises(ModelMismatchError, match="made with fake"):
        ask(album, "red", towers=Towers(other, FakeTextEncoder, FakeImageEncoder))


def test_a_library_without_photos(tmp_path: Path) -> None:
    towers = load_towers(FAKE, tmp_path)
    with (
        Library.open(tmp_path / "library", create=True) as library,
        pytest.raises(StorageError, match="no photos yet"),
    ):
        search(library, towers, parse_query("red"))


def test_zero_results_cannot_be_asked_for(album: Album) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        ask(album, "red", top_k=0)


# Folders that hold so many of 3,000 photos, and one that holds those farthest from red.
SHARES = {"every": 1, "half": 2, "tenth": 10, "hundredth": 100}


@pytest.fixture(scope="module")
def large_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of 3,000 photos with a snapshot, and with equal scores among it."""
    directory = tmp_path_factory.mktemp("large")
    with Library.open(directory, create=True) as library:
        catalogue = library.catalogue
        catalogue.activate_model(catalogue.register_model(FAKE))
        root = catalogue.add_root(b"/photos", 1, 2)
        rows = random_units(np.random.default_rng(1), 3000)
        rows[200:300] = rows[0]
        photos = []
        for i, row in enumerate(rows):
            shares = "/".join(name for name, share in SHARES.items() if i % share == 0)
            # Names go down as ids go up: where scores are equal the last ids come first.
            folder = "far" if row[0] < -0.9 else shares
            photos.append(photo(root, f"{folder}/{9999 - i}.jpg", str(i)))
        add(catalogue, photos, {str(i): row for i, row in enumerate(rows)}, model=FAKE)
        library.rebuild_snapshot()
    return directory


@pytest.fixture
def large(large_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    """That library, whose snapshot is used."""
    monkeypatch.setattr(model_snapshot, "WITHOUT_SNAPSHOT", 0)
    with Library.open(large_directory) as library:
        yield library


@pytest.mark.parametrize("folder", [*SHARES, "far", "nowhere"])
@pytest.mark.parametrize("top_k", [1, 5, 50])
def test_a_filter_finds_the_beginning_of_the_full_ranking_filtered(
    large: Library, folder: str, top_k: int
) -> None:
    towers = Towers(FAKE, FakeTextEncoder, no_image_tower)
    ranking = search(large, towers, parse_query("red -blue^0.3"), top_k=3000).results
    assert len(ranking) == 3000
    expected = [r for r in ranking if f"/{folder}/".encode() in r.path][:top_k]
    # Asked again, a filter answers from what it was asked before.
    for _ in range(3):
        asked = parse_query(f"red -blue^0.3 in:{folder}")
        found = search(large, towers, asked, top_k=top_k).results
        assert [r.path for r in found] == [r.path for r in expected]
        assert [r.score for r in found] == [r.score for r in expected]


def test_equal_scores_at_the_edge_of_what_a_filter_looks_at_go_by_path(large: Library) -> None:
    """Copies of photo 0 are more than are looked at for one photo before the filter is asked."""
    towers = Towers(FAKE, FakeTextEncoder, no_image_tower)
    row = large.vectors_of(np.array([1], np.int64))[0]
    same = replace(towers.info, name="same")
    text = type("Same", (FakeTextEncoder,), {"encode_text": lambda self, texts: row[None]})()
    there = Towers(same, lambda: text, no_image_tower)
    found = search(large, there, parse_query("x in:every"), top_k=3).results
    copies = sorted(
        path
        for rows in large.catalogue.photos_of(np.array([1, *range(201, 301)])).values()
        for path in [each.path for each in rows]
        if b"/every/" in path
    )
    assert [each.path for each in found] == copies[:3]


def test_stages_of_a_search_are_told_in_order(large: Library) -> None:
    towers = Towers(FAKE, FakeTextEncoder, no_image_tower)
    told: list[str] = []
    search(large, towers, parse_query("red in:hundredth"), lap=told.append)
    assert told == [
        "text tower open", "text tower run", "snapshot open", "nearest vectors", "filters",
        "snapshot open", "nearest vectors", "photo rows",
    ]  # fmt: skip
