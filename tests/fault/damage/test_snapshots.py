"""F1: a damaged, foreign or outdated snapshot is noticed, and changes no answer."""

import random
from collections.abc import Iterator
from pathlib import Path

import faiss
import pytest

from clipsearch.encoders.fake import FAKE
from clipsearch.library import Library
from clipsearch.storage import model_snapshot
from clipsearch.storage.snapshot_file import UnusableSnapshot
from clipsearch.storage.vectors import verify_snapshot
from tests.fault.damage.stored_album import Kept

CUTS = 64
pytestmark = pytest.mark.row("F1")


@pytest.fixture
def snapshot(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The snapshot's path, in a library that is asked to use it however small it is."""
    monkeypatch.setattr(model_snapshot, "WITHOUT_SNAPSHOT", 0)
    kept.restore()
    (path,) = kept.album.library.glob("*.faiss")
    with Library.open(kept.album.library) as library:
        assert library._answering().usable_snapshot() is not None
    yield path
    kept.restore()


def put(snapshot: Path, data: bytes) -> None:
    """Another file in its place: one that is mapped is never written over."""
    snapshot.unlink()
    snapshot.write_bytes(data)


def is_noticed(kept: Kept, snapshot: Path) -> bool:
    with Library.open(kept.album.library) as library:
        library_id = library.catalogue.library_id()
    try:
        verify_snapshot(snapshot, library_id, FAKE.fingerprint, FAKE.embed_dim)
    except UnusableSnapshot:
        return True
    return False


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.nightly) for n in (1, 2))])
def test_1000_changed_bytes(kept: Kept, snapshot: Path, seed: int) -> None:
    good, dice = snapshot.read_bytes(), random.Random(seed)
    right = kept.answers()
    assert not is_noticed(kept, snapshot)
    # Every part of the file: FAISS's own words, rows, table, header, its checksum, the end.
    parts = [(0, 200), (200, 4000), (len(good) - 1500, len(good)), (len(good) - 44, len(good))]
    for trial in range(1000):
        bad = bytearray(good)
        bad[dice.randrange(*[*parts, (0, len(good))][trial % 5])] ^= dice.randint(1, 255)
        put(snapshot, bad)
        assert is_noticed(kept, snapshot), trial
        if trial % 10 == 0:
            assert kept.answers() == right
    with Library.open(kept.album.library) as library:
        assert library.rebuild_snapshot()
        assert not library.rebuild_snapshot()
        assert library._answering().usable_snapshot() is not None
    assert not is_noticed(kept, snapshot)
    assert kept.answers() == right


def test_cut_at_64_places_it_never_reaches_faiss(
    kept: Kept, snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = snapshot.read_bytes()
    right = kept.answers()
    monkeypatch.setattr(faiss, "read_index", lambda *_: pytest.fail("FAISS was asked to read it"))
    for cut in range(CUTS):
        put(snapshot, good[: len(good) * cut // CUTS])
        assert is_noticed(kept, snapshot), cut
        assert kept.answers() == right
    snapshot.unlink()
    assert is_noticed(kept, snapshot)
    assert kept.answers() == right


def test_one_from_before_the_last_changes_gives_their_photos_too(
    kept: Kept, snapshot: Path
) -> None:
    """An older generation is used for what it holds; what came later is read from the catalogue."""
    old = snapshot.read_bytes()
    new = kept.album.add("new.png", (255, 0, 0))
    try:
        kept.album.index()
        put(snapshot, old)
        assert kept.answers()["red"][0][0] == bytes(new)
        with Library.open(kept.album.library) as library:
            assert library.rebuild_snapshot()
        assert kept.answers()["red"][0][0] == bytes(new)
    finally:
        new.unlink()
