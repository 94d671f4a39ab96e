import numpy as np
import pytest

from clipsearch.evaluating import snapshot_agreement, snapshots
from clipsearch.types import Floats


def random_rows(count: int, seed: int) -> Floats:
    rows = np.random.default_rng(seed).standard_normal((count, 16))
    unit: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def test_faiss_finds_what_exact_search_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_BLOCK", 70)  # several blocks
    monkeypatch.setattr(snapshots, "_MOST_SCORES", 1000)
    found = snapshot_agreement(random_rows(300, 0), random_rows(50, 1))
    assert (found.k, found.queries, found.photos) == (10, 50, 300)
    assert found.agreement > 0.99  # float16 may exchange two that are nearly equal


def test_disagreement_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    photos, queries = random_rows(100, 2), random_rows(20, 3)
    exactly = snapshots._exactly
    monkeypatch.setattr(snapshots, "_exactly", lambda *given: (exactly(*given) + 50) % 100)
    assert snapshot_agreement(photos, queries).agreement < 0.5


def test_few_photos_and_many_queries() -> None:
    found = snapshot_agreement(random_rows(3, 4), random_rows(40, 5), most_queries=7)
    assert (found.agreement, found.k, found.queries) == (1.0, 3, 7)
