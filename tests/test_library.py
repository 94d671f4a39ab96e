import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clipsearch.errors import (
    DamageError,
    LockedError,
    ModelMismatchError,
    StorageError,
    UsageError,
)
from clipsearch.library import Library
from clipsearch.storage import model_snapshot
from clipsearch.storage import passing as passing_module
from clipsearch.storage.half_floats import unit_rows
from clipsearch.storage.model_snapshot import ModelSnapshot
from clipsearch.storage.model_vectors import ModelVectors
from clipsearch.storage.passing import Passing
from clipsearch.storage.snapshot_choice import IndexPolicy
from clipsearch.storage.snapshot_file import SnapshotHeader, UnusableSnapshot
from clipsearch.storage.vectors import Snapshot, verify_snapshot
from clipsearch.types import Floats, Ids, Lap, PhotoFilter
from tests.storage.small_library import (
    MODEL,
    OTHER_MODEL,
    ROOT,
    add,
    erase_embeddings,
    hash_of,
    ids_at,
    photo,
    random_units,
    unit,
    vector_of,
)

QUERIES = random_units(np.random.default_rng(11), 5)


# Lists, all of which are searched: no recall is ever enough.
ALL_LISTS = IndexPolicy(exact_ms=0.0, recall=2.0)
BOTH_KINDS = pytest.mark.parametrize(
    "library", [IndexPolicy(), ALL_LISTS], indirect=True, ids=["exact", "lists"]
)


@pytest.fixture
def library(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Library]:
    """200 photos in ten folders, with a snapshot that is used although it is small."""
    monkeypatch.setattr(model_snapshot, "WITHOUT_SNAPSHOT", 0)
    policy = getattr(request, "param", None)
    with Library.open(tmp_path / "library", create=True, policy=policy) as opened:
        catalogue = opened.catalogue
        catalogue.activate_model(catalogue.register_model(MODEL))
        root = catalogue.add_root(ROOT, 1, 2)
        add(catalogue, [photo(root, f"{i % 10}/{i}.jpg", str(i)) for i in range(200)])
        opened.rebuild_snapshot()
        yield opened


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[Ids | None]:
    """What each search that a snapshot answered was restricted to."""
    made: list[Ids | None] = []
    real = Snapshot.search

    def search(
        self: Snapshot,
        queries: Floats,
        k: int,
        allowed: Ids | None = None,
        excluded: Ids | None = None,
        probes: int | None = None,
    ) -> object:
        answer = real(self, queries, k, allowed, excluded, probes)
        if probes is None:  # given only where an index is measured
            made.append(allowed)
        return answer

    monkeypatch.setattr(Snapshot, "search", search)
    return made


def expected(library: Library, k: int, wanted: PhotoFilter | None = None) -> list[list[int]]:
    """The slow obvious twin: every photo's vector from its content, sorted in Python."""
    catalogue = library.catalogue
    scored = []
    for content_id, rows in catalogue.photos_of(catalogue.live_contents(), wanted).items():
        stored = vector_of(rows[0].content_hash).astype("<f2")[None]
        row = unit_rows(stored)[0].astype(np.float64)
        scored.append((content_id, row))
    answers = []
    for query in QUERIES.astype(np.float64):
        ranked = sorted(scored, key=lambda one: (-np.float32(one[1] @ query), one[0]))
        answers.append([content_id for content_id, _ in ranked[:k]])
    return answers


def snapshot_of(library: Library) -> ModelSnapshot:
    return ModelSnapshot(library.catalogue, library.directory, 1, MODEL)


def nearest(library: Library, k: int, wanted: PhotoFilter | None = None) -> list[list[int]]:
    allowed = None if wanted is None else library.catalogue.live_contents(wanted)
    ids, scores = library.nearest(QUERIES, k, allowed)
    assert (np.diff(scores, axis=1) <= 0).all()
    found: list[list[int]] = ids.tolist()
    return found


@BOTH_KINDS
@pytest.mark.parametrize("k", [1, 7, 199, 200, 1000])
def test_the_snapshot_answers_as_brute_force_does(
    library: Library, searches: list[Ids | None], k: int
) -> None:
    with_snapshot = library.nearest(QUERIES, k)
    assert searches == [None], "an unfiltered search must not enumerate ids"
    assert with_snapshot[0].tolist() == expected(library, k)
    next(library.directory.glob("*.faiss")).unlink()
    without = library.nearest(QUERIES, k)
    assert len(searches) == 1
    assert np.array_equal(with_snapshot[0], without[0])
    assert np.array_equal(with_snapshot[1], without[1])


@BOTH_KINDS
@pytest.mark.parametrize(
    "wanted",
    [PhotoFilter(("3",)), PhotoFilter(("3", "4", "9")), PhotoFilter(not_folders=("0",))],
    ids=["10 %", "30 %", "90 %"],
)
def test_a_filter_restricts_the_search_instead_of_its_results(
    library: Library, searches: list[Ids | None], wanted: PhotoFilter
) -> None:
    assert nearest(library, 15, wanted) == expected(library, 15, wanted)
    assert len(searches) == 1


def test_an_empty_filter_result_finds_nothing(library: Library) -> None:
    ids, scores = library.nearest(QUERIES, 5, np.empty(0, np.int64))
    assert ids.shape == scores.shape == (5, 0)
    assert library.nearest(QUERIES, 0)[0].shape == (5, 0)
    assert library.nearest(QUERIES[:0], 5)[0].shape == (0, 0)


@BOTH_KINDS
def test_photos_newer_than_the_snapshot_are_found(
    library: Library, searches: list[Ids | None]
) -> None:
    root = library.catalogue.roots()[0]
    add(library.catalogue, [photo(root, f"new/{i}.jpg", f"new {i}") for i in range(50)])
    for wanted in (None, PhotoFilter(("new",)), PhotoFilter(("new", "3"))):
        assert nearest(library, 20, wanted) == expected(library, 20, wanted)
    assert len(searches) == 3
    assert library.rebuild_snapshot()


@BOTH_KINDS
def test_missing_and_returning_photos_count_at_once(
    library: Library, searches: list[Ids | None]
) -> None:
    root = library.catalogue.roots()[0]
    before = nearest(library, 20)
    gone = list(ids_at(library.catalogue, root, b"3").values())
    library.catalogue.mark_missing(gone)
    assert nearest(library, 20) == expected(library, 20) != before
    # A filter made before the photos went missing must not bring them back.
    stale = np.arange(1, 201, dtype=np.int64)
    assert library.nearest(QUERIES, 20, stale)[0].tolist() == expected(library, 20)
    library.catalogue.mark_present(gone)
    assert nearest(library, 20) == before
    assert len(searches) == 4


@BOTH_KINDS
def test_changed_and_deleted_photos_count_at_once(library: Library) -> None:
    root = library.catalogue.roots()[0]
    add(library.catalogue, [photo(root, "3/3.jpg", "edited")])
    library.catalogue.delete_photos(list(ids_at(library.catalogue, root, b"5").values()))
    assert nearest(library, 200) == expected(library, 200)
    assert len(nearest(library, 300)[0]) == 180


@BOTH_KINDS
def test_erased_and_encoded_again_photos_count_once(library: Library) -> None:
    root = library.catalogue.roots()[0]
    erase_embeddings(library.catalogue, 1, [4, 5])
    assert not snapshot_of(library).is_complete()
    assert set(nearest(library, 300)[0]) == set(range(1, 201)) - {4, 5}
    add(library.catalogue, [photo(root, "3/3.jpg", "3")])
    for wanted in (None, PhotoFilter(("3",))):
        found = nearest(library, 300, wanted)[0]
        assert found.count(4) == 1
        assert 5 not in found


@BOTH_KINDS
def test_forgetting_a_root_removes_its_photos_at_once(library: Library) -> None:
    other = library.catalogue.add_root(b"/other", 1, 3)
    add(library.catalogue, [photo(other, f"{i}.jpg", f"other {i}") for i in range(30)])
    library.rebuild_snapshot()
    library.catalogue.forget_root(library.catalogue.roots()[0])
    assert nearest(library, 300) == expected(library, 300)
    assert len(nearest(library, 300)[0]) == 30


@BOTH_KINDS
def test_a_snapshot_is_rebuilt_only_when_it_has_to_be(library: Library) -> None:
    path = next(library.directory.glob("*.faiss"))
    before = path.stat()
    assert not library.rebuild_snapshot()
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    add(library.catalogue, [photo(library.catalogue.roots()[0], "new.jpg", "new")])
    assert library.rebuild_snapshot()
    assert not library.rebuild_snapshot()
    assert nearest(library, 20) == expected(library, 20)


def test_refreshing_rebuilds_only_what_makes_searching_slow(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = library.catalogue.roots()[0]
    monkeypatch.setattr(model_snapshot, "BESIDE_SNAPSHOT", 10)
    add(library.catalogue, [photo(root, f"{i}.jpg", f"few {i}") for i in range(10)])
    assert not library.refresh_snapshot()
    add(library.catalogue, [photo(root, "last.jpg", "last")])
    assert library.refresh_snapshot()
    assert not library.rebuild_snapshot()
    erase_embeddings(library.catalogue, 1, [5])
    assert library.refresh_snapshot()
    assert not library.rebuild_snapshot()
    next(library.directory.glob("*.faiss")).unlink()
    monkeypatch.setattr(model_snapshot, "WITHOUT_SNAPSHOT", 500)
    assert not library.refresh_snapshot()
    monkeypatch.setattr(model_snapshot, "WITHOUT_SNAPSHOT", 200)
    assert library.refresh_snapshot()


def test_refreshing_reads_the_old_snapshot_once(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_snapshot, "WITHOUT_SNAPSHOT", 0)
    erase_embeddings(library.catalogue, 1, [5])
    reads: list[Path] = []

    def counted(path: Path, library_id: str, fingerprint: str, dim: int) -> SnapshotHeader:
        reads.append(path)
        return verify_snapshot(path, library_id, fingerprint, dim)

    monkeypatch.setattr(model_snapshot, "verify_snapshot", counted)
    assert library.refresh_snapshot()
    assert len(reads) == 1


def remove(path: Path) -> None:
    path.unlink()


def damage_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.unlink()
    path.write_bytes(content)


def damage_the_end(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-20])


def damage_all(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"")


@BOTH_KINDS
@pytest.mark.parametrize(
    "damage", [remove, damage_a_byte, damage_the_end, damage_all], ids=lambda d: d.__name__
)
@pytest.mark.row("F1")
def test_a_damaged_snapshot_changes_no_answer_and_is_replaced(
    library: Library, damage: object, searches: list[Ids | None]
) -> None:
    before = nearest(library, 20)
    assert callable(damage)
    damage(next(library.directory.glob("*.faiss")))
    assert nearest(library, 20) == before
    assert len(searches) == 1, "the damaged snapshot was searched"
    assert library.rebuild_snapshot()
    assert nearest(library, 20) == before
    assert len(searches) == 2


@pytest.mark.row("F1")
def test_the_snapshot_of_another_library_is_not_believed(library: Library, tmp_path: Path) -> None:
    path = next(library.directory.glob("*.faiss"))
    with Library.open(tmp_path / "second", create=True) as second:
        second.catalogue.activate_model(second.catalogue.register_model(MODEL))
        root = second.catalogue.add_root(ROOT, 1, 2)
        add(second.catalogue, [photo(root, f"{i}.jpg", f"second {i}") for i in range(200)])
        shutil.copy(path, second.directory / path.name)
        with pytest.raises(UnusableSnapshot, match="it belongs to another library"):
            snapshot_of(second).header()
        assert nearest(second, 20) == expected(second, 20)


@pytest.mark.row("F1")
def test_a_restored_backup_does_not_believe_a_snapshot_of_the_lost_future(
    library: Library, tmp_path: Path
) -> None:
    """Same library id, same number of generations, same row ids: but other photos."""
    root = library.catalogue.roots()[0]
    library.close()
    shutil.copytree(library.directory, tmp_path / "backup")
    with Library.open(library.directory) as lost:
        add(lost.catalogue, [photo(root, f"{i}.jpg", f"lost {i}") for i in range(20)])
        lost.rebuild_snapshot()
        snapshot = next(lost.directory.glob("*.faiss"))
    with Library.open(tmp_path / "backup") as restored:
        add(restored.catalogue, [photo(root, f"{i}.jpg", f"other {i}") for i in range(20)])
        shutil.copy(snapshot, restored.directory / snapshot.name)
        with pytest.raises(UnusableSnapshot, match="it was made from another state of the library"):
            snapshot_of(restored).header()
        assert nearest(restored, 250) == expected(restored, 250)


def test_each_model_answers_from_its_own_snapshot(library: Library) -> None:
    root = library.catalogue.roots()[0]
    old = nearest(library, 5)
    turned = {str(i): vector_of(hash_of(str(i)))[::-1].copy() for i in range(200)}
    photos = [photo(root, f"{i % 10}/{i}.jpg", str(i)) for i in range(200)]
    add(library.catalogue, photos, turned, model=OTHER_MODEL)
    assert library.model == MODEL
    assert nearest(library, 5) == old
    library.catalogue.activate_model(library.catalogue.register_model(OTHER_MODEL))
    assert library.model == OTHER_MODEL
    turned_queries = QUERIES[:, ::-1].copy()
    assert library.nearest(turned_queries, 5)[0].tolist() == old
    assert library.rebuild_snapshot()
    assert library.nearest(turned_queries, 5)[0].tolist() == old
    assert len(list(library.directory.glob("*.faiss"))) == 2


@BOTH_KINDS
def test_equal_vectors_are_ordered_by_id_with_and_without_a_snapshot(library: Library) -> None:
    root = library.catalogue.roots()[0]
    same = unit(1, 2, 3, 4)
    twins = [f"twin {i}" for i in range(150)]
    add(library.catalogue, [photo(root, f"{t}.jpg", t) for t in twins], dict.fromkeys(twins, same))
    newer = library.nearest(same[None], 20)
    library.rebuild_snapshot()
    from_snapshot = library.nearest(same[None], 20)
    assert newer[0].tolist() == from_snapshot[0].tolist() == [list(range(201, 221))]
    assert np.array_equal(newer[1], from_snapshot[1])


def test_a_snapshot_of_an_empty_library_is_replaced_and_not_extended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_snapshot, "WITHOUT_SNAPSHOT", 0)
    monkeypatch.setattr(model_snapshot, "BESIDE_SNAPSHOT", 0)
    with Library.open(tmp_path / "library", create=True) as library:
        catalogue = library.catalogue
        catalogue.activate_model(catalogue.register_model(MODEL))
        assert library.rebuild_snapshot()
        add(catalogue, [photo(catalogue.add_root(b"/photos", 1, 2), "a.jpg", "dog")])
        assert library.refresh_snapshot()
        assert not library.rebuild_snapshot()
        assert library.nearest(QUERIES[:1], 5)[0].tolist() == [[1]]


def test_a_small_library_is_searched_without_its_snapshot(
    library: Library, searches: list[Ids | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_snapshot, "WITHOUT_SNAPSHOT", 200)
    assert nearest(library, 20) == expected(library, 20)
    assert searches == []


def blocks_of(library: Library, ids: Ids) -> dict[int, list[float]]:
    return {
        content_id: row.tolist()
        for found, rows in library.vector_blocks(ids)
        for content_id, row in zip(found.tolist(), rows, strict=True)
    }


@BOTH_KINDS
def test_vectors_in_blocks_are_those_of_the_catalogue(
    library: Library, searches: list[Ids | None]
) -> None:
    inside = np.arange(1, 11, dtype=np.int64)
    assert blocks_of(library, inside).keys() == set(inside.tolist())
    root = library.catalogue.roots()[0]
    add(library.catalogue, [photo(root, f"new/{i}.jpg", f"new {i}") for i in range(30)])
    everything = np.arange(1, 260, dtype=np.int64)
    stored = library.catalogue.embeddings(1)
    expected = {
        content_id: row.tolist()
        for block in stored
        for content_id, row in zip(block.content_ids.tolist(), block.vectors, strict=True)
    }
    assert len(expected) == 230
    assert blocks_of(library, everything) == expected
    erase_embeddings(library.catalogue, 1, [4, 5, 210])
    for content_id in (4, 5, 210):
        del expected[content_id]
    assert blocks_of(library, everything) == expected
    damage_a_byte(next(library.directory.glob("*.faiss")))
    assert blocks_of(library, everything) == expected


def test_a_library_with_lists_grows_without_learning_them_again(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_snapshot, "BESIDE_SNAPSHOT", 10)
    with Library.open(library.directory, policy=IndexPolicy(exact_ms=0.0)) as lists:
        next(lists.directory.glob("*.faiss")).unlink()
        lists.typical_queries = lambda: QUERIES
        assert lists.refresh_snapshot()
        first = snapshot_of(lists).header()
        assert (first.index.kind, first.index.trained_rows) == ("ivf", 200)
        root = lists.catalogue.roots()[0]
        for round_number in range(3):
            new = [f"{round_number} {i}" for i in range(60)]
            add(lists.catalogue, [photo(root, f"{name}.jpg", name) for name in new])
            erase_embeddings(lists.catalogue, 1, [7 + round_number])
            assert lists.refresh_snapshot()
            header = snapshot_of(lists).header()
            assert header.rows == 200 + 59 * (round_number + 1)
            assert header.index.trained_rows == 200
            assert header.generation > first.generation
            assert not lists.rebuild_snapshot()
            agree = zip(nearest(lists, 10), expected_with_embedding(lists, 10), strict=True)
            assert np.mean([len(set(a) & set(b)) for a, b in agree]) >= 9.5
        add(lists.catalogue, [photo(root, f"many {i}.jpg", f"many {i}") for i in range(60)])
        assert lists.refresh_snapshot()
        assert snapshot_of(lists).header().index.trained_rows == 437


def expected_with_embedding(library: Library, k: int) -> list[list[int]]:
    """As `expected`, without contents whose embedding was erased."""
    embedded = set(library.catalogue.embedded_contents(1, 1 << 40).tolist())
    return [[i for i in each if i in embedded][:k] for each in expected(library, 1000)]


def test_an_exact_index_that_grew_too_slow_becomes_lists(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_snapshot, "BESIDE_SNAPSHOT", 0)
    root = library.catalogue.roots()[0]
    add(library.catalogue, [photo(root, "a.jpg", "a")])
    assert library.refresh_snapshot()
    assert snapshot_of(library).header().index.kind == "exact"
    assert snapshot_of(library).header().index.lists == 2, "extended, not made anew"
    with Library.open(library.directory, policy=IndexPolicy(exact_ms=0.0)) as slow:
        add(slow.catalogue, [photo(root, "b.jpg", "b")])
        assert slow.refresh_snapshot()
        assert snapshot_of(slow).header().index.kind == "ivf"


def damage_a_row(library: Library) -> None:
    """Two bytes of a vector in the snapshot turn, as on a failing disk."""
    head = snapshot_of(library).header().head_size
    with next(library.directory.glob("*.faiss")).open("r+b") as file:
        file.seek(head + 40)
        file.write(b"\x55\x55")


def test_a_row_damaged_while_it_is_open_changes_no_answer(library: Library) -> None:
    before = nearest(library, 20)
    with Library.open(library.directory) as opened:
        assert opened._answering().usable_snapshot() is not None
        damage_a_row(library)
        assert nearest(opened, 20) == before
        assert opened._answering().usable_snapshot() is None
        assert nearest(opened, 20) == before


def passing(library: Library, k: int, wanted: PhotoFilter) -> list[list[int]]:
    """What `nearest_passing` finds, which is what `nearest` does among all that pass."""
    allowed = library.catalogue.live_contents(wanted)
    found = []
    for query in QUERIES:
        ids, scores = library.nearest_passing(query, k, wanted)
        listed = library.nearest(query[None], k, allowed)
        assert (ids.tolist(), scores.tolist()) == (listed[0][0].tolist(), listed[1][0].tolist())
        found.append(ids.tolist())
    return found


def test_what_passes_a_filter_is_remembered_until_something_changes(library: Library) -> None:
    wanted = PhotoFilter(("3",))
    library.nearest_passing(QUERIES[0], 5, wanted)
    first = library._remembered(wanted)
    library.nearest_passing(QUERIES[1], 5, wanted)
    assert library._remembered(wanted) is first
    for i in range(20):
        library.nearest_passing(QUERIES[0], 1, PhotoFilter((str(i),)))
    assert len(library._passing) <= 8
    before = passing(library, 100, wanted)
    # Another process's change counts as well: a photo goes, one comes, one moves away.
    with Library.open(library.directory) as other:
        (root,) = other.catalogue.roots()
        gone = ids_at(other.catalogue, root, b"3")
        other.catalogue.mark_missing([gone[b"3.jpg"], gone[b"13.jpg"]])
        add(other.catalogue, [photo(root, "3/new.jpg", "new"), photo(root, "4/13.jpg", "13")])
    after = passing(library, 100, wanted)
    assert {*before[0]} - {*after[0]} == {4, 14}
    assert {*after[0]} - {*before[0]} == {201}


SHARES = pytest.mark.parametrize(
    "wanted", [PhotoFilter(("3", "4", "9")), PhotoFilter(not_folders=("0",))], ids=["30 %", "90 %"]
)


@pytest.fixture
def asked_about(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each question about a filter could be answered by the nearest contents alone."""
    answered: list[bool] = []
    real = ModelVectors.first_passing

    def first_passing(
        self: ModelVectors, vector: Floats, k: int, passing: Passing, lap: Lap
    ) -> object:
        answer = real(self, vector, k, passing, lap)
        answered.append(answer is not None)
        return answer

    monkeypatch.setattr(ModelVectors, "first_passing", first_passing)
    return answered


@BOTH_KINDS
@SHARES
@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("meanwhile", [0.0, 1e9], ids=["asked", "listed"])
def test_asking_the_nearest_equals_listing_all_that_pass(
    library: Library, asked_about: list[bool], wanted: PhotoFilter, k: int, meanwhile: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(passing_module, "_LISTED_MEANWHILE", meanwhile)
    assert passing(library, k, wanted) == expected(library, k, wanted)
    assert all(asked_about)
    assert (library._remembered(wanted).listed is not None) is (meanwhile > 0)
    # Gone since the snapshot was written, or newer than it, nearer than all and farther.
    (root,) = library.catalogue.roots()
    gone = list(ids_at(library.catalogue, root, b"3").values())
    library.catalogue.mark_missing(gone[:-1])
    near = {f"near {i}": unit(*query) for i, query in enumerate(QUERIES)}
    photos = [photo(root, f"{i + 2}/near {i}.jpg", f"near {i}") for i in range(len(QUERIES))]
    photos += [photo(root, f"{i % 10}/new {i}.jpg", f"new {i}") for i in range(40)]
    library.catalogue.write_batch(
        1,
        photos,
        {p.read.content_hash: vector_of(p.read.content_hash) for p in photos}
        | {hash_of(name): row for name, row in near.items()},
    )
    first = passing(library, k, wanted)
    assert all(asked_about)
    ids = {
        name: library.catalogue._db.value(
            "SELECT id FROM contents WHERE hash = ?", (hash_of(name),)
        )
        for name in near
    }
    for number, found in enumerate(first):
        folder = str(number + 2)
        passes = folder in wanted.folders if wanted.folders else folder not in wanted.not_folders
        assert (found[0] == ids[f"near {number}"]) is passes


@BOTH_KINDS
@SHARES
def test_contents_erased_since_the_snapshot_are_not_found_by_asking(
    library: Library, asked_about: list[bool], wanted: PhotoFilter
) -> None:
    best = passing(library, 1, wanted)
    erase_embeddings(library.catalogue, 1, [found[0] for found in best])
    asked_about.clear()
    after = passing(library, 1, wanted)
    assert not any(asked_about)
    assert not {found[0] for found in after} & {found[0] for found in best}


@pytest.mark.row("F1")
def test_a_row_damaged_while_a_filter_is_asked_changes_no_answer(library: Library) -> None:
    wanted = PhotoFilter(not_folders=("0",))
    before = passing(library, 4, wanted)
    with Library.open(library.directory) as opened:
        assert opened._answering().usable_snapshot() is not None
        damage_a_row(library)
        assert [opened.nearest_passing(q, 4, wanted)[0].tolist() for q in QUERIES] == before
        assert opened._answering().usable_snapshot() is None


def test_vectors_that_fit_no_model_are_refused_with_a_filter_too(library: Library) -> None:
    with pytest.raises(ModelMismatchError):
        library.nearest_passing(np.ones(3, np.float32), 5, PhotoFilter(("3",)))


def test_vectors_come_in_the_order_asked_for(library: Library) -> None:
    wanted = np.array([7, 3, 7, 150], dtype=np.int64)
    rows = library.vectors_of(wanted)
    for content_id, row in zip(wanted.tolist(), rows, strict=True):
        (found,) = library.catalogue.photos_of(np.array([content_id]))[content_id]
        assert np.array_equal(row, unit_rows(vector_of(found.content_hash).astype("<f2")[None])[0])
    assert library.vectors_of(np.empty(0, np.int64)).shape == (0, 4)
    with pytest.raises(StorageError, match="1 photos have no embedding"):
        library.vectors_of(np.array([7, 999]))


@pytest.mark.parametrize(
    ("vectors", "error"),
    [
        (np.ones((1, 5), np.float32), ModelMismatchError),
        (np.ones(4, np.float32), ModelMismatchError),
        (np.array([[np.nan, 0, 0, 1]], np.float32), UsageError),
        (np.array([[np.inf, 0, 0, 1]], np.float32), UsageError),
    ],
)
@pytest.mark.row("G4")
@pytest.mark.row("G5")
def test_queries_that_do_not_fit_are_refused(
    library: Library, vectors: Floats, error: type[Exception]
) -> None:
    with pytest.raises(error):
        library.nearest(vectors, 5)


def test_a_damaged_embedding_is_never_an_answer(library: Library) -> None:
    library.catalogue._db.change("UPDATE embeddings SET vector = randomblob(8) WHERE id = 9")
    next(library.directory.glob("*.faiss")).unlink()
    with pytest.raises(DamageError, match="Embedding 9 "):
        library.nearest(QUERIES, 5)
    with pytest.raises(DamageError, match="Embedding 9 "):
        library.rebuild_snapshot()
    assert not list(library.directory.glob("*.faiss*"))


def test_there_is_no_library_until_one_is_made(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "library"
    with pytest.raises(StorageError, match="clipsearch index FOLDER"):
        Library.open(directory)
    assert not directory.exists()
    with Library.open(directory, create=True) as library:
        assert library.model is None
        assert not library.rebuild_snapshot()
        with pytest.raises(StorageError, match="no photos yet"):
            library.nearest(QUERIES, 5)
    assert directory.stat().st_mode & 0o777 == 0o700
    Library.open(directory).close()


def test_places_where_no_library_can_be(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for create in (False, True):
        with pytest.raises(StorageError, match="is a file"):
            Library.open(file, create=create)
        with pytest.raises(StorageError, match="is a file"):
            Library.open(file / "inside", create=create)
        with pytest.raises(StorageError, match="File name too long"):
            Library.open(tmp_path / ("x" * 300), create=create)
    with pytest.raises(StorageError, match="cannot be created"):
        Library.open(Path("/proc/library"), create=True)
    assert file.read_text() == "mine"


def test_a_catalogue_that_vanished_is_not_replaced_by_an_empty_one(library: Library) -> None:
    library.close()
    (library.directory / "catalogue.sqlite").unlink()
    for create in (False, True):
        with pytest.raises(DamageError, match="is gone"):
            Library.open(library.directory, create=create)
    assert not (library.directory / "catalogue.sqlite").exists()


def test_one_library_may_nest_its_writer_and_another_may_not_write(library: Library) -> None:
    with library.writer():
        with library.writer():
            library.rebuild_snapshot()
        with (
            Library.open(library.directory) as second,
            pytest.raises(LockedError, match=f"process {os.getpid()} "),
            second.writer(),
        ):
            pytest.fail("two writers")
    with Library.open(library.directory) as second, second.writer():
        pass


def test_the_next_writer_removes_what_a_killed_one_left(library: Library) -> None:
    script = (
        "import sys; from pathlib import Path; from clipsearch.library import Library\n"
        "library = Library.open(Path(sys.argv[1]))\n"
        "library.rebuild_snapshot()"
    )
    add(library.catalogue, [photo(library.catalogue.roots()[0], "new.jpg", "new")])
    path = next(library.directory.glob("*.faiss"))
    old = path.read_bytes()
    for place, is_new in (("after_temp_write", False), ("after_rename", True)):
        killed = subprocess.run(
            [sys.executable, "-c", script, str(library.directory)],
            env=os.environ | {"CLIPSEARCH_FAILPOINT": f"{place}=exit"},
            check=False,
        )
        assert killed.returncode == -9
        assert (path.read_bytes() != old) is is_new
        assert bool(list(library.directory.glob("*.tmp"))) is not is_new
        assert nearest(library, 20) == expected(library, 20)
        with library.writer():
            assert not list(library.directory.glob("*.tmp"))


def test_a_search_sees_one_generation_while_another_process_writes(library: Library) -> None:
    """Each batch replaces photos by equally many: any mixture would change their number."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def rewrite() -> None:
        try:
            with Library.open(library.directory) as writer:
                root = writer.catalogue.roots()[0]
                for turn in range(1000):
                    if stop.is_set():
                        return
                    names = [(f"{i % 10}/{i}.jpg", f"{turn} {i}") for i in range(40)]
                    add(writer.catalogue, [photo(root, *name) for name in names])
                    if turn % 5 == 0:
                        writer.rebuild_snapshot()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=rewrite)
    thread.start()
    try:
        for _ in range(40):
            with library.catalogue.reading():
                ids, _ = library.nearest(QUERIES, 1000)
                live = library.catalogue.live_contents().tolist()
                assert len(live) == 200
                assert all(sorted(row) == live for row in ids.tolist())
    finally:
        stop.set()
        thread.join()
    assert failures == []


def test_a_search_imports_neither_faiss_nor_torch_for_a_small_library(library: Library) -> None:
    script = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from clipsearch.library import Library\n"
        "with Library.open(Path(sys.argv[1])) as library:\n"
        "    library.nearest(np.ones((1, 4), np.float32) / 2, 5)\n"
        "print({'faiss', 'torch', 'platformdirs', 'PIL'} & set(sys.modules))"
    )
    asked = subprocess.run(
        [sys.executable, "-c", script, str(library.directory)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout == "set()\n"


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(
            ["write", "write", "missing", "present", "delete", "erase", "forget", "snapshot"]
        ),
        st.integers(0, 2),
        st.lists(st.tuples(st.integers(0, 11), st.integers(0, 15)), min_size=1, max_size=6),
    ),
    min_size=3,
    max_size=14,
)


@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=CHANGES)
def test_any_history_is_answered_as_a_dictionary_would(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, changes: list
) -> None:
    """The model: path -> [content, is it there]. Contents without an embedding are not found."""
    monkeypatch.setattr(model_snapshot, "WITHOUT_SNAPSHOT", 0)
    files: dict[tuple[int, int], tuple[str, bool]] = {}
    unencoded: set[str] = set()
    with Library.open(tmp_path_factory.mktemp("history"), create=True) as library:
        catalogue = library.catalogue
        model_id = catalogue.register_model(MODEL)
        catalogue.activate_model(model_id)
        for kind, number, chosen in changes:
            root = catalogue.add_root(b"/root%d" % number, 1, 2)
            names = {(number, name) for name, _ in chosen} & files.keys()
            photo_ids = ids_at(catalogue, root)
            rows = [photo_ids[b"%d" % name] for _, name in names]
            if kind == "write":
                add(catalogue, [photo(root, f"{n}", f"c{c}") for n, c in dict(chosen).items()])
                for name, content in dict(chosen).items():
                    files[number, name] = (f"c{content}", True)
                    unencoded.discard(f"c{content}")
            elif kind in ("missing", "present"):
                there = kind == "present"
                (catalogue.mark_present if there else catalogue.mark_missing)(rows)
                files |= {name: (files[name][0], there) for name in names}
            elif kind == "delete":
                catalogue.delete_photos(rows)
                files = {name: file for name, file in files.items() if name not in names}
            elif kind == "erase":
                lost = [f"c{content}" for _, content in chosen]
                _erase(library, lost)
                unencoded |= set(lost)
            elif kind == "forget":
                catalogue.forget_root(root)
                files = {name: file for name, file in files.items() if name[0] != number}
            else:
                library.rebuild_snapshot()
            _agree(library, {c for c, there in files.values() if there} - unencoded)
            odd = {c for (r, _), (c, there) in files.items() if there and r == 1} - unencoded
            _agree(library, odd, PhotoFilter(("/root1",)))


def _erase(library: Library, contents: list[str]) -> None:
    ids = [
        library.catalogue._db.value("SELECT id FROM contents WHERE hash = ?", (hash_of(content),))
        for content in contents
    ]
    erase_embeddings(library.catalogue, 1, [i for i in ids if i is not None])


def _agree(library: Library, contents: set[str], wanted: PhotoFilter | None = None) -> None:
    allowed = None if wanted is None else library.catalogue.live_contents(wanted)
    ids, scores = library.nearest(QUERIES[:1], 50, allowed)
    rows = library.catalogue.photos_of(ids[0], wanted)
    found = {rows[i][0].content_hash: score for i, score in zip(ids[0], scores[0], strict=True)}
    assert found.keys() == {hash_of(content) for content in contents}
    for content_hash, score in found.items():
        row = unit_rows(vector_of(content_hash).astype("<f2")[None])[0]
        assert abs(float(row @ QUERIES[0]) - score) < 1e-6
    for k in (1, 2, 50):
        nearest_of = library.nearest_passing(QUERIES[0], k, wanted or PhotoFilter())
        assert nearest_of[0].tolist() == ids[0][:k].tolist()
        assert nearest_of[1].tolist() == scores[0][:k].tolist()


@BOTH_KINDS
def test_a_snapshot_without_the_newest_erased_rows_is_up_to_date(library: Library) -> None:
    erase_embeddings(library.catalogue, 1, [200])
    assert library.refresh_snapshot()
    assert not library.rebuild_snapshot()
    assert 200 not in nearest(library, 300)[0]


def test_a_catalogue_without_history_is_damaged(library: Library) -> None:
    library.catalogue._db.change("DELETE FROM generations")
    with pytest.raises(DamageError, match="history is gone"):
        library.nearest_passing(QUERIES[0], 5, PhotoFilter(("3",)))


def test_nothing_is_written_to_a_catalogue_that_was_replaced(
    library: Library, tmp_path: Path
) -> None:
    path = library.catalogue.path
    backup = tmp_path / "backup"
    library.catalogue.back_up(backup)
    os.replace(path, tmp_path / "old")
    for another in (lambda: None, lambda: os.replace(backup, path)):
        another()
        with pytest.raises(StorageError, match="replaced or removed"), library.writer():
            pytest.fail("it was given to a writer")
    with Library.open(library.directory) as again, again.writer():
        assert len(again.catalogue.live_contents()) == 200


def test_photos_that_no_model_answers_for_are_damage(library: Library) -> None:
    library.catalogue._db.change("UPDATE meta SET active_model = NULL")
    for ask in (library.require_model, lambda: library.nearest(QUERIES, 5)):
        with pytest.raises(DamageError, match="which model answers"):
            ask()


def test_both_kinds_of_index_are_compared_where_there_is_one(library: Library) -> None:
    found = library.compare_indexes()
    assert found is not None
    for path in library.directory.glob("*.faiss"):
        path.unlink()
    assert library.compare_indexes() is None


def test_an_index_without_rows_is_not_compared(tmp_path: Path) -> None:
    with Library.open(tmp_path / "library", create=True) as library:
        catalogue = library.catalogue
        catalogue.activate_model(catalogue.register_model(MODEL))
        library.rebuild_snapshot()
        assert library.compare_indexes() is None
