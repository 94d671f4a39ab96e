"""Indexing with the fake model: what is read, what is encoded, and what is recorded."""

import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipsearch.encoders.fake import FAKE
from clipsearch.errors import UsageError
from clipsearch.indexing.encoding import FIRST_BATCH, Encoding
from clipsearch.library import Library
from clipsearch.photos.files import file_stat
from clipsearch.photos.reading import PhotoReader
from clipsearch.storage.catalogue import Catalogue
from clipsearch.types import Floats, PhotoProblem, Pixels
from tests.indexing.album import Album, CountingEncoder, adds_up, vector_of

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture
def album(tmp_path: Path) -> Album:
    return Album(tmp_path)


def colours(n: int) -> dict[str, tuple[int, int, int]]:
    return {f"{i // 50}/{i:03}.png": (i % 256, (i * 7) % 256, 255 - i % 256) for i in range(n)}


def test_every_photo_gets_its_own_vector(album: Album) -> None:
    expected = colours(120)
    for name, colour in expected.items():
        album.add(name, colour)
    summary = album.index()
    assert (summary.new, summary.encoded, summary.found) == (120, 120, 120)
    assert summary.complete
    assert adds_up(summary)
    album.check(expected)


def test_a_second_run_reads_nothing_and_loads_no_model(album: Album) -> None:
    album.add("a.png", RED)
    album.index()

    def refuse(expected: int) -> CountingEncoder:
        raise AssertionError("a model was loaded for nothing")

    summary = album.index(load_encoder=refuse)
    assert (summary.unchanged, summary.encoded) == (1, 0)
    assert adds_up(summary)


def test_changed_photo_is_encoded_again(album: Album) -> None:
    album.add("a.png", RED)
    album.add("b.png", BLUE)
    album.index()
    album.add("a.png", GREEN)
    summary = album.index()
    assert (summary.changed, summary.unchanged, summary.encoded) == (1, 1, 1)
    album.check({"a.png": GREEN, "b.png": BLUE})


@pytest.mark.row("C14")
def test_same_size_and_mtime_but_new_content_is_noticed(album: Album) -> None:
    path = album.add("a.png", RED)
    before = path.stat()
    album.index()
    data = path.read_bytes()
    album.add("other.png", GREEN)
    green = (album.photos / "other.png").read_bytes()
    (album.photos / "other.png").unlink()
    path.write_bytes(green + bytes(max(0, len(data) - len(green))))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert album.index().changed == 1
    album.check({"a.png": GREEN})


def test_moved_and_copied_photos_are_not_encoded_again(album: Album) -> None:
    first = album.add("a.png", RED)
    album.add("b.png", BLUE)
    album.index()
    (album.photos / "sub").mkdir()
    first.rename(album.photos / "sub" / "moved.png")
    shutil.copy(album.photos / "b.png", album.photos / "copy.png")
    album.encoder.encoded = 0
    summary = album.index()
    assert (summary.moved, summary.new, summary.missing) == (1, 1, 0)
    assert album.encoder.encoded == 0
    assert adds_up(summary)
    album.check({"sub/moved.png": RED, "b.png": BLUE, "copy.png": BLUE})


@pytest.mark.row("C16")
def test_renamed_folder_is_a_move(album: Album) -> None:
    for i in range(20):
        album.add(f"old/{i}.png", (i * 10, 0, 255))
    album.index()
    (album.photos / "old").rename(album.photos / "new")
    summary = album.index()
    assert (summary.moved, summary.encoded, summary.missing) == (20, 0, 0)
    album.check({f"new/{i}.png": (i * 10, 0, 255) for i in range(20)})


def test_copies_within_one_run_are_encoded_once(album: Album) -> None:
    for i in range(30):
        album.add(f"{i}.png", RED)
    assert album.index().encoded == 1
    assert album.encoder.encoded == 1
    album.check({f"{i}.png": RED for i in range(30)})


def test_copies_of_what_is_being_encoded_are_not_encoded_again(album: Album) -> None:
    class Slow(CountingEncoder):
        def encode_image(self, pixels: Pixels) -> Floats:
            # Long enough for the copies to be decoded: the library knows nothing of them yet.
            time.sleep(0.5)
            return super().encode_image(pixels)

    expected = {f"a{i}.png": (i * 30, 0, 255) for i in range(8)}
    expected |= {f"b{i}.png": (i * 30, 0, 255) for i in range(8)}
    for name, colour in expected.items():
        album.add(name, colour)
    encoder = Slow()
    assert album.index(load_encoder=lambda expected: encoder).encoded == 8
    assert encoder.encoded == 8
    album.check(expected)


def test_a_batch_is_committed_while_the_next_is_encoded(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    second_collected, second_began = threading.Event(), threading.Event()
    collected, seen = [], []

    class Announcing(CountingEncoder):
        def encode_image(self, pixels: Pixels) -> Floats:
            if self.encoded:
                second_began.set()
            else:
                second_collected.wait(10)
            return super().encode_image(pixels)

    add = Encoding._add

    def add_and_tell(encoding: Encoding, *arguments: Any) -> None:
        add(encoding, *arguments)
        collected.append(arguments)
        if len(collected) == 2 * FIRST_BATCH:
            second_collected.set()

    monkeypatch.setattr(Encoding, "_add", add_and_tell)
    write_batch = Catalogue.write_batch

    def write(catalogue: Catalogue, *arguments: Any) -> None:
        seen.append(second_began.wait(10))
        write_batch(catalogue, *arguments)

    monkeypatch.setattr(Catalogue, "write_batch", write)
    expected = colours(60)
    for name, colour in expected.items():
        album.add(name, colour)
    assert album.index(load_encoder=lambda expected: Announcing()).encoded == 60
    assert all(seen)
    album.check(expected)


def test_deleted_photo_is_missing_and_comes_back(album: Album) -> None:
    for i in range(5):
        album.add(f"{i}.png", (50 * i, 0, 0))
    album.index()
    data = (album.photos / "2.png").read_bytes()
    (album.photos / "2.png").unlink()
    summary = album.index()
    assert (summary.missing, summary.unchanged) == (1, 4)
    assert "2.png" not in album.stored()
    (album.photos / "2.png").write_bytes(data)
    assert album.index().encoded == 0
    assert "2.png" in album.stored()


def test_bad_files_cost_only_themselves(album: Album) -> None:
    expected = colours(40)
    for name, colour in expected.items():
        album.add(name, colour)
    for i in range(0, 40, 7):
        (album.photos / "0" / f"bad{i}.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    (album.photos / "notes.txt").write_text("no photo")
    summary = album.index()
    assert sum(summary.problems.values()) == 6
    assert summary.other_files == 1
    assert not summary.complete
    assert adds_up(summary)
    album.check(expected)
    again = album.index()
    assert again.fresh_problems == ()
    assert adds_up(again)
    assert sum(album.index(retry=True).problems.values()) == 6


@pytest.mark.row("G5")
def test_a_row_the_model_cannot_encode_is_reported_and_shifts_nothing(album: Album) -> None:
    class Poisoned(CountingEncoder):
        def encode_image(self, pixels: Pixels) -> Floats:
            rows = super().encode_image(pixels)
            rows[(pixels.mean(axis=(1, 2)) == [0, 255, 0]).all(axis=1)] = np.nan
            return rows

    album.add("a.png", RED)
    album.add("b.png", GREEN)
    album.add("c.png", BLUE)
    summary = album.index(load_encoder=lambda expected: Poisoned())
    assert [p.path for p in summary.fresh_problems] == [os.fsencode(album.photos / "b.png")]
    assert adds_up(summary)
    album.check({"a.png": RED, "c.png": BLUE})


@pytest.mark.row("A4")
def test_interrupted_run_keeps_what_is_done_and_goes_on(album: Album) -> None:
    expected = colours(60)
    for name, colour in expected.items():
        album.add(name, colour)

    class Interrupted(CountingEncoder):
        def encode_image(self, pixels: Pixels) -> Floats:
            if self.encoded:
                raise KeyboardInterrupt
            return super().encode_image(pixels)

    first = album.index(load_encoder=lambda expected: Interrupted())
    assert first.interrupted
    assert 0 < first.new < 60
    assert adds_up(first)
    second = album.index()
    assert first.encoded + second.encoded == 60
    album.check(expected)


def test_a_folder_inside_a_root_is_scanned_as_part_of_it(album: Album) -> None:
    album.add("in/a.png", RED)
    album.add("out/b.png", BLUE)
    album.index()
    album.add("in/c.png", GREEN)
    album.add("out/d.png", GREEN)
    assert album.index(album.photos / "in").new == 1
    album.check({"in/a.png": RED, "in/c.png": GREEN, "out/b.png": BLUE})


def test_a_folder_around_a_root_takes_it_over(album: Album) -> None:
    album.add("in/a.png", RED)
    album.add("b.png", BLUE)
    album.index(album.photos / "in")
    summary = album.index(album.photos)
    assert (summary.new, summary.unchanged) == (1, 1)
    album.check({"in/a.png": RED, "b.png": BLUE})
    with Library.open(album.library) as library:
        assert [root.path for root in library.catalogue.roots()] == [os.fsencode(album.photos)]


@pytest.mark.row("G4")
def test_another_model_is_encoded_beside_and_switched_at_the_end(album: Album) -> None:
    album.add("a.png", RED)
    album.add("b.png", BLUE)
    album.index()
    other = replace(FAKE, name="other", fingerprint="f" * 64)

    class Interrupted(CountingEncoder):
        def encode_image(self, pixels: Pixels) -> Floats:
            raise KeyboardInterrupt

    stopped = album.index(model=other, load_encoder=lambda expected: Interrupted())
    assert not stopped.model_activated
    album.check({"a.png": RED, "b.png": BLUE})
    done = album.index(model=other)
    assert done.model_activated
    assert (done.encoded, done.reencoded, done.changed) == (2, 2, 0)
    assert adds_up(done)
    with Library.open(album.library) as library:
        assert library.model == other


def test_a_disk_that_goes_away_during_a_switch_costs_nothing(album: Album) -> None:
    for i in range(9):
        album.add(f"{i}.png", (i * 20, 0, 0))
    album.index()
    other = replace(FAKE, name="other", fingerprint="f" * 64)
    away = album.photos.parent / "away"

    def unplug(stage: str, done: int, total: int | None) -> None:
        if stage == "scan":
            album.photos.rename(away)

    summary = album.index(model=other, progress=unplug)
    assert not summary.model_activated
    assert summary.gone == 9
    assert adds_up(summary)
    album.check({f"{i}.png": (i * 20, 0, 0) for i in range(9)})
    away.rename(album.photos)
    assert album.index(model=other).model_activated


def test_a_file_that_cannot_be_read_now_keeps_what_is_known_of_it(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = album.add("a.png", RED)
    album.index()
    album.add("a.png", GREEN)

    def fail(reader: PhotoReader, paths: Iterable[bytes], known: object) -> Iterator[PhotoProblem]:
        for each in paths:
            yield PhotoProblem(each, None, "unreadable", "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(PhotoReader, "read", fail)
        summary = album.index()
    assert summary.problems == {"unreadable": 1}
    album.check({path.name: RED})
    assert album.index().changed == 1
    album.check({path.name: GREEN})


def test_a_new_file_that_could_not_be_read_is_tried_again(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    album.add("a.png", RED)

    def fail(reader: PhotoReader, paths: Iterable[bytes], known: object) -> Iterator[PhotoProblem]:
        for each in paths:
            yield PhotoProblem(each, file_stat(os.lstat(each)), "unreadable", "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(PhotoReader, "read", fail)
        assert album.index().problems == {"unreadable": 1}
    assert album.index().complete
    album.check({"a.png": RED})


@pytest.mark.row("C8")
def test_a_file_that_vanishes_before_it_is_read_leaves_nothing_behind(album: Album) -> None:
    album.add("a.png", RED)
    doomed = album.add("b.png", GREEN)

    def vanish(stage: str, done: int, total: int | None) -> None:
        if stage == "scan":
            doomed.unlink()

    summary = album.index(progress=vanish)
    assert (summary.gone, summary.new) == (1, 1)
    assert summary.complete
    with Library.open(album.library) as library:
        assert list(library.catalogue.problems()) == []


def test_a_moved_photo_loads_no_model(album: Album) -> None:
    path = album.add("a.png", RED)
    album.index()
    path.rename(path.with_name("b.png"))
    summary = album.index(load_encoder=lambda expected: pytest.fail("loaded"))
    assert (summary.moved, summary.encoded) == (1, 0)


def test_one_arrival_stands_for_one_move_across_roots(album: Album) -> None:
    a, b, c = (album.photos / name for name in "abc")
    album.add("a/x.png", RED)
    album.add("b/x.png", RED)
    album.add("c/other.png", BLUE)
    album.add("b/stays.png", GREEN)
    album.index(a, b, c)
    (a / "x.png").rename(c / "x.png")
    (b / "x.png").unlink()
    summary = album.index(a, b, c)
    assert (summary.moved, summary.new) == (1, 0)
    assert adds_up(summary)


def test_a_mistyped_folder_changes_nothing(album: Album) -> None:
    with pytest.raises(UsageError):
        album.index(album.photos, album.photos.parent / "nowhere")
    with Library.open(album.library) as library:
        assert library.model is None
        assert library.catalogue.roots() == []


def test_a_library_inside_the_photos_is_not_read(album: Album) -> None:
    album.add("a.png", RED)
    album.library = album.photos / "library"
    assert (album.index().found, album.index().found) == (1, 1)


def test_a_library_among_the_photos_hides_none_of_them(album: Album, tmp_path: Path) -> None:
    """It once wrote an ignore file that kept every photo beside it out, of all libraries."""
    album.add("a.png", RED)
    album.add("in/b.png", BLUE)
    elsewhere = album.library
    album.index()
    album.library = album.photos
    assert (album.index().found, album.index().unchanged) == (2, 2)
    album.library = elsewhere
    assert album.index().unchanged == 2


def test_a_partial_scan_is_not_a_scan_of_the_root(album: Album) -> None:
    album.add("in/a.png", RED)
    album.index()
    with Library.open(album.library) as library:
        before = library.catalogue.roots()[0].scanned_at
    album.index(album.photos / "in")
    with Library.open(album.library) as library:
        assert library.catalogue.roots()[0].scanned_at == before


def test_a_path_that_is_no_folder_is_a_usage_error(album: Album) -> None:
    photo = album.add("a.png", RED)
    with pytest.raises(UsageError, match="is a file"):
        album.index(photo)
    with pytest.raises(UsageError, match="no folder"):
        album.index(album.photos / "nowhere")


def test_the_photo_folder_is_untouched(album: Album) -> None:
    for i in range(3):
        album.add(f"{i}.png", (i, i, i))
    before = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in album.photos.iterdir()}
    album.index()
    after = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in album.photos.iterdir()}
    assert after == before


def test_vectors_by_hand() -> None:
    np.testing.assert_allclose(vector_of(RED), [1, 0, 0, 0])


def test_a_damaged_photo_that_comes_back_is_told_again(album: Album) -> None:
    album.add("keep.png", (9, 9, 9))
    broken = album.photos / "trip" / "broken.png"
    broken.parent.mkdir()
    broken.write_bytes(b"\x89PNG\r\n\x1a\nno photo")
    album.index()
    away = album.photos.parent / "away"
    broken.parent.rename(away)
    album.index()
    away.rename(broken.parent)
    summary = album.index()
    assert (summary.problems, summary.restored) == ({"damaged": 1}, 0)
    with Library.open(album.library) as library:
        assert [problem.path for problem in library.catalogue.problems()] == [bytes(broken)]
