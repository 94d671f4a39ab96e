import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from clipsearch.errors import StorageError
from clipsearch.storage import snapshot_choice, snapshot_file, vectors
from clipsearch.storage.embedding_rows import StoredBlock
from clipsearch.storage.exact import top_k
from clipsearch.storage.half_floats import rows_and_norms, unit_rows
from clipsearch.storage.snapshot_choice import IndexPolicy, exact_is_fine, worth_learning_again
from clipsearch.storage.snapshot_comparing import compare_indexes
from clipsearch.storage.snapshot_file import (
    IndexChoice,
    SnapshotFile,
    SnapshotHeader,
    Trial,
    UnusableSnapshot,
    identity_of,
    read_snapshot_file,
    row_checks,
)
from clipsearch.storage.snapshot_writing import extend_snapshot, write_snapshot
from clipsearch.storage.vectors import Snapshot, open_snapshot, verify_snapshot
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
# Lists, however few rows there are.
LISTS = IndexPolicy(exact_ms=0.0)


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


def clustered(number: int, seed: int = 3, dim: int = DIM, first_id: int = 1) -> StoredBlock:
    """Rows around 40 centres."""
    rng = np.random.default_rng(seed)
    centres = random_units(np.random.default_rng(77), 40, dim)
    noise = random_units(rng, number, dim)
    rows = centres[rng.integers(40, size=number)] + np.float32(0.5) * noise
    halves = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("<f2")
    row_ids = np.arange(first_id, first_id + number)
    return StoredBlock(row_ids, row_ids + 1000, halves, *rows_and_norms(halves))


def queries_like(number: int, dim: int = DIM) -> np.ndarray:
    return random_units(np.random.default_rng(8), number, dim)


def written(path: Path, policy: IndexPolicy | None, *blocks: StoredBlock) -> Snapshot:
    write_snapshot(path, HEADER, blocks, policy, lambda: queries_like(64))
    return open_snapshot(path, *EXPECTED)


@pytest.mark.parametrize("share", [None, 0.01, 0.1, 0.5, 1.0, 0.0])
@pytest.mark.parametrize("k", [1, 10, 400, 3000])
def test_searching_equals_brute_force_to_the_last_bit(
    path: Path, k: int, share: float | None
) -> None:
    # More copies than are fetched beyond k.
    stored = block(2000, copies=200)
    snapshot = written(path, None, stored)
    assert snapshot.header.index.kind == "exact"
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


def recall_of(snapshot: Snapshot, stored: StoredBlock, allowed: Ids | None = None) -> float:
    """recall@10, and that every cosine is that of brute force."""
    found = 0
    asked = random_units(np.random.default_rng(21), 100, DIM)
    for query in asked:
        ids, scores = snapshot.search(query[None], 10, allowed)
        expected_ids, _ = brute(stored, query, 10, allowed)
        every_id, every_score = brute(stored, query, len(stored.content_ids), None)
        cosines = dict(zip(every_id.tolist(), every_score.tolist(), strict=True))
        assert [cosines[i] for i in ids[0].tolist()] == scores[0].tolist()
        found += len(np.intersect1d(ids[0], expected_ids))
    return found / (10 * len(asked))


def test_lists_find_what_was_promised_without_searching_all(path: Path) -> None:
    stored = clustered(8000)
    snapshot = written(path, LISTS, stored)
    index = snapshot.header.index
    assert (index.kind, index.lists, index.queries) == ("ivf", 128, "text")
    assert 1 < index.probes < index.lists // 2
    assert recall_of(snapshot, stored) >= 0.99
    by_probes = {each.probes: each.recall for each in index.trials}
    assert by_probes[1] < 0.9 <= 0.995 <= by_probes[index.probes]
    assert list(by_probes) == sorted(by_probes)


@pytest.mark.parametrize("share", [0.005, 0.05, 0.5])
def test_lists_keep_the_promise_for_the_rows_that_a_filter_allows(path: Path, share: float) -> None:
    stored = clustered(8000)
    snapshot = written(path, LISTS, stored)
    drawn = np.random.default_rng(9).choice(stored.content_ids, int(8000 * share), replace=False)
    allowed = np.sort(drawn)
    recall = recall_of(snapshot, stored, allowed)
    assert recall >= 0.99
    assert share > 0.01 or recall == 1, "few rows are compared one by one"


@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize("k", [1, 10])
def test_asking_about_the_nearest_equals_brute_force_to_the_last_bit(
    path: Path, share: float, k: int
) -> None:
    stored = block(3000, copies=50)
    snapshot = written(path, None, stored)
    rng = np.random.default_rng(4)
    allowed = np.sort(rng.choice(stored.content_ids, int(share * 3000), replace=False))
    passing = SimpleNamespace(listed=None, which=lambda ids: np.isin(ids, allowed))
    # The first of them lies at rows that are equal, more than are asked about at once.
    queries = np.concatenate([unit_rows(stored.halves[5:6]), random_units(rng, 5, DIM)])
    for number, query in enumerate(queries):
        found = snapshot.first_passing(query, k, passing)
        if found is None:
            assert number == 0
            assert k == 1
            continue
        expected_ids, expected_scores = brute(stored, query, k, allowed)
        assert found[0].tolist() == expected_ids.tolist()
        assert found[1].tolist() == expected_scores.tolist()


def test_a_filter_that_few_pass_is_not_asked_about_the_nearest(path: Path) -> None:
    snapshot = written(path, None, block(3000))
    query = random_units(np.random.default_rng(2), 1, DIM)[0]
    few = SimpleNamespace(listed=np.arange(10, 20), which=pytest.fail)
    assert snapshot.first_passing(query, 1, few) is None
    none = SimpleNamespace(listed=None, which=lambda ids: np.zeros(len(ids), np.bool_))
    assert snapshot.first_passing(query, 1, none) is None


def test_rows_that_were_fetched_for_one_filter_are_not_taken_for_another(path: Path) -> None:
    stored = block(3000)
    snapshot = written(path, None, stored)
    query = random_units(np.random.default_rng(2), 1, DIM)
    for first in (0, 30, 0, 31):
        allowed = np.sort(stored.content_ids)[first : first + 30]
        ids, scores = snapshot.search(query, 5, allowed)
        expected_ids, expected_scores = brute(stored, query[0], 5, allowed)
        assert ids[0].tolist() == expected_ids.tolist()
        assert scores[0].tolist() == expected_scores.tolist()


def test_a_filter_that_allows_one_far_corner_still_finds_k(path: Path) -> None:
    stored = clustered(8000)
    snapshot = written(path, LISTS, stored)
    rows = unit_rows(stored.halves)
    corner = np.argsort(rows @ rows[0])[-600:]
    query = -rows[:1]
    ids, _ = snapshot.search(query, 300, np.sort(stored.content_ids[corner]))
    assert ids.shape == (1, 300)
    assert (ids > 0).all()
    # Everything is found when all lists are searched.
    allowed = np.sort(stored.content_ids[corner])
    all_ids, _ = snapshot.search(query, 300, allowed, probes=128)
    assert all_ids[0].tolist() == brute(stored, query[0], 300, allowed)[0].tolist()


@pytest.mark.parametrize("policy", [None, LISTS], ids=["exact", "ivf"])
def test_what_is_excluded_is_not_found(path: Path, policy: IndexPolicy | None) -> None:
    stored = clustered(3000)
    snapshot = written(path, policy, stored)
    query = unit_rows(stored.halves[:1])
    first = snapshot.search(query, 20)[0][0]
    gone = np.concatenate([first[:5], [5, 1 << 40]])
    left = snapshot.search(query, 15, excluded=gone)[0][0]
    assert left.tolist() == first[5:].tolist()
    both = snapshot.search(query, 15, np.sort(first), gone)[0][0]
    assert both.tolist() == first[5:].tolist()


def test_without_queries_photos_are_taken_and_it_is_said(path: Path) -> None:
    write_snapshot(path, HEADER, [clustered(3000)], LISTS)
    assert open_snapshot(path, *EXPECTED).header.index.queries == "photos"


@pytest.mark.parametrize("dim", [3, 4, 6, 16])
def test_rows_of_any_length_are_checked_and_found(path: Path, dim: int) -> None:
    stored = clustered(500, dim=dim)
    write_snapshot(path, replace(HEADER, dim=dim), [stored], LISTS)
    snapshot = open_snapshot(path, HEADER.library_id, HEADER.fingerprint, dim)
    query = unit_rows(stored.halves[7:8])
    assert snapshot.search(query, 1)[1][0, 0] == pytest.approx(1, abs=1e-3)
    verify_snapshot(path, HEADER.library_id, HEADER.fingerprint, dim)


@pytest.mark.parametrize("policy", [None, LISTS], ids=["exact", "ivf"])
@pytest.mark.parametrize("erased", [False, True])
def test_an_extended_snapshot_equals_a_new_one(
    path: Path, policy: IndexPolicy | None, erased: bool
) -> None:
    old, new = clustered(5000), clustered(900, 4, first_id=5001)
    before = written(path, policy, old)
    kept = old.content_ids[::3] if erased else None
    extend_snapshot(path, replace(HEADER, generation=9), before, kept, [new])
    extended = open_snapshot(path, *EXPECTED)
    number = 5900 if kept is None else len(kept) + 900
    assert (extended.header.rows, extended.header.generation) == (number, 9)
    assert extended.header.last_embedding_id == 5900
    verify_snapshot(path, *EXPECTED)
    fresh_path = path.with_name("fresh.faiss")
    stay = np.isin(old.content_ids, old.content_ids if kept is None else kept)
    halves = old.halves[stay]
    rest = StoredBlock(old.row_ids[stay], old.content_ids[stay], halves, *rows_and_norms(halves))
    write_snapshot(fresh_path, HEADER, [rest, new], policy)
    fresh = open_snapshot(fresh_path, *EXPECTED)
    for query in queries_like(20):
        one, other = (
            each.search(query[None], 30, probes=each.header.index.lists)
            for each in (extended, fresh)
        )
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[1], other[1])
    assert extended.header.index.trials == before.header.index.trials
    if policy is LISTS:
        every = clustered(5000), new
        if kept is None:
            joined = StoredBlock(
                np.arange(5900),
                np.concatenate([b.content_ids for b in every]),
                np.concatenate([b.halves for b in every]),
                np.concatenate([b.rows for b in every]),
                np.concatenate([b.norms for b in every]),
            )
            assert recall_of(extended, joined) >= 0.99


def test_extending_a_damaged_snapshot_is_refused(path: Path) -> None:
    before = written(path, LISTS, clustered(3000))
    damage(path, before.header.head_size + 5000)
    damaged = open_snapshot(path, *EXPECTED)
    with pytest.raises(UnusableSnapshot):
        extend_snapshot(path, HEADER, damaged, None, [])
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_index_follows_from_speed_and_memory() -> None:
    rows = clustered(2000).halves
    assert exact_is_fine(IndexPolicy(), 2000, rows)[0]
    fine, reason = exact_is_fine(IndexPolicy(exact_ms=0.0), 2000, rows)
    assert not fine
    assert "over 0.0" in reason
    fine, reason = exact_is_fine(IndexPolicy(memory_share=1e-9), 2000, rows)
    assert not fine
    assert "memory" in reason
    lists = IndexChoice("ivf", 8, 2, trained_rows=1000)
    assert not worth_learning_again(IndexPolicy(), lists, 2000)
    assert worth_learning_again(IndexPolicy(), lists, 2001)


@pytest.mark.parametrize("policy", [None, LISTS], ids=["exact", "ivf"])
def test_both_kinds_are_compared_on_the_same_rows(path: Path, policy: IndexPolicy | None) -> None:
    stored = clustered(6000)
    header = written(path, policy, stored).header
    found = compare_indexes(path, header, [stored], lambda: queries_like(64))
    assert {each.trial.kind for each in found.measured} == {"exact", "ivf"}
    (chosen,) = [each for each in found.measured if each.chosen]
    assert (chosen.trial.kind, chosen.trial.probes) == (header.index.kind, header.index.probes)
    assert chosen.size == path.stat().st_size
    assert all(each.trial.recall == 1 for each in found.measured if each.trial.kind == "exact")
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_every_bit_of_a_row_and_its_content_counts_in_its_check() -> None:
    rng = np.random.default_rng(2)
    rows = rng.integers(0, 256, (1, 12), dtype=np.uint8)
    seen = {int(row_checks(rows, np.array([7]))[0])}
    for byte in range(12):
        for bit in range(8):
            changed = rows.copy()
            changed[0, byte] ^= 1 << bit
            seen.add(int(row_checks(changed, np.array([7]))[0]))
    seen.add(int(row_checks(rows, np.array([8]))[0]))
    assert len(seen) == 1 + 96 + 1


def test_unknown_ids_in_the_filter_find_nothing(path: Path) -> None:
    write_snapshot(path, HEADER, [block(20)])
    snapshot = open_snapshot(path, *EXPECTED)
    ids, _ = snapshot.search(random_units(np.random.default_rng(1), 1, DIM), 5, np.array([5, 12]))
    assert ids.tolist() == [[12]]


def test_a_snapshot_without_rows_can_be_written_and_searched(path: Path) -> None:
    write_snapshot(path, HEADER, [])
    snapshot = open_snapshot(path, *EXPECTED)
    ids, scores = snapshot.search(np.ones((2, DIM), np.float32), 5)
    assert ids.shape == scores.shape == (2, 0)
    passing = SimpleNamespace(listed=None, which=pytest.fail)
    assert snapshot.first_passing(np.ones(DIM, np.float32), 5, passing) is None


def test_the_header_says_what_the_blocks_hold(path: Path) -> None:
    write_snapshot(path, HEADER, [block(20), block(5, 1, first_id=40)])
    header = verify_snapshot(path, *EXPECTED)
    assert (header.rows, header.last_embedding_id) == (25, 44)
    assert 0 < header.norm_error < 1e-3
    computed = {"rows": 0, "last_embedding_id": 0, "norm_error": 0.0, "index": IndexChoice()}
    sealed = {"head_size": 0, "head_sha256": "", "table_sha256": ""}
    assert replace(header, **computed, **sealed) == HEADER


def test_the_file_is_one_that_faiss_reads(path: Path) -> None:
    import faiss

    stored = block(20)
    write_snapshot(path, HEADER, [stored])
    index = faiss.read_index(str(path))
    _, found = index.search(stored.rows, 1)
    assert found[:, 0].tolist() == list(range(20))


def refused(path: Path, *expected: object) -> str:
    with pytest.raises(UnusableSnapshot) as caught:
        open_snapshot(path, *(expected or EXPECTED))
    return str(caught.value)


def damage(path: Path, position: int, bit: int = 0) -> None:
    bad = bytearray(path.read_bytes())
    bad[position] ^= 1 << bit
    path.unlink()  # writing over a file is flushed at once, which takes its time
    path.write_bytes(bad)


@pytest.mark.parametrize("policy", [None, LISTS], ids=["exact", "ivf"])
@pytest.mark.row("F1")
def test_every_changed_byte_is_noticed_before_faiss_sees_any(
    path: Path, policy: IndexPolicy | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_snapshot(path, HEADER, [block(20)], policy)
    good = path.read_bytes()
    monkeypatch.setattr(vectors, "_faiss", lambda: pytest.fail("unverified bytes reached FAISS"))
    rng = np.random.default_rng(5)
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 1 << int(rng.integers(8))
        path.unlink()
        path.write_bytes(bad)
        with pytest.raises(UnusableSnapshot):
            verify_snapshot(path, *EXPECTED)
    for length in np.linspace(0, len(good) - 1, 64, dtype=int):
        path.write_bytes(good[:length])
        refused(path)
    path.write_bytes(good + b"\0")
    refused(path)


@pytest.mark.parametrize("allowed", [None, 2, 1500], ids=["all", "few", "half"])
@pytest.mark.row("F1")
def test_a_damaged_row_is_noticed_when_its_list_is_searched(
    path: Path, allowed: int | None
) -> None:
    stored = clustered(3000)
    header = written(path, LISTS, stored).header
    rows_end = header.head_size + header.rows * (2 * DIM + 8)
    assert rows_end < path.stat().st_size
    query = unit_rows(stored.halves[:1])
    chosen = None if allowed is None else stored.content_ids[:allowed]
    good = path.read_bytes()
    noticed = 0
    for position in range(header.head_size, rows_end, 1501):
        damage(path, position)
        snapshot = open_snapshot(path, *EXPECTED)
        try:
            ids, scores = snapshot.search(query, 5, chosen)
        except UnusableSnapshot:
            noticed += 1
        else:
            assert ids[0, 0] == stored.content_ids[0]
            assert scores[0, 0] == pytest.approx(1, abs=1e-3)
        with pytest.raises(UnusableSnapshot):
            snapshot.check_rows()
        path.unlink()
        path.write_bytes(good)
    assert (noticed > 0) == (allowed != 2), "two rows lie in two places"


@pytest.mark.parametrize("policy", [None, LISTS], ids=["exact", "ivf"])
@pytest.mark.parametrize("allowed", [None, 2], ids=["all", "few"])
def test_the_nearest_row_is_not_passed_over_because_it_is_damaged(
    path: Path, policy: IndexPolicy | None, allowed: int | None
) -> None:
    stored = clustered(3000)
    written(path, policy, stored)
    file = read_snapshot_file(path, *EXPECTED)
    position = int(np.flatnonzero(file.content_ids == stored.content_ids[0])[0])
    number = int(np.searchsorted(file.starts, position, side="right")) - 1
    offset = file.header.head_size + position * 2 * DIM + 8 * int(file.starts[number])
    content = bytearray(path.read_bytes())
    assert content[offset : offset + 2 * DIM] == stored.halves[0].tobytes()
    content[offset : offset + 2 * DIM] = bytes(2 * DIM)
    path.unlink()
    path.write_bytes(content)
    chosen = None if allowed is None else stored.content_ids[:allowed]
    with pytest.raises(UnusableSnapshot):
        open_snapshot(path, *EXPECTED).search(unit_rows(stored.halves[:1]), 1, chosen)


def test_more_than_a_list_holds_is_found_in_more_lists(path: Path) -> None:
    stored = clustered(8000)
    snapshot = written(path, LISTS, stored)
    query = unit_rows(stored.halves[:1])
    ids, scores = snapshot.search(query, 700, probes=1)
    assert len(np.unique(ids)) == 700
    assert (np.diff(scores) <= 0).all()


def test_a_file_that_took_the_place_of_the_checked_one_is_not_searched(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(path, None, clustered(300))
    real = vectors._open_index

    def replaced(file: SnapshotFile) -> object:
        write_snapshot(path, HEADER, [clustered(300, seed=6)])
        return real(file)

    monkeypatch.setattr(vectors, "_open_index", replaced)
    assert refused(path) == "it was replaced while it was opened"


def test_swapped_rows_are_noticed(path: Path) -> None:
    write_snapshot(path, HEADER, [block(20)])
    start = read_snapshot_file(path, *EXPECTED).header.head_size
    content = bytearray(path.read_bytes())
    first, second = (slice(start + i * 2 * DIM, start + (i + 1) * 2 * DIM) for i in (3, 4))
    content[first], content[second] = content[second], content[first]
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(UnusableSnapshot):
        open_snapshot(path, *EXPECTED).search(queries_like(1), 3)


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


def resealed(path: Path, change: Callable[[dict[str, object]], None], head: bytes) -> None:
    """A file whose checksums are all right, but whose header or head somebody else made."""
    file = read_snapshot_file(path, *EXPECTED)
    end = file.header.head_size + file.header.rows * (2 * DIM + 8)
    table = 8 * file.header.index.lists + 16 * file.header.rows
    body = head + path.read_bytes()[file.header.head_size : end + table]
    fields = asdict(file.header)
    fields["head_size"], fields["head_sha256"] = len(head), hashlib.sha256(head).hexdigest()
    change(fields)
    text = json.dumps(fields).encode()
    tail = hashlib.sha256(text).digest() + len(text).to_bytes(4, "little") + snapshot_file._MAGIC
    path.unlink()
    path.write_bytes(body + text + tail)


def head_of(path: Path) -> bytes:
    return path.read_bytes()[: read_snapshot_file(path, *EXPECTED).header.head_size]


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
        {"format": 1},
        {"format": 3},
        {"index": None},
        {"index": asdict(IndexChoice("HNSW"))},
        {"index": asdict(IndexChoice("ivf", 4, 5))},
        {"index": asdict(IndexChoice("ivf", 2, 1))},
        {"index": asdict(IndexChoice("exact", 1, 0))},
        {"index": asdict(IndexChoice()) | {"surprise": 1}},
        {"index": asdict(IndexChoice()) | {"trials": [{"kind": "ivf"}]}},
        {"head_size": 1 << 50},
        {"surprise": 1},
    ],
    ids=str,
)
@pytest.mark.row("F2")
def test_a_wrong_header_is_refused_even_when_its_checksums_fit(
    path: Path, wrong: dict[str, object]
) -> None:
    write_snapshot(path, HEADER, [block(20)])
    head = head_of(path)
    resealed(path, lambda fields: None, head)
    open_snapshot(path, *EXPECTED)
    resealed(path, lambda fields: fields.update(wrong), head)
    refused(path)


@pytest.mark.row("F2")
@pytest.mark.parametrize(
    ("first", "reason"),
    [(-1, "its lists do not fit its rows"), (0, "the index is not what its header says")],
)
def test_wrong_lists_are_refused_even_when_their_checksums_fit(
    path: Path, first: int, reason: str
) -> None:
    header = written(path, LISTS, clustered(3000)).header
    start = header.head_size + header.rows * (2 * DIM + 8)
    lists = header.index.lists
    content = bytearray(path.read_bytes())
    sizes = np.frombuffer(bytes(content), "<i8", lists, start).copy()
    sizes[1] += sizes[0] - first
    sizes[0] = first
    content[start : start + 8 * lists] = sizes.tobytes()
    body = bytes(content[: start + 8 * lists + 16 * header.rows])
    fields = asdict(header) | {"table_sha256": hashlib.sha256(body[start:]).hexdigest()}
    text = json.dumps(fields).encode()
    tail = hashlib.sha256(text).digest() + len(text).to_bytes(4, "little") + snapshot_file._MAGIC
    path.unlink()
    path.write_bytes(body + text + tail)
    with pytest.raises(UnusableSnapshot, match=reason):
        open_snapshot(path, *EXPECTED).search(queries_like(1), 3)


def test_a_faiss_that_never_reads_ahead_searches_as_well(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import faiss

    snapshot = written(path, LISTS, clustered(3000))
    expected = snapshot.search(queries_like(4), 5)
    real = faiss.downcast_InvertedLists
    monkeypatch.setattr(
        faiss,
        "downcast_InvertedLists",
        lambda lists: SimpleNamespace(list_size=real(lists).list_size),
    )
    found = open_snapshot(path, *EXPECTED).search(queries_like(4), 5)
    np.testing.assert_array_equal(found[0], expected[0])


def test_a_header_keeps_what_was_measured(path: Path) -> None:
    written(path, LISTS, clustered(3000))
    header = read_snapshot_file(path, *EXPECTED).header
    assert all(type(each) is Trial for each in header.index.trials)
    assert header.index.trained_rows == 3000


def test_a_snapshot_of_the_first_format_is_refused(path: Path) -> None:
    fields = asdict(HEADER) | {"sha256": "0" * 64, "index_type": "IDMap,SQfp16", "format": 1}
    for name in ("index", "head_size", "head_sha256", "table_sha256"):
        del fields[name]
    text = json.dumps(fields).encode()
    tail = hashlib.sha256(text).digest() + len(text).to_bytes(4, "little") + snapshot_file._MAGIC
    path.write_bytes(text + tail)
    assert refused(path) == "its header is of another version"


@pytest.mark.parametrize(
    "factory",
    ["IDMap,SQfp16", "SQfp16", "IVF1,SQ8", "IVF1,Flat", "IVF2,SQfp16", "residual", "junk"],
)
@pytest.mark.row("F2")
def test_another_kind_of_index_is_refused_even_when_its_checksums_fit(
    path: Path, factory: str
) -> None:
    import faiss

    write_snapshot(path, HEADER, [block(20)])
    head = b"junk" * 256
    if factory == "residual":
        made = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(DIM), DIM, 1, faiss.ScalarQuantizer.QT_fp16, 0, True
        )
        made.train(random_units(np.random.default_rng(1), 40, DIM))
        head = faiss.serialize_index(made).tobytes()
    elif factory != "junk":
        index = faiss.index_factory(DIM, factory, faiss.METRIC_INNER_PRODUCT)
        index.train(random_units(np.random.default_rng(1), 100, DIM))
        head = faiss.serialize_index(index).tobytes()
    resealed(path, lambda fields: None, head)
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


def test_a_snapshot_that_does_not_read_back_is_said_in_words(path: Path) -> None:
    write_snapshot(path, HEADER, [block(20)])
    before = path.read_bytes()

    def queries() -> None:
        # Asked for between writing and reading back.
        temporary = path.with_name(f"{path.name}.tmp")
        with temporary.open("r+b") as file:
            file.seek(read_snapshot_file(temporary, *EXPECTED).header.head_size)
            file.write(bytes(8))

    with pytest.raises(StorageError, match="does not read back"):
        write_snapshot(path, HEADER, [block(300)], LISTS, queries)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("content_id", [-5, 0, 1 << 31, 1 << 60])
def test_impossible_content_ids_are_refused_even_when_the_checksums_fit(
    path: Path, content_id: int
) -> None:
    stored = block(20)
    stored.content_ids[3] = content_id
    write_snapshot(path, HEADER, [stored])
    assert "cannot be right" in refused(path)


def test_where_no_number_of_lists_is_good_enough_all_are_searched(path: Path) -> None:
    snapshot = written(path, IndexPolicy(exact_ms=0.0, recall=1.1), clustered(3000))
    assert snapshot.header.index.probes == snapshot.header.index.lists


def test_a_system_that_does_not_tell_its_memory_has_no_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(name: str) -> int:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "sysconf", unknown)
    assert snapshot_choice._memory() == float("inf")


def test_a_file_that_is_not_there_has_no_identity(path: Path) -> None:
    assert identity_of(path) == ()
    written(path, None, block(10))
    assert identity_of(path) != ()
