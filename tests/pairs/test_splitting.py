"""Splits: the same content on one side, the same split for the same data, every label in shares."""

import hashlib
import random
from itertools import pairwise

import pytest

from clipsearch.errors import UsageError
from clipsearch.pairs.sources import NoSource
from clipsearch.pairs.splitting import data_fingerprint, split
from clipsearch.types import CaptionedPhoto

SHARES = (0.8, 0.2)


def photo(name: object = "x", label: str | None = None, *captions: str) -> CaptionedPhoto:
    return CaptionedPhoto(NoSource(str(name)), captions, label)


def content(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def hashes(count: int) -> list[bytes]:
    return [content(i) for i in range(count)]


def test_parts_have_their_shares_and_every_photo_once() -> None:
    parts = split([photo()] * 700, hashes(700), SHARES, seed=0)
    assert [len(part) for part in parts] == [560, 140]
    assert sorted(parts[0] + parts[1]) == list(range(700))
    assert all(a < b for part in parts for a, b in pairwise(part))


@pytest.mark.parametrize("shares", [(8, 1, 1), (0.8, 0.1, 0.1)])
def test_shares_are_in_any_unit(shares: tuple[float, ...]) -> None:
    parts = split([photo()] * 100, hashes(100), shares, seed=0)
    assert [len(part) for part in parts] == [80, 10, 10]


def test_the_same_content_is_on_one_side_whatever_it_is_called() -> None:
    copies = [content(i % 50) for i in range(200)]
    parts = split([photo(i) for i in range(200)], copies, SHARES, seed=1)
    sides = [{copies[i] for i in part} for part in parts]
    assert not sides[0] & sides[1]
    assert [len(part) for part in parts] == [160, 40]


def test_the_order_and_the_names_make_no_difference() -> None:
    labels = [f"label {i % 3}" for i in range(90)]
    order = list(range(90))
    random.Random(0).shuffle(order)
    straight = split([photo(i, labels[i]) for i in range(90)], hashes(90), SHARES, 5)
    shuffled = split(
        [photo(f"other {i}", labels[i]) for i in order], [content(i) for i in order], SHARES, 5
    )
    assert [{order[i] for i in part} for part in shuffled] == [set(part) for part in straight]


def test_another_seed_gives_another_split() -> None:
    photos = [photo()] * 100
    assert split(photos, hashes(100), SHARES, 0) == split(photos, hashes(100), SHARES, 0)
    assert split(photos, hashes(100), SHARES, 0) != split(photos, hashes(100), SHARES, 1)


def test_every_label_is_spread_by_the_shares() -> None:
    photos = [photo(i, "rare" if i < 10 else "common") for i in range(200)]
    test = split(photos, hashes(200), SHARES, 3)[1]
    assert sum(i < 10 for i in test) == 2
    assert len(test) == 40


def test_near_duplicates_stay_together() -> None:
    alike = [(i, i + 1) for i in range(0, 100, 2)] + [(1, 2)]
    parts = split([photo()] * 100, hashes(100), SHARES, 0, alike)
    side = {i: k for k, part in enumerate(parts) for i in part}
    assert all(side[a] == side[b] for a, b in alike)
    assert len(parts[1]) == pytest.approx(20, abs=4)


def test_no_part_that_is_wanted_is_empty() -> None:
    assert [len(part) for part in split([photo()] * 3, hashes(3), (98, 1, 1), 0)] == [1, 1, 1]
    assert [len(part) for part in split([photo()] * 3, hashes(3), (1, 98, 1), 0)] == [1, 1, 1]
    assert [len(part) for part in split([photo()] * 3, hashes(3), (1, 0, 1), 0)] == [2, 0, 1]
    copies = [content(0)] * 9 + [content(1)]
    assert sorted(len(part) for part in split([photo()] * 10, copies, (1, 1), 0)) == [1, 9]


def test_too_few_different_photos() -> None:
    with pytest.raises(UsageError, match=r"^1 photo cannot be split into 2 parts"):
        split([photo()] * 5, [content(0)] * 5, SHARES, 0)
    with pytest.raises(UsageError, match=r"^2 different photos cannot be split into 3 parts"):
        split([photo()] * 2, hashes(2), (1, 1, 1), 0)


def test_the_fingerprint_is_of_contents_and_words_and_not_of_paths() -> None:
    def of(*photos: CaptionedPhoto) -> str:
        return data_fingerprint(photos, hashes(len(photos)))

    base = of(photo("a", None, "x", "y"), photo("b", "dog"))
    assert base == of(photo("moved/a", None, "x", "y"), photo("moved/b", "dog"))
    others = [
        of(photo("a", None, "xy"), photo("b", "dog")),
        of(photo("a", None, "y", "x"), photo("b", "dog")),
        of(photo("a", None, "x", "y"), photo("b", "cat")),
        of(photo("a", "", "x", "y"), photo("b", "dog")),
        of(photo("a", None, "x", "y")),
        data_fingerprint([photo("a", None, "x", "y"), photo("b", "dog")], hashes(3)[1:]),
    ]
    assert len({base, *others}) == len(others) + 1
