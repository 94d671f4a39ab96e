"""Files that change under the reader's hands, and facts about files that cannot be."""

import io
import os
import threading
from pathlib import Path

import pytest
from PIL import Image

from tests.fault.subject import Album, Subject, Subjects
from tests.fault.table import Trials
from tests.indexing.album import Album as ColourAlbum

RED, BLUE = (255, 0, 0), (0, 0, 255)


def photo_of(colour: tuple[int, int, int], padding: int) -> bytes:
    """A photo whose bytes take a while to read; the rest behind its end is of one colour too."""
    buffer = io.BytesIO()
    Image.new("RGB", (24, 24), colour).save(buffer, "BMP")
    return buffer.getvalue() + bytes([colour[0]]) * padding


class Swapping:
    """A thread that writes one of two photos over a file, again and again, never atomically."""

    def __init__(self, path: Path, versions: tuple[bytes, bytes]) -> None:
        self._path = path
        self._versions = versions
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._swap)

    def __enter__(self) -> "Swapping":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _swap(self) -> None:
        turn = 0
        while not self._stop.wait(0.002):
            turn += 1
            descriptor = os.open(self._path, os.O_WRONLY)
            data = self._versions[turn % 2]
            for start in range(0, len(data), 65536):
                os.pwrite(descriptor, data[start : start + 65536], start)
            os.close(descriptor)


@pytest.mark.row("C9")
def test_a_file_rewritten_while_it_is_read_is_one_version_or_none(
    tmp_path: Path, trials: Trials
) -> None:
    """The oracle asks for the file's own bytes: here, that they are one of the two versions."""
    import hashlib

    from clipsearch.library import Library
    from tests.indexing.album import vector_of

    album = ColourAlbum(tmp_path)
    path = album.photos / "photo.bmp"
    versions = photo_of(RED, 400_000), photo_of(BLUE, 400_000)
    expected = {
        hashlib.sha256(data).digest(): vector_of(colour)
        for data, colour in zip(versions, (RED, BLUE), strict=True)
    }
    path.write_bytes(versions[0])
    outcomes = set()
    with Swapping(path, versions):
        for _ in range(trials(12, 500)):
            summary = album.index()
            outcomes |= set(summary.problems) or {"read"}
            with Library.open(album.library) as library:
                rows = library.catalogue._db.rows(
                    "SELECT c.id, c.hash FROM photos p JOIN contents c ON c.id = p.content_id"
                )
                for content_id, content_hash in rows:
                    assert content_hash in expected, "a mixture of two versions was stored"
                    stored = library.vectors_of([content_id])[0]  # type: ignore[arg-type]
                    assert abs(stored - expected[content_hash]).max() < 2e-3
    assert outcomes <= {"read", "refused"}, outcomes
    assert album.index(retry=True).complete


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
