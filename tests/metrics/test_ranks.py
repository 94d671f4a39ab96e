import numpy as np
import pytest

from clipsearch.metrics import (
    mean_estimate,
    mean_recall_of_both,
    median_estimate,
    recall_of_both,
    retrieval,
    retrieval_ranks,
)
from clipsearch.metrics import ranks as ranks_module
from clipsearch.types import Floats, Ids

# Two photos along the axes, one between them; angles in degrees make scores easy to see.
PHOTOS = (0, 90, 45)


def directions(*degrees: float) -> Floats:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def ids(*numbers: int) -> Ids:
    return np.array(numbers, np.int64)


def slow_ranks(image: Floats, text: Floats, owner: Ids) -> tuple[list[int], list[int]]:
    """The definitions, word by word, one score at a time."""
    scores = image @ text.T
    of_caption = [
        1 + sum(p != owner[c] and scores[p, c] >= scores[owner[c], c] for p in range(len(image)))
        for c in range(len(text))
    ]
    of_photo = []
    for photo in sorted(set(owner.tolist())):
        best = max(scores[photo, c] for c in range(len(text)) if owner[c] == photo)
        others = [scores[photo, c] for c in range(len(text)) if owner[c] != photo]
        of_photo.append(1 + sum(score >= best for score in others))
    return of_photo, of_caption


def test_ranks_typed_by_hand() -> None:
    # Captions at 10 and 80 degrees of photo 0, at 85 of photo 1; photo 2 has none.
    ranks = retrieval_ranks(directions(*PHOTOS), directions(10, 80, 85), ids(0, 0, 1))
    # From 10 the photos are 10, 80 and 35 away, from 80 its own is the farthest, from 85 the next.
    assert ranks.of_caption.tolist() == [1, 3, 1]
    assert ranks.photos.tolist() == [0, 1]
    # The photo at 0 has its own caption at 10 first: the one at 80 does not spoil it.
    assert ranks.of_photo.tolist() == [1, 1]


def test_the_best_of_several_captions_counts() -> None:
    # Photo 0's own captions are 80 and 20 away; another's stands 10 away, before both.
    ranks = retrieval_ranks(directions(0, 60), directions(80, 20, 10), ids(0, 0, 1))
    # The photo at 60 is 50 away from its own caption, and 20 and 40 from the others.
    assert ranks.of_photo.tolist() == [2, 3]


def test_ties_count_against_the_right_answer() -> None:
    same = directions(30, 30, 30)
    ranks = retrieval_ranks(same, same, ids(0, 1, 2))
    assert ranks.of_caption.tolist() == [3, 3, 3]
    assert ranks.of_photo.tolist() == [3, 3, 3]


def test_nan_earns_nothing() -> None:
    image, text = directions(0, 90), directions(0, 90)
    broken = np.full_like(image, np.nan)
    assert retrieval_ranks(broken, text, ids(0, 1)).of_caption.tolist() == [2, 2]
    assert retrieval_ranks(broken, text, ids(0, 1)).of_photo.tolist() == [2, 2]
    text[0] = np.nan  # one caption: nothing is known to stand behind it
    ranks = retrieval_ranks(image, text, ids(0, 1))
    assert ranks.of_caption.tolist() == [2, 1]
    assert ranks.of_photo.tolist() == [2, 2]


@pytest.mark.parametrize("most_scores", [1, 7, 4_000_000])
def test_blocks_equal_the_definitions(most_scores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks_module, "_MOST_SCORES", most_scores)
    rng = np.random.default_rng(1)
    # Whole numbers: every product is exact, and there are many ties.
    image = rng.integers(-2, 3, (40, 3)).astype(np.float32)
    text = rng.integers(-2, 3, (90, 3)).astype(np.float32)
    owner = rng.integers(0, 40, 90)
    of_photo, of_caption = slow_ranks(image, text, owner)
    ranks = retrieval_ranks(image, text, owner)
    assert ranks.of_photo.tolist() == of_photo
    assert ranks.of_caption.tolist() == of_caption


def test_figures_typed_by_hand() -> None:
    # Ranks of captions: 1, 3, 1 (above); of photos: 1, 1.
    found = retrieval(directions(*PHOTOS), directions(10, 80, 85), ids(0, 0, 1))
    assert (found.to_photo.queries, found.to_text.queries) == (3, 2)
    assert found.to_photo.recall_at[1].value == pytest.approx(2 / 3)
    assert found.to_photo.recall_at[5].value == 1
    assert found.to_photo.median_rank.value == 1
    assert found.to_photo.mean_reciprocal_rank.value == pytest.approx((1 + 1 / 3 + 1) / 3)
    assert found.to_text.recall_at[1].value == 1


def test_intervals_draw_a_photo_with_all_of_its_captions() -> None:
    rng = np.random.default_rng(6)
    image, text = rng.standard_normal((20, 4)), rng.standard_normal((60, 4))
    owner = np.repeat(np.arange(20), 3)
    ranks = retrieval_ranks(image.astype(np.float32), text.astype(np.float32), owner)
    found = retrieval(image.astype(np.float32), text.astype(np.float32), owner)
    assert found.to_photo.recall_at[5] == mean_estimate(ranks.of_caption <= 5, owner)
    assert found.to_text.median_rank == median_estimate(ranks.of_photo, np.arange(20))


def test_recall_of_both_weighs_photos_alike() -> None:
    ranks = retrieval_ranks(directions(*PHOTOS), directions(10, 80, 85), ids(0, 0, 1))
    # Photo 0 is found by one of its two captions: (1 + 1/2) / 2.
    assert recall_of_both(ranks, 1).tolist() == [0.75, 1.0]
    assert recall_of_both(ranks, 3).tolist() == [1.0, 1.0]
    assert mean_recall_of_both(ranks).tolist() == pytest.approx([(0.75 + 1 + 1) / 3, 1.0])


@pytest.mark.parametrize(
    ("image", "text", "owner"),
    [
        (directions(0), directions(0), ids(1)),
        (directions(0), directions(0), ids(-1)),
        (directions(0), directions(0), ids(0, 0)),
        (directions(0), np.zeros((1, 3), np.float32), ids(0)),
    ],
    ids=["no such photo", "negative", "too many owners", "another length"],
)
def test_what_does_not_fit_is_refused(image: Floats, text: Floats, owner: Ids) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        retrieval_ranks(image, text, owner)
