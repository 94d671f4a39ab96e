import numpy as np
import pytest

from clipsearch.storage.exact import scores_of, top_k
from tests.storage.small_library import random_units


@pytest.mark.parametrize("k", [1, 3, 40, 41, 100])
def test_top_k_is_the_beginning_of_the_fully_sorted_list(k: int) -> None:
    rng = np.random.default_rng(2)
    rows = random_units(rng, 40)
    # Equal vectors under several ids: their order must come from the ids.
    rows[5] = rows[17] = rows[30]
    ids = rng.permutation(1000)[:40].astype(np.int64)
    query = rows[5]
    everything = sorted(zip(-scores_of(rows, query), ids, strict=True))
    found, scores = top_k(ids, rows, query, k)
    assert found.tolist() == [i for _, i in everything[:k]]
    assert scores.tolist() == [-s for s, _ in everything[:k]]


def test_a_score_does_not_depend_on_the_rows_around_it() -> None:
    rng = np.random.default_rng(3)
    rows, query = random_units(rng, 300, 512), random_units(rng, 1, 512)[0]
    together = scores_of(rows, query)
    alone = np.concatenate([scores_of(rows[i : i + 1], query) for i in range(300)])
    assert np.array_equal(together, alone)


def test_equal_rows_at_the_limit_are_all_considered() -> None:
    rows = np.repeat(random_units(np.random.default_rng(4), 1, 64), 50, axis=0)
    ids = np.arange(50, 0, -1, dtype=np.int64)
    found, _ = top_k(ids, rows, rows[0], 5)
    assert found.tolist() == [1, 2, 3, 4, 5]
