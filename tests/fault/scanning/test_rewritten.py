"""Files that change under the reader's hands, and facts about files that cannot be."""

import hashlib
import io
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from clipsearch.library import Library
from clipsearch.types import Floats
from tests.fault.subject import Album, Subject, Subjects, seeded
from tests.fault.table import Trials
from tests.indexing.album import Album as ColourAlbum
from tests.indexing.album import vector_of

COLOURS = (255, 0, 0), (0, 255, 0), (0, 0, 255)
PAGE = 4096
Vectors = dict[bytes, Floats]


def version(turn: int) -> bytes:
    """A photo whose bytes take a while to read: after its end, the turn's number fills a MB."""
    buffer = io.BytesIO()
    Image.new("RGB", (24, 24), COLOURS[turn % 3]).save(buffer, "BMP")
    return buffer.getvalue() + turn.to_bytes(4, "big") * 250_000


def states(turns: Iterable[int]) -> Iterator[tuple[bytes, Floats]]:
    """The hash of everything that the file is in these turns at some moment, with its vector.

    On a busy machine a writer may rest in the middle: then the file is a bit of both. But each
    version is written over the one before it, from its beginning: one whose beginning is of an
    older version than its end never was.
    """
    for turn in turns:
        yield hashlib.sha256(version(turn)).digest(), vector_of(COLOURS[turn % 3])
    for turn in turns:
        old, new = version(turn - 1), version(turn)
        for written in range(PAGE, len(new), PAGE):
            state = new[:written] + old[written:]
            yield hashlib.sha256(state).digest(), vector_of(COLOURS[turn % 3])


class Swapping:
    """A thread that writes each version over the one before, again and again, never atomically.

    Its pauses are as long as a reader waits for a file to rest: some reads are disturbed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.turn = 0
        self._chance = seeded("pauses")

    def __enter__(self) -> "Swapping":
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._swap)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _swap(self) -> None:
        while not self._stop.wait(self._chance.uniform(0, 0.05)):
            self.turn += 1
            descriptor = os.open(self._path, os.O_WRONLY)
            data = version(self.turn)
            for start in range(0, len(data), 16 * PAGE):
                os.pwrite(descriptor, data[start : start + 16 * PAGE], start)
            os.close(descriptor)


def stored(album: ColourAlbum) -> Vectors:
    """The hash that the photo's row has, with the vector that is stored for it."""
    with Library.open(album.library) as library:
        rows = library.catalogue._db.rows(
            "SELECT c.id, c.hash FROM photos p JOIN contents c ON c.id = p.content_id"
        )
        return {found: library.vectors_of([number])[0] for number, found in rows}  # type: ignore[arg-type]


@pytest.mark.row("C9")
def test_a_file_rewritten_while_it_is_read_is_what_it_was_at_one_moment(
    tmp_path: Path, trials: Trials
) -> None:
    """And once it rests, the next run stores what it is: nothing out of date looks up to date."""
    album = ColourAlbum(tmp_path)
    path = album.photos / "photo.bmp"
    path.write_bytes(version(0))
    swapping = Swapping(path)
    for _ in range(trials(12, 500)):
        before = swapping.turn
        with swapping:
            assert album.index().problems.keys() <= {"refused"}
            meanwhile = stored(album)
        album.index()
        at_rest = stored(album)
        assert at_rest.keys() == {hashlib.sha256(path.read_bytes()).digest()}
        for content_hash, vector in (meanwhile | at_rest).items():
            turns = range(before, swapping.turn + 1)
            right = next((found for key, found in states(turns) if key == content_hash), None)
            assert right is not None, "a mixture that never was the file was stored"
            assert abs(vector - right).max() < 2e-3


STRANGE_TIMES = {
    "1970": 0,
    "before": -(10**9) * 3600 * 24 * 365,
    "2099": 4_085_000_000 * 10**9,
    "odd nanoseconds": 1_700_000_000_123_456_789,
    "far future": 2**33 * 10**9,
}


@pytest.mark.row("C15")
def test_impossible_times_are_read_once(tmp_path: Path) -> None:
    subject = Subject(Album(tmp_path / "album", 40), tmp_path / "own")
    for path, when in zip(subject.album.paths, STRANGE_TIMES.values(), strict=False):
        os.utime(path, ns=(when, when))
    subject.album.remember()
    outcome = subject.index()
    assert outcome.code == 0, outcome.errors
    again = subject.index()
    assert again.code == 0
    assert again.summary["unchanged"] == len(subject.album.paths)
    subject.album.prove_untouched()


@pytest.mark.row("C15")
def test_a_clock_that_is_set_back_between_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    album = ColourAlbum(tmp_path)
    for number in range(6):
        album.add(f"{number}.png", (number * 40, 0, 0))
    album.index()
    monkeypatch.setattr(time, "time", lambda: 1.0)
    (album.photos / "0.png").unlink()
    assert album.index().missing == 1
    album.add("0.png", (7, 7, 7))
    assert album.index().problems == {}
    assert album.index().unchanged == 6


@pytest.mark.row("C16")
def test_thousands_of_files_and_their_root_move(tmp_path: Path, trials: Trials) -> None:
    """Copies of few contents: what is moved here is rows, not pixels."""
    count = trials(1000, 10_000)
    subject = Subject(Album(tmp_path / "album", 20), tmp_path / "own")
    source = [path.read_bytes() for path in subject.album.paths]
    for number in range(count):
        path = subject.album.folder / "many" / f"{number % 10}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source[number % 20] + number.to_bytes(4, "little"))
        subject.album.paths.append(path)
    first = subject.index()
    assert first.code == 0, first.errors
    (subject.album.folder / "many").rename(subject.album.folder / "elsewhere")
    moved = subject.index()
    assert moved.code == 0, moved.errors
    assert (moved.summary["encoded"], moved.summary["moved"]) == (0, count)
    assert len(subject.examine().good) == count + 20
    new = subject.album.folder.rename(tmp_path / "renamed")
    root = subject.run("index", str(new), "--model", "fake", "--json")
    assert root.code == 0, root.errors
    assert root.summary["encoded"] == 0


@pytest.mark.row("C18")
def test_content_decides_what_a_file_is(subjects: Subjects, tmp_path: Path) -> None:
    subject = Subject(Album(tmp_path / "album", 8), tmp_path / "own")
    folder = subject.album.folder
    (folder / "png-named.jpg").write_bytes(subject.album.paths[0].read_bytes())
    (folder / "no-extension").write_bytes(subject.album.paths[1].read_bytes())
    (folder / "text.jpg").write_text("This is no photo.")
    (folder / "notes.txt").write_text("Nor is this, and nobody said so.")
    outcome = subject.index()
    assert outcome.code == 3
    assert outcome.summary["other_files"] == 1
    assert outcome.summary["problems"] == {"damaged": 1}
    holding = subject.examine()
    assert len(holding.good) == 10
    assert holding.failed == {
        os.fsencode(folder / "text.jpg"): "damaged",
        os.fsencode(folder / "notes.txt"): "not-photo",
    }
