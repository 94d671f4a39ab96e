import os
import threading
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from clipsearch.errors import DamageError
from clipsearch.storage.catalogue import Catalogue, Root
from clipsearch.types import FileStat, PhotoFacts, same_file
from tests.storage.small_library import (
    FACTS,
    MODEL,
    OTHER_MODEL,
    STAT,
    add,
    failure,
    hash_of,
    ids_at,
    photo,
    unit,
)


def test_a_photo_comes_back_as_it_was_written(catalogue: Catalogue, root: Root) -> None:
    taken = datetime(2023, 5, 6, 7, 8, 9)
    facts = PhotoFacts("PNG", 30, 20, taken, "FUJIFILM X100V", -33.9, 151.2)
    written = photo(root, "2023/may/a.png", "sea", taken_at=taken, camera=facts.camera)
    written = replace(written, read=replace(written.read, facts=facts))
    add(catalogue, [written])
    row = catalogue.photo_at(b"/photos/2023/may/a.png")
    assert row is not None
    assert (row.path, row.facts, row.stat) == (b"/photos/2023/may/a.png", facts, STAT)
    assert row.content_hash == hash_of("sea")
    assert not row.missing
    assert catalogue.photos_of(catalogue.live_contents()) == {row.content_id: [row]}


@pytest.mark.parametrize(
    "name",
    [
        b"\xff\xfe.jpg",
        b"new\nline.jpg",
        b"100%_sure.jpg",
        b"-rf.jpg",
        "Ünï 🐕.jpg".encode(),
        b"'\"",
    ],
)
def test_names_are_kept_byte_for_byte(catalogue: Catalogue, root: Root, name: bytes) -> None:
    add(catalogue, [photo(root, name, "dog")])
    row = catalogue.photo_at(b"/photos/" + name)
    assert row is not None
    assert row.path == b"/photos/" + name
    assert set(ids_at(catalogue, root)) == {name}


@pytest.mark.parametrize(
    "stat",
    [
        FileStat(0, -1, -5_000_000_000, 1, 0),
        FileStat(2**40, 4_070_908_800 * 10**9, 9_300_000_000 * 10**9, 2**64 - 1, 2**63),
        FileStat(1, 2**63 - 1, 2**63, 2**63, 2**64 - 1),
    ],
    ids=["before 1970", "year 2264 and a 64-bit inode", "at the limit of 63 bits"],
)
def test_unusual_stat_facts_compare_equal_again(
    catalogue: Catalogue, root: Root, stat: FileStat
) -> None:
    add(catalogue, [photo(root, "a.jpg", "sea", stat=stat)])
    known = catalogue.photos_in_folder(root.root_id, b"", 1)
    assert known[b"a.jpg"].stat == stat


def test_a_folder_is_compared_with_what_is_known_of_it_alone(
    catalogue: Catalogue, root: Root
) -> None:
    add(catalogue, [photo(root, "in/a.jpg", "a"), photo(root, "in/deep/b.jpg", "b")])
    catalogue.write_batch(1, [], {}, [failure(root, "in/c.jpg", "unsupported")])
    known = catalogue.photos_in_folder(root.root_id, b"in", catalogue.register_model(MODEL))
    assert {name: (row.embedded, row.problem_kind) for name, row in known.items()} == {
        b"a.jpg": (True, None),
        b"c.jpg": (False, "unsupported"),
    }
    other = catalogue.register_model(OTHER_MODEL)
    assert not catalogue.photos_in_folder(root.root_id, b"in", other)[b"a.jpg"].embedded


def test_copies_share_one_content_and_one_embedding(catalogue: Catalogue, root: Root) -> None:
    add(catalogue, [photo(root, "a.jpg", "dog"), photo(root, "b/copy.jpg", "dog")])
    add(catalogue, [photo(root, "later.jpg", "dog", facts=None)])
    counts = catalogue.counts()
    assert (counts.photos, counts.contents, counts.embedded) == (3, 1, 1)
    (rows,) = catalogue.photos_of(catalogue.live_contents()).values()
    assert [os.path.basename(row.path) for row in rows] == [b"a.jpg", b"copy.jpg", b"later.jpg"]


def test_a_changed_file_leaves_its_old_content(catalogue: Catalogue, root: Root) -> None:
    add(catalogue, [photo(root, "a.jpg", "before")])
    (before,) = catalogue.live_contents()
    add(catalogue, [photo(root, "a.jpg", "after")])
    (after,) = catalogue.live_contents()
    assert after != before
    assert catalogue.dead_contents().tolist() == [before]
    assert catalogue.counts().photos == 1


def test_a_file_that_became_unusable_is_no_result_any_more(
    catalogue: Catalogue, root: Root
) -> None:
    add(catalogue, [photo(root, "a.jpg", "dog")])
    catalogue.write_batch(1, [], {}, [failure(root, "a.jpg", "damaged", "bad \udcff bytes")])
    assert catalogue.live_contents().size == 0
    assert catalogue.photo_at(b"/photos/a.jpg") is None
    (problem,) = catalogue.problems()
    assert (problem.path, problem.kind) == (b"/photos/a.jpg", "damaged")
    assert problem.reason == "bad \\udcff bytes"
    add(catalogue, [photo(root, "a.jpg", "dog")])
    assert list(catalogue.problems()) == []
    assert catalogue.live_contents().size == 1


def test_problems_are_listed_by_kind(catalogue: Catalogue, root: Root) -> None:
    failures = [failure(root, "b.psd", "unsupported"), failure(root, "a.jpg", "damaged")]
    catalogue.write_batch(1, [], {}, [*failures, failure(root, "c.psd", "unsupported")])
    assert [row.path for row in catalogue.problems("unsupported")] == [
        b"/photos/b.psd",
        b"/photos/c.psd",
    ]
    assert catalogue.counts().problems == {"damaged": 1, "unsupported": 2}


def test_missing_photos_are_no_results_until_they_return(catalogue: Catalogue, root: Root) -> None:
    add(catalogue, [photo(root, "a.jpg", "dog"), photo(root, "b.jpg", "cat")])
    gone = ids_at(catalogue, root)[b"a.jpg"]
    assert catalogue.mark_missing([gone], 1000.0) == 1
    assert catalogue.mark_missing([gone], 2000.0) == 0
    assert catalogue.counts().missing == 1
    assert len(catalogue.live_contents()) == 1
    assert len(catalogue.photos_of(np.array([1, 2]))) == 1
    assert catalogue.photos_in_folder(root.root_id, b"", 1)[b"a.jpg"].missing
    assert catalogue.mark_present([gone]) == 1
    assert not catalogue.photos_in_folder(root.root_id, b"", 1)[b"a.jpg"].missing
    assert len(catalogue.live_contents()) == 2


def test_a_content_stays_found_while_one_of_its_photos_is_there(
    catalogue: Catalogue, root: Root
) -> None:
    add(catalogue, [photo(root, "a.jpg", "dog"), photo(root, "b.jpg", "dog")])
    ids = ids_at(catalogue, root)
    catalogue.mark_missing([ids[b"a.jpg"]], 1.0)
    assert len(catalogue.live_contents()) == 1
    catalogue.mark_missing([ids[b"b.jpg"]], 1.0)
    assert len(catalogue.live_contents()) == 0


def test_only_photos_whose_content_has_arrived_elsewhere_count_as_moved(
    catalogue: Catalogue, root: Root
) -> None:
    add(catalogue, [photo(root, "old.jpg", "dog"), photo(root, "lost.jpg", "cat")])
    add(catalogue, [photo(root, "twin.jpg", "dog")])
    last = catalogue.last_photo_id()
    ids = ids_at(catalogue, root)
    absent = [ids[b"old.jpg"], ids[b"lost.jpg"], ids[b"twin.jpg"]]
    assert catalogue.moved_photos(absent, last) == []
    add(catalogue, [photo(root, "new.jpg", "dog", facts=None)])
    # Two copies vanished and one arrived: one has moved, the other is missing.
    moved = catalogue.moved_photos(absent, last)
    assert moved == [ids[b"old.jpg"]]
    assert catalogue.delete_photos(moved) == 1
    assert set(ids_at(catalogue, root)) == {b"new.jpg", b"lost.jpg", b"twin.jpg"}


def test_deleting_the_last_photo_keeps_the_embedding(catalogue: Catalogue, root: Root) -> None:
    add(catalogue, [photo(root, "a.jpg", "dog")])
    catalogue.delete_photos(list(ids_at(catalogue, root).values()))
    assert catalogue.live_contents().size == 0
    assert catalogue.has_embedding(1, hash_of("dog"))


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (np.array([np.nan, 0, 0, 1], np.float32), "finite"),
        (np.array([0, 0, 0, 0], np.float32), "norm"),
        (np.array([2, 0, 0, 0], np.float32), "norm"),
        (np.array([1, 0, 0], np.float32), "shape"),
    ],
    ids=["nan", "zero", "long", "short"],
)
def test_one_refused_vector_undoes_the_whole_batch(
    catalogue: Catalogue, root: Root, bad: np.ndarray, why: str
) -> None:
    before = catalogue.history.generation()
    photos = [photo(root, "a.jpg", "good"), photo(root, "b.jpg", "bad")]
    with pytest.raises(ValueError, match=why):
        catalogue.write_batch(1, photos, {hash_of("good"): unit(1, 0, 0, 0), hash_of("bad"): bad})
    assert catalogue.history.generation() == before
    assert catalogue.counts().photos == 0
    assert catalogue.folders(root.root_id) == set()


def test_a_photo_may_not_be_recorded_without_its_embedding(
    catalogue: Catalogue, root: Root
) -> None:
    with pytest.raises(ValueError, match="without an embedding"):
        catalogue.write_batch(1, [photo(root, "a.jpg", "dog")], {})
    with pytest.raises(ValueError, match="no facts"):
        catalogue.write_batch(1, [photo(root, "a.jpg", "dog", facts=None)], {})
    with pytest.raises(ValueError, match="belongs to no photo"):
        catalogue.write_batch(1, [], {hash_of("dog"): unit(1, 0, 0, 0)})
    assert catalogue.counts().photos == 0


def test_every_change_is_a_new_generation_with_its_own_stamp(
    catalogue: Catalogue, root: Root
) -> None:
    number, stamp = catalogue.history.generation()
    add(catalogue, [photo(root, "a.jpg", "dog")])
    later, other = catalogue.history.generation()
    assert later == number + 1
    assert other != stamp
    assert catalogue.history.has(number, stamp)
    assert not catalogue.history.has(number, other)
    catalogue.mark_missing([])
    assert catalogue.history.generation() == (later, other)


def test_known_contents_can_be_asked_for_from_many_threads(
    catalogue: Catalogue, root: Root
) -> None:
    add(catalogue, [photo(root, f"{i}.jpg", str(i)) for i in range(20)])
    wrong: list[int] = []

    def ask() -> None:
        for i in range(40):
            if catalogue.has_embedding(1, hash_of(str(i))) is not (i < 20):
                wrong.append(i)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_row_that_points_to_another_content_is_refused_and_read_again(
    catalogue: Catalogue, root: Root
) -> None:
    add(catalogue, [photo(root, "a.jpg", "dog"), photo(root, "b.jpg", "cat")])
    contents = catalogue.live_contents()
    catalogue._db.change("UPDATE photos SET content_id = ? WHERE name = ?", (2, b"a.jpg"))
    with pytest.raises(DamageError, match=r"a\.jpg"):
        catalogue.photos_of(contents)
    with pytest.raises(DamageError, match="clipsearch index"):
        catalogue.photo_at(b"/photos/a.jpg")
    known = catalogue.photos_in_folder(root.root_id, b"", 1)
    assert [known[name].embedded for name in (b"a.jpg", b"b.jpg")] == [False, True]
    add(catalogue, [photo(root, "a.jpg", "dog", facts=None)])
    assert len(catalogue.photos_of(contents)) == 2


def test_a_date_that_is_no_date_is_damage(catalogue: Catalogue, root: Root) -> None:
    add(catalogue, [photo(root, "a.jpg", "dog")])
    catalogue._db.change("UPDATE contents SET taken_at = 'yesterday'")
    with pytest.raises(DamageError):
        catalogue.photo_at(b"/photos/a.jpg")


def test_no_photos_are_no_change(catalogue: Catalogue) -> None:
    before = catalogue.history.generation()
    assert catalogue.mark_missing([]) == catalogue.mark_present([]) == 0
    assert catalogue.delete_photos([]) == catalogue.doubt_photos([]) == 0
    assert catalogue.history.generation() == before


def test_a_doubtful_photo_is_no_longer_known_by_its_stat_but_by_its_size(
    catalogue: Catalogue, root: Root
) -> None:
    add(catalogue, [photo(root, "a.jpg", "dog"), photo(root, "b.jpg", "cat")])
    assert catalogue.doubt_photos([1]) == 1
    known = catalogue.photos_in_folder(root.root_id, b"", 1)
    assert not same_file(known[b"a.jpg"].stat, STAT)
    assert known[b"a.jpg"].stat.size == STAT.size
    assert same_file(known[b"b.jpg"].stat, STAT)


def test_all_that_is_stored_about_a_path(catalogue: Catalogue, root: Root) -> None:
    other = catalogue.add_root(b"/other", 5, 7)
    add(catalogue, [photo(root, "a.jpg", "dog"), photo(other, "sub/copy.jpg", "dog")])
    catalogue.write_batch(1, [], {}, [failure(root, "cut.jpg")])
    catalogue.mark_missing([1], 1000.0)
    record = catalogue.record_at(b"/photos/a.jpg")
    assert record is not None
    assert (record.root, record.missing_since, record.stat) == (b"/photos", 1000.0, STAT)
    assert (record.content_hash, record.facts, record.kind) == (hash_of("dog"), FACTS, None)
    assert catalogue.paths_of(1) == [(b"/other/sub/copy.jpg", False), (b"/photos/a.jpg", True)]
    problem = catalogue.record_at(b"/photos/cut.jpg")
    assert problem is not None
    assert (problem.kind, problem.reason, problem.facts) == ("damaged", "cut short", None)
    for path in (b"/photos/none.jpg", b"/photosa.jpg", b"/photos", b"/elsewhere/a.jpg", b"/"):
        assert catalogue.record_at(path) is catalogue.photo_at(path) is None
    catalogue._db.change("UPDATE photos SET checksum = 1")
    for path in (b"/photos/a.jpg", b"/photos/cut.jpg"):
        with pytest.raises(DamageError, match="The row of"):
            catalogue.record_at(path)


def test_a_root_that_is_the_whole_disk_has_records_too(catalogue: Catalogue) -> None:
    disk = catalogue.add_root(b"/", 5, 7)
    add(catalogue, [photo(disk, "a.jpg", "dog"), photo(disk, "sub/b.jpg", "cat")])
    for path in (b"/a.jpg", b"/sub/b.jpg"):
        record = catalogue.record_at(path)
        assert record is not None
        assert record.path == path
    assert list(catalogue.live_paths(disk)) == [b"/a.jpg", b"/sub/b.jpg"]
    assert [file.path for file in catalogue.indexed_files()] == [b"/a.jpg", b"/sub/b.jpg"]
