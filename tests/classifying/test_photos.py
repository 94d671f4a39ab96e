"""Which photos are classified, and where their vectors come from; with the fake model."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipsearch.classifying import (
    Classes,
    PhotoLabels,
    classify_library,
    classify_paths,
    embed_labels,
    indexed_folders,
    photo_folders,
)
from clipsearch.encoders import load_towers
from clipsearch.encoders.fake import FAKE, FakeImageEncoder
from clipsearch.errors import ModelMismatchError, StorageError, UsageError
from clipsearch.labels import labels_from_text
from clipsearch.library import Library
from clipsearch.prompts import template_set
from clipsearch.types import Floats, ImageEncoder, PhotoFilter, PhotoProblem, Pixels
from tests.indexing.album import Album

RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 255, 0)
Found = dict[str, str]


def make_album(folder: Path) -> Album:
    made = Album(folder)
    made.add("red/a.png", RED)
    made.add("blue/b.png", BLUE)
    made.add("blue/copy.png", BLUE)
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


@pytest.fixture
def classes(tmp_path: Path) -> Classes:
    return embed_labels(
        load_towers(FAKE, tmp_path), labels_from_text("red,blue,green"), template_set("words")
    )


class Asked:
    """Gives the fake image tower and remembers for how many photos."""

    def __init__(self) -> None:
        self.photos: list[int] = []

    def __call__(self, photos: int) -> ImageEncoder:
        self.photos.append(photos)
        return FakeImageEncoder()


def best(album: Album, results: Sequence[PhotoLabels | PhotoProblem]) -> Found:
    """Each path (relative to the album) with its best label, or the kind of its problem."""
    return {
        os.path.relpath(os.fsdecode(found.path), album.photos): (
            found.labels[0].label if isinstance(found, PhotoLabels) else found.kind
        )
        for found in results
    }


def at(*paths: Path) -> list[bytes]:
    return [os.fsencode(path) for path in paths]


def test_every_indexed_path_is_classified(album: Album, classes: Classes) -> None:
    with Library.open(album.library) as library:
        results = list(classify_library(library, classes))
    assert best(album, results) == {
        "red/a.png": "red",
        "blue/b.png": "blue",
        "blue/copy.png": "blue",
    }
    assert {found.truth for found in results} == {"red", "blue"}
    assert {found.truth_rank for found in results} == {1}


def test_a_filter_applies_to_paths(album: Album, classes: Classes) -> None:
    wanted = PhotoFilter(folders=("blue",))
    with Library.open(album.library) as library:
        results = list(classify_library(library, classes, wanted=wanted))
    assert best(album, results).keys() == {"blue/b.png", "blue/copy.png"}


def test_missing_photos_are_not_classified(own_album: Album, classes: Classes) -> None:
    (own_album.photos / "blue" / "copy.png").unlink()
    own_album.index()
    with Library.open(own_album.library) as library:
        results = list(classify_library(library, classes))
    assert best(own_album, results).keys() == {"red/a.png", "blue/b.png"}


def test_a_library_of_another_model_or_without_photos(own_album: Album, classes: Classes) -> None:
    other = replace(classes, model=replace(FAKE, name="other", fingerprint="0" * 64))
    with Library.open(own_album.library) as library, pytest.raises(ModelMismatchError):
        next(classify_library(library, other))
    with (
        Library.open(own_album.library / "new", create=True) as library,
        pytest.raises(StorageError, match="no photos yet"),
    ):
        next(classify_library(library, classes))


def test_unchanged_indexed_photos_are_not_read(album: Album, classes: Classes) -> None:
    asked = Asked()
    with Library.open(album.library) as library:
        results = list(classify_paths(at(album.photos), classes, asked, library=library))
    assert best(album, results) == {
        "red/a.png": "red",
        "blue/b.png": "blue",
        "blue/copy.png": "blue",
    }
    assert asked.photos == []


def test_photos_on_a_disk_plugged_in_again_are_not_read(own_album: Album, classes: Classes) -> None:
    own_album.plug_in_again()
    asked = Asked()
    with Library.open(own_album.library) as library:
        results = list(classify_paths(at(own_album.photos), classes, asked, library=library))
    assert len(results) == 3
    assert asked.photos == []


def test_changed_and_new_photos_are_encoded(own_album: Album, classes: Classes) -> None:
    own_album.add("red/a.png", GREEN)
    own_album.add("new.png", RED)
    asked = Asked()
    with Library.open(own_album.library) as library:
        results = list(classify_paths(at(own_album.photos), classes, asked, library=library))
    assert best(own_album, results) == {
        "red/a.png": "green",
        "new.png": "red",
        "blue/b.png": "blue",
        "blue/copy.png": "blue",
    }
    assert asked.photos == [2]


def test_photos_without_a_library(album: Album, classes: Classes) -> None:
    asked = Asked()
    results = list(classify_paths(at(album.photos / "red" / "a.png"), classes, asked))
    assert best(album, results) == {"red/a.png": "red"}
    assert asked.photos == [1]


def test_a_library_of_another_model_is_not_used(album: Album, classes: Classes) -> None:
    other = replace(classes, model=replace(FAKE, fingerprint="0" * 64))
    asked = Asked()
    with Library.open(album.library) as library:
        results = list(classify_paths(at(album.photos), other, asked, library=library))
    assert len(results) == 3
    assert asked.photos == [3]


def test_many_photos_keep_their_own_vectors(tmp_path: Path, classes: Classes) -> None:
    album = Album(tmp_path / "many")
    colours = {"red": RED, "blue": BLUE, "green": GREEN}
    expected: Found = {}
    for i in range(70):  # more than two batches, with a broken file in each
        name = list(colours)[i % 3]
        album.add(f"{i:02}.png", colours[name])
        expected[f"{i:02}.png"] = name
        if i % 20 == 5:
            (album.photos / f"{i:02}.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
            expected[f"{i:02}.png"] = "damaged"
    results = list(classify_paths(at(album.photos), classes, Asked()))
    assert best(album, results) == expected
    assert len(results) == len(expected)  # each once


def test_what_is_no_photo_is_told_only_when_named(own_album: Album, classes: Classes) -> None:
    note = own_album.photos / "note.txt"
    note.write_text("hello")
    found = best(own_album, list(classify_paths(at(own_album.photos), classes, Asked())))
    assert "note.txt" not in found
    found = best(own_album, list(classify_paths(at(note), classes, Asked())))
    assert found == {"note.txt": "not-photo"}


def test_overlapping_targets_give_each_photo_once(album: Album, classes: Classes) -> None:
    targets = at(album.photos, album.photos / "red", album.photos / "red" / "a.png")
    results = list(classify_paths(targets, classes, Asked()))
    assert len(results) == 3


def test_links_that_are_named_are_followed(own_album: Album, classes: Classes) -> None:
    link = own_album.photos.parent / "link"
    link.symlink_to(own_album.photos / "red")
    assert best(own_album, list(classify_paths(at(link), classes, Asked()))) == {"red/a.png": "red"}


def test_a_missing_target_is_refused_at_once(album: Album, classes: Classes) -> None:
    with pytest.raises(UsageError, match="there is no"):
        classify_paths(at(album.photos, album.photos / "none"), classes, Asked())


class BlindEncoder(FakeImageEncoder):
    """Gives no vector for blue photos."""

    def encode_image(self, pixels: Pixels) -> Floats:
        rows = super().encode_image(pixels)
        rows[rows[:, 2] > 0.5] = np.nan
        return rows


def test_a_photo_without_a_usable_embedding_costs_only_itself(
    album: Album, classes: Classes
) -> None:
    results = list(classify_paths(at(album.photos), classes, lambda photos: BlindEncoder()))
    assert best(album, results) == {
        "red/a.png": "red",
        "blue/b.png": "refused",
        "blue/copy.png": "refused",
    }


def test_folders_that_hold_photos(own_album: Album) -> None:
    (own_album.photos / "empty").mkdir()
    (own_album.photos / "texts").mkdir()
    (own_album.photos / "texts" / "a.txt").write_text("hello")
    Image.new("RGB", (8, 8)).save(own_album.photos / "top.jpg")
    expected = set(at(own_album.photos / "red", own_album.photos / "blue"))
    with Library.open(own_album.library) as library:
        assert indexed_folders(library) == expected
    assert photo_folders(at(own_album.photos)) == {*expected, os.fsencode(own_album.photos)}
