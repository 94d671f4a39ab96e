import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from clipsearch.errors import StorageError
from clipsearch.storage import vectors
from clipsearch.storage.embedding_rows import StoredBlock
from clipsearch.storage.exact import top_k
from clipsearch.storage.half_floats import rows_and_norms, unit_rows
from clipsearch.storage.vectors import (
    SnapshotHeader,
    UnusableSnapshot,
    open_snapshot,
    verify_snapshot,
    write_snapshot,
)
from clipsearch.types import Ids
from tests.storage.small_library import random_units

DIM = 16
HEADER = SnapshotHeader(
    library_id="a1" * 16,
    fingerprint="c0" * 32,
    generation=7,
    stamp="0123456789abcdef",
    rows=0,
    dim=DIM,
    last_embedding_id=0,
    norm_error=0.0,
)
EXPECTED = (HEADER.library_id, HEADER.fingerprint, DIM)


def block(number: int, seed: int = 0, first_id: int = 1, copies: int = 0) -> StoredBlock:
    rng = np.random.default_rng(seed)
    halves = random_units(rng, number, DIM).astype("<f2")
    if copies:
        # One photo under different ids.
        halves[100 : 100 + copies] = halves[5]
    content_ids = rng.permutation(np.arange(10, 10 + number)).astype(np.int64)
    row_ids = np.arange(first_id, first_id + number)
    return StoredBlock(row_ids, content_ids, halves, *rows_and_norms(halves))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c0.faiss"


def brute(stored: StoredBlock, query: np.ndarray, k: int, allowed: Ids | None) -> tuple[Ids, Ids]:
    chosen = slice(None) if allowed is None else np.isin(stored.content_ids, allowed)
    rows = unit_rows(stored.halves)[chosen]
    return top_k(stored.content_ids[chosen], rows, query, k)


@pytest.mark.parametrize("share", [None, 0.01, 0.1, 0.5, 1.0, 0.0])
@pytest.mark.parametrize("k", [1, 10, 400, 3000])
def test_searching_equals_brute_force_to_the_last_bit(
    path: Path, k: int, share: float | None
) -> None:
    # More copies than are fetched beyond k.
    stored = block(2000, copies=200)
    write_snapshot(path, HEADER, [stored])
    snapshot = open_snapshot(path, *EXPECTED)
    rng = np.random.default_rng(9)
    allowed = None
    if share is not None:
        allowed = np.sort(rng.choice(stored.content_ids, int(2000 * share), replace=False))
    queries = np.concatenate([random_units(rng, 5, DIM), unit_rows(stored.halves[5:6])])
    ids, scores = snapshot.search(queries, k, allowed)
    for i, query in enumerate(queries):
        expected_ids, expected_scores = brute(stored, query, k, allowed)
        assert np.array_equal(ids[i], expected_ids)
        assert np.array_equal(scores[i], expected_scores)


def test_unknown_ids_in_the_filter_find_nothing(path: Path) -> None:
    write_snapshot(path, HEADER, [block(20)])
    snapshot = open_snapshot(path, *EXPECTED)
    ids, _ = snapshot.search(random_units(np.random.default_rng(1), 1, DIM), 5, np.array([5, 12]))
    assert ids.tolist() == [[12]]


def test_a_snapshot_without_rows_can_be_written_and_searched(path: Path) -> None:
    write_snapshot(path, HEADER, [])
    ids, scores = open_snapshot(path, *EXPECTED).search(np.ones((2, DIM), np.float32), 5)
    assert ids.shape == scores.shape == (2, 0)


def test_the_header_says_what_the_blocks_hold(path: Path) -> None:
    write_snapshot(path, HEADER, [block(20), block(5, 1, first_id=40)])
    header = verify_snapshot(path, *EXPECTED).header
    assert (header.rows, header.last_embedding_id) == (25, 44)
    assert 0 < header.norm_error < 1e-3
    assert replace(header, rows=0, last_embedding_id=0, norm_error=0.0, sha256="") == HEADER


def test_the_file_is_one_that_faiss_reads(path: Path) -> None:
    import faiss

    stored = block(20)
    write_snapshot(path, HEADER, [stored])
    index = faiss.read_index(str(path))
    assert faiss.vector_to_array(index.id_map).tolist() == stored.content_ids.tolist()


def refused(path: Path, *expected: object) -> str:
    with pytest.raises(UnusableSnapshot) as caught:
        open_snapshot(path, *(expected or EXPECTED))
    return str(caught.value)


@pytest.mark.row("F1")
def test_every_changed_byte_is_noticed_before_faiss_sees_any(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_snapshot(path, HEADER, [block(20)])
    good = path.read_bytes()
    monkeypatch.setattr(vectors, "_faiss", lambda: pytest.fail("unverified bytes reached FAISS"))
    rng = np.random.default_rng(5)
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 1 << int(rng.integers(8))
        path.unlink()  # writing over a file is flushed at once, which takes its time
        path.write_bytes(bad)
        refused(path)
    for length in np.linspace(0, len(good) - 1, 64, dtype=int):
        path.write_bytes(good[:length])
        refused(path)
    path.write_bytes(good + b"\0")
    refused(path)


@pytest.mark.row("F1")
def test_snapshots_of_others_are_refused_by_name(path: Path) -> None:
    assert refused(path) == "there is none"
    write_snapshot(path, HEADER, [block(20)])
    assert refused(path, "b2" * 16, HEADER.fingerprint, DIM) == "it belongs to another library"
    assert refused(path, HEADER.library_id, "d0" * 32, DIM) == "it belongs to another model"
    assert refused(path, HEADER.library_id, HEADER.fingerprint, 8) == "it belongs to another model"
    path.unlink()
    path.mkdir()
    assert refused(path).startswith("it cannot be read")


def resealed(path: Path, change: Callable[[dict[str, object]], None], body: bytes) -> None:
    """A file whose checksums are all right, but whose header was made by somebody else."""
    fields = asdict(HEADER) | {"rows": 20, "last_embedding_id": 20}
    fields["sha256"] = hashlib.sha256(body).hexdigest()
    change(fields)
    text = json.dumps(fields).encode()
    tail = hashlib.sha256(text).digest() + len(text).to_bytes(4, "little") + vectors._MAGIC
    path.write_bytes(body + text + tail)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": 19},
        {"rows": -1},
        {"rows": 1 << 70},
        {"rows": "20"},
        {"norm_error": -1.0},
        {"norm_error": None},
        {"stamp": "xyz"},
        {"stamp": 5},
        {"format": 2},
        {"index_type": "HNSW"},
        {"surprise": 1},
    ],
    ids=str,
)
@pytest.mark.row("F2")
def test_a_wrong_header_is_refused_even_when_its_checksums_fit(
    path: Path, wrong: dict[str, object]
) -> None:
    write_snapshot(path, HEADER, [block(20)])
    body = verify_snapshot(path, *EXPECTED).body.tobytes()
    resealed(path, lambda fields: None, body)
    open_snapshot(path, *EXPECTED)
    resealed(path, lambda fields: fields.update(wrong), body)
    refused(path)


@pytest.mark.parametrize("factory", ["Flat", "SQfp16", "IDMap,SQ8", "IDMap2,SQfp16", "junk"])
@pytest.mark.row("F2")
def test_another_kind_of_index_is_refused_even_when_its_checksums_fit(
    path: Path, factory: str
) -> None:
    import faiss

    body = b"junk" * 256
    if factory != "junk":
        index = faiss.index_factory(DIM, factory, faiss.METRIC_INNER_PRODUCT)
        rows = random_units(np.random.default_rng(1), 20, DIM)
        index.train(rows)
        if factory.startswith("IDMap"):
            index.add_with_ids(rows, np.arange(20))
        else:
            index.add(rows)
        body = faiss.serialize_index(index).tobytes()
    resealed(path, lambda fields: None, body)
    refused(path)


def test_a_failed_write_keeps_the_old_snapshot_and_leaves_nothing_behind(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_snapshot(path, HEADER, [block(20)])
    before = path.read_bytes()
    for place in ("before_temp_write", "after_temp_write", "before_rename"):
        monkeypatch.setenv("CLIPSEARCH_FAILPOINT", f"{place}=raise")
        with pytest.raises(StorageError, match="cannot be written"):
            write_snapshot(path, HEADER, [block(30)])
        assert path.read_bytes() == before
        assert [p.name for p in path.parent.iterdir()] == [path.name]
