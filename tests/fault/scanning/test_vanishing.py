"""Ten thousand scans of a disk that comes and goes: nothing that is there is marked missing."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from clipsearch.encoders.fake import FAKE
from clipsearch.indexing import absence, index, run
from clipsearch.library import Library
from clipsearch.photos import walk
from clipsearch.types import PhotoProblem
from tests.fault.scanning.scripted_disk import CONDITIONS, ScriptedDisk, random_script
from tests.fault.subject import Album, seeded
from tests.fault.table import Trials
from tests.indexing.album import CountingEncoder

PHOTOS = 20


class NoReader:
    """Reads nothing: what the real reader is asked for here lies on a disk that is not there."""

    def __init__(self, *arguments: object, in_hand: object) -> None:
        pass

    def __enter__(self) -> "NoReader":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def read(self, paths: Iterable[bytes], known: object) -> Iterator[PhotoProblem]:
        for path in paths:
            yield PhotoProblem(path, None, "gone", "gone since it was listed")


class Scanned:
    """A library whose root is on a scripted disk."""

    def __init__(self, folder: Path, library: Library) -> None:
        self.album = Album(folder / "album", PHOTOS)
        self.root = os.fsencode(self.album.folder)
        for name in ("empty", "other"):
            (folder / name).mkdir()
        for number in range(12):
            (folder / "other" / f"DSC_{number}.png").write_bytes(b"another photo")
        stand_ins = (os.fsencode(folder / name) for name in ("empty", "other"))
        self.disk = ScriptedDisk(self.root, *stand_ins)
        self._library = library
        self._index(CountingEncoder)

    def scan(self) -> None:
        self._index(lambda: pytest.fail("something was encoded again"))

    def _index(self, load: Callable[[], object]) -> None:
        index(self._library, FAKE, lambda expected: load(), [self.root])  # type: ignore[arg-type, return-value]

    def missing(self) -> set[bytes]:
        rows = self._library.catalogue._db.rows(
            """SELECT r.path || '/' || iif(f.path = x'', x'', f.path || '/') || p.name FROM photos p
            JOIN folders f ON f.id = p.folder_id JOIN roots r ON r.id = f.root_id
            WHERE p.missing_since IS NOT NULL"""
        )
        return {bytes(row[0]) if isinstance(row[0], bytes) else row[0].encode() for row in rows}


@pytest.fixture
def scanned(
    tmp_path: Path, fast_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scanned]:
    with Library.open(fast_folder / "library", create=True) as library:
        scanned = Scanned(tmp_path, library)
        for module in (walk, absence):
            monkeypatch.setattr(module, "os", scanned.disk)
        monkeypatch.setattr(walk, "scandir", scanned.disk.scandir)
        monkeypatch.setattr(walk, "lstat", scanned.disk.lstat)
        monkeypatch.setattr(run, "PhotoReader", NoReader)
        yield scanned


def prove(scanned: Scanned, script: list[tuple[int, str]], deleted: frozenset[bytes]) -> None:
    """Scan by the script, then with everything back: only what was deleted may be missing."""
    scanned.disk.begin(script, deleted)
    scanned.scan()
    wrongly = scanned.missing() - deleted
    assert not wrongly, f"{script}: {len(wrongly)} photos that are there were marked missing"
    scanned.disk.begin([], frozenset())
    scanned.scan()
    assert not scanned.missing(), f"{script}: not all photos are back"


@pytest.mark.row("C4", "C5")
@pytest.mark.parametrize("condition", CONDITIONS[1:])
def test_the_disk_goes_at_every_single_call(scanned: Scanned, condition: str) -> None:
    scanned.disk.begin([], frozenset())
    scanned.scan()
    for moment in range(scanned.disk.operations + 1):
        prove(scanned, [(moment, condition)], frozenset())


@pytest.mark.row("C4", "C5")
def test_random_scripts(scanned: Scanned, trials: Trials) -> None:
    scanned.disk.begin([], frozenset())
    scanned.scan()
    operations = scanned.disk.operations + 10
    paths = sorted(scanned.album.names())
    for number in range(trials(10_000, 50_000)):
        chance = seeded("scripts", number)
        deleted = frozenset(chance.sample(paths, chance.choice((0, 0, 1, 3, 9))))
        prove(scanned, random_script(chance, operations), deleted)


def test_what_is_really_deleted_is_marked(scanned: Scanned) -> None:
    """Or the tests above would pass for a program that marks nothing."""
    deleted = frozenset(sorted(scanned.album.names())[:6])
    scanned.disk.begin([], deleted)
    scanned.scan()
    assert scanned.missing() == deleted
