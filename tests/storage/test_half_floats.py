import numpy as np

from clipsearch.storage.half_floats import (
    faulty_rows,
    pack,
    rows_and_norms,
    unit_rows,
    unpack,
    vector_fault,
    widen,
)
from tests.storage.small_library import random_units, unit


def test_widening_equals_numpys_conversion_for_every_finite_value() -> None:
    every = np.arange(65536, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)].reshape(1, -1)
    widened = widen(finite)
    assert np.array_equal(widened.view(np.uint32), finite.astype(np.float32).view(np.uint32))


def test_a_packed_vector_comes_back_within_half_a_float16_step() -> None:
    rows = random_units(np.random.default_rng(1), 50, 64)
    back = unit_rows(unpack([pack(row) for row in rows], 64))
    assert np.allclose(np.linalg.norm(back, axis=1), 1, atol=1e-6)
    assert np.einsum("ij,ij->i", rows, back).min() > 1 - 1e-6
    assert np.abs(rows - back).max() <= 2.0**-11


def test_infinity_nan_zero_and_length_two_are_faulty_rows() -> None:
    good = unit(1, 2, 2)
    rows = np.stack([good, good * 2, good * 0, good * np.nan, good * np.inf, good])
    assert faulty_rows(rows_and_norms(rows.astype("<f2"))[1]).tolist() == [1, 2, 3, 4]


def test_what_may_not_be_stored_is_said_in_words() -> None:
    assert vector_fault(unit(3, 4), 2) is None
    assert "shape (2,)" in (vector_fault(unit(3, 4), 3) or "")
    assert "shape (1, 2)" in (vector_fault(unit(3, 4)[None], 2) or "")
    assert "finite" in (vector_fault(np.array([np.nan, 1], np.float32), 2) or "")
    assert "norm is 5.0000" in (vector_fault(np.array([3, 4], np.float32), 2) or "")
