"""Near-duplicates within one list, against all pairs one by one."""

import numpy as np
import pytest

from clipsearch.pairs.near_duplicates import pairs_alike
from clipsearch.types import Floats


def at(*degrees: float) -> Floats:
    """Unit rows in the plane."""
    angles = np.radians(np.array(degrees))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_pairs_are_there_once_and_without_themselves() -> None:
    assert pairs_alike(at(0, 90, 1), threshold=0.999) == [(0, 2)]


def test_pairs_in_blocks_are_those_of_all_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipsearch.pairs.near_duplicates._BLOCK_ROWS", 4)
    rows = at(*np.random.default_rng(0).integers(0, 360, 30).tolist())
    wanted = [
        (i, j) for i in range(30) for j in range(i + 1, 30) if float(rows[i] @ rows[j]) >= 0.99
    ]
    assert sorted(pairs_alike(rows, 0.99)) == wanted
    assert len(wanted) > 5
