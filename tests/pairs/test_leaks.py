"""Photos on both sides of a split."""

from collections.abc import Sequence

import numpy as np
import pytest

from clipsearch.pairs import leaks
from clipsearch.pairs.leaks import Leak, leaks_between, near_duplicates, pairs_alike, same_content
from clipsearch.pairs.sources import NoSource
from clipsearch.types import CaptionedPhoto, Floats


def at(*degrees: float) -> Floats:
    """Unit rows in the plane."""
    angles = np.radians(np.array(degrees))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_the_same_content_on_both_sides() -> None:
    assert same_content([b"a", b"b", b"a"], [b"c", b"a"]) == [Leak(0, 1, 1.0), Leak(2, 1, 1.0)]


def test_near_duplicates_by_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "_BLOCK_ROWS", 2)
    found = near_duplicates(at(0, 90, 45), at(180, 46, 1), threshold=float(np.cos(np.radians(2))))
    assert [(leak.first, leak.second) for leak in found] == [(0, 2), (2, 1)]
    assert found[0].cosine == pytest.approx(np.cos(np.radians(1)))


def test_pairs_within_one_list_are_there_once_and_without_themselves() -> None:
    assert pairs_alike(at(0, 90, 1), threshold=0.999) == [(0, 2)]


def test_pairs_within_a_list_are_those_of_the_list_with_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("clipsearch.pairs.leaks._BLOCK_ROWS", 4)
    rows = at(*np.random.default_rng(0).integers(0, 360, 30).tolist())
    leaks = near_duplicates(rows, rows, 0.99)
    wanted = [(leak.first, leak.second) for leak in leaks if leak.first < leak.second]
    assert sorted(pairs_alike(rows, 0.99)) == sorted(wanted)
    assert len(wanted) > 5


def test_leaks_by_content_and_by_embedding_are_one_list() -> None:
    angles = {"a": 0.0, "b": 50.0, "c": 0.5, "d": 51.0}

    def embed(photos: Sequence[CaptionedPhoto]) -> Floats:
        return at(*(angles[photo.source.name] for photo in photos))

    def photos(names: str) -> list[CaptionedPhoto]:
        return [CaptionedPhoto(NoSource(name)) for name in names]

    found = leaks_between(photos("ab"), [b"1", b"2"], photos("cd"), [b"1", b"3"], embed, 0.999)
    assert [(leak.first, leak.second) for leak in found] == [(0, 0), (1, 1)]
    assert found[0].cosine == 1.0
    assert found[1].cosine < 1.0
