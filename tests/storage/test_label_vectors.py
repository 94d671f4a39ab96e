"""Kept label sets: what comes back is what was kept for exactly these sentences, or nothing."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from clipsearch.storage import label_vectors
from clipsearch.storage.label_vectors import FOLDER, LabelVectors
from clipsearch.types import Floats

MODEL, OTHER = "a" * 64, "b" * 64
SENTENCES = [["a photo of a cat", "a cat"], ["a photo of a dog", "a dog"]]
ROWS: Floats = np.arange(8, dtype=np.float32).reshape(2, 4) / np.float32(7)


@pytest.fixture
def kept(tmp_path: Path) -> LabelVectors:
    vectors = LabelVectors(tmp_path)
    vectors.keep(MODEL, SENTENCES, ROWS)
    return vectors


def the_file(library: Path) -> Path:
    (path,) = (library / FOLDER).iterdir()
    return path


def test_what_was_kept_comes_back_to_the_bit(kept: LabelVectors) -> None:
    found = kept.load(MODEL, SENTENCES, 4)
    assert found is not None
    assert np.array_equal(found, ROWS)
    assert found.dtype == np.float32
    found[0] = 0  # it may be written to


@pytest.mark.parametrize(
    ("fingerprint", "sentences", "dim"),
    [
        (OTHER, SENTENCES, 4),
        (MODEL, SENTENCES[::-1], 4),
        (MODEL, [["a photo of a cat"], ["a cat", "a photo of a dog", "a dog"]], 4),
        (MODEL, SENTENCES[:1], 4),
        (MODEL, SENTENCES, 8),
    ],
)
def test_nothing_else_is_found(
    kept: LabelVectors, fingerprint: str, sentences: list[list[str]], dim: int
) -> None:
    assert kept.load(fingerprint, sentences, dim) is None


def test_another_models_rows_under_this_ones_name_are_not_used(
    kept: LabelVectors, tmp_path: Path
) -> None:
    mine = the_file(tmp_path)
    name = mine.name
    mine.unlink()
    kept.keep(OTHER, SENTENCES, ROWS)
    the_file(tmp_path).rename(tmp_path / FOLDER / name)
    assert kept.load(MODEL, SENTENCES, 4) is None


@pytest.mark.parametrize("at", [0, 31, 32, 63])
def test_a_flipped_bit_is_no_label(kept: LabelVectors, tmp_path: Path, at: int) -> None:
    content = bytearray(the_file(tmp_path).read_bytes())
    content[at] ^= 1
    the_file(tmp_path).write_bytes(content)
    assert kept.load(MODEL, SENTENCES, 4) is None
    kept.keep(MODEL, SENTENCES, ROWS)
    assert kept.load(MODEL, SENTENCES, 4) is not None


@pytest.mark.parametrize("size", [0, 10, 32, 60])
def test_a_cut_file_is_no_label(kept: LabelVectors, tmp_path: Path, size: int) -> None:
    os.truncate(the_file(tmp_path), size)
    assert kept.load(MODEL, SENTENCES, 4) is None


def test_the_set_that_was_not_used_longest_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_vectors, "MOST_BYTES", 200)  # three sets of 64 bytes
    vectors = LabelVectors(tmp_path)
    sets = [[[name], [name]] for name in "abcd"]
    for age, each in enumerate(sets[:3]):
        vectors.keep(MODEL, each, ROWS)
        newest = max((tmp_path / FOLDER).iterdir(), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (1000 - age, 1000 - age))
    assert vectors.load(MODEL, sets[2], 4) is not None  # used just now, though the oldest
    vectors.keep(MODEL, sets[3], ROWS)
    found = [vectors.load(MODEL, each, 4) is not None for each in sets]
    assert found == [True, False, True, True]
    vectors.keep(MODEL, [[str(i)] for i in range(100)], np.ones((100, 4), np.float32))
    assert [vectors.load(MODEL, each, 4) is not None for each in sets] == found


def test_many_writers_leave_one_whole_file(tmp_path: Path) -> None:
    vectors = LabelVectors(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: vectors.keep(MODEL, SENTENCES, ROWS), range(40)))
    assert the_file(tmp_path).stat().st_mode & 0o077 == 0
    assert vectors.load(MODEL, SENTENCES, 4) is not None


def test_a_library_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("not a folder")
    vectors = LabelVectors(tmp_path)
    vectors.keep(MODEL, SENTENCES, ROWS)
    assert vectors.load(MODEL, SENTENCES, 4) is None
