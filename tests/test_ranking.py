import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipsearch.errors import ClipsearchError, QueryError
from clipsearch.ranking import combine, ranks_of, sigmoid, softmax, top_k, top_k_rows, unit
from clipsearch.types import Floats

X, Y = [1.0, 0.0], [0.0, 1.0]


def floats(values: object) -> Floats:
    return np.array(values, np.float32)


def test_combine_weighs_and_normalises() -> None:
    mixed = combine(floats([X, Y]), floats([3, 4]))
    np.testing.assert_allclose(mixed, [0.6, 0.8], atol=1e-6)
    assert mixed.dtype == np.float32


def test_combine_subtracts_what_is_left_out() -> None:
    mixed = combine(floats([X, Y]), floats([1, -1]))
    np.testing.assert_allclose(mixed, [0.5**0.5, -(0.5**0.5)], atol=1e-6)


def test_only_the_proportion_of_weights_matters() -> None:
    some = combine(floats([X, Y]), floats([1, 2]))
    np.testing.assert_allclose(combine(floats([X, Y]), floats([50, 100])), some, atol=1e-6)
    np.testing.assert_allclose(combine(floats([X, Y]), floats([1e-4, 2e-4])), some, atol=1e-6)


def test_terms_that_cancel_are_refused() -> None:
    with pytest.raises(QueryError, match="cancel"):
        combine(floats([X, X]), floats([1, -1]))


@pytest.mark.row("G5")
def test_a_vector_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ClipsearchError, match="not finite"):
        combine(floats([X, [np.nan, 0]]), floats([1, 1]))
    with pytest.raises(ClipsearchError, match="direction"):
        unit(floats([[np.inf, 1]]))
    with pytest.raises(ClipsearchError, match="direction"):
        unit(floats([X, [0, 0]]))


def test_top_k_takes_the_highest_and_breaks_ties_by_key() -> None:
    scores = floats([0.5, 0.9, 0.5, 0.1, 0.5])
    assert top_k(scores, 3).tolist() == [1, 0, 2]
    assert top_k(scores, 3, np.array([9, 5, 8, 0, 7])).tolist() == [1, 4, 2]


@pytest.mark.row("G5")
def test_top_k_never_returns_nan_or_masked_scores() -> None:
    scores = floats([np.nan, 0.2, -np.inf, np.nan, 0.3])
    assert top_k(scores, 4).tolist() == [4, 1]
    assert top_k(scores, 1).tolist() == [4]
    assert top_k(floats([np.nan]), 1).tolist() == []


def test_top_k_of_nothing() -> None:
    assert top_k(floats([]), 3).tolist() == []
    assert top_k(floats([1, 2]), 0).tolist() == []


SCORES = st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0, float("nan")]), max_size=30)


@given(SCORES, st.integers(0, 12))
def test_top_k_equals_sorting_everything(values: list[float], k: int) -> None:
    keys = np.arange(len(values))[::-1].astype(np.int64)
    usable = [i for i, value in enumerate(values) if value == value]
    slow = sorted(usable, key=lambda i: (-values[i], keys[i]))[:k]
    assert top_k(floats(values), k, keys).tolist() == slow


@given(
    st.integers(1, 6).flatmap(
        lambda n: st.lists(
            st.lists(st.sampled_from([0.0, 0.25, 0.5]), min_size=n, max_size=n), min_size=1
        )
    ),
    st.integers(1, 7),
)
def test_top_k_rows_equals_top_k_of_each_row(rows: list[list[float]], k: int) -> None:
    scores = floats(rows)
    expected = [top_k(row, k).tolist() for row in scores]
    assert top_k_rows(scores, k).tolist() == expected


def test_rows_with_fewer_numbers_than_asked_for_repeat_no_column() -> None:
    nothing = -np.inf
    scores = floats([[nothing, 0.5, nothing, nothing], [0.1, 0.2, 0.3, 0.4]])
    assert top_k_rows(scores, 3).tolist() == [[1, 0, 2], [3, 2, 1]]


def test_ranks_count_ties_against() -> None:
    scores = floats([[0.1, 0.9, 0.5], [0.5, 0.5, 0.5]])
    assert ranks_of(scores, np.array([2, 0])).tolist() == [2, 3]


def test_softmax_is_a_distribution_however_large_the_logits() -> None:
    shares = softmax(floats([[0.0, np.log(3)], [1000, 1000]]))
    np.testing.assert_allclose(shares, [[0.25, 0.75], [0.5, 0.5]], atol=1e-6)


def test_sigmoid_does_not_overflow() -> None:
    values = sigmoid(floats([-1000, -np.log(3), 0, 1000]))
    np.testing.assert_allclose(values, [0, 0.25, 0.5, 1], atol=1e-6)
