"""What the root itself is asked at the end of a scan, on systems of every kind."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from clipsearch.indexing import absence
from clipsearch.indexing.absence import confirmed_absent, is_other_volume, root_identity
from clipsearch.indexing.scan import Candidate, PendingFile, RootScan, Scope
from clipsearch.storage.records import Root
from clipsearch.types import FileStat

STAT = FileStat(size=7, mtime_ns=8, ctime_ns=9, inode=1, device=1)


@pytest.fixture
def scanned(tmp_path: Path) -> RootScan:
    """One candidate whose file is there, one whose file is not, one below a file."""
    root = os.fsencode(tmp_path)
    (tmp_path / "there.jpg").write_bytes(b"photo")
    names = [b"there.jpg", b"gone.jpg", b"there.jpg/below.jpg"]
    found = RootScan(Scope(Root(1, root, 0, 0, 0.0, None), b""))
    found.candidates = [
        Candidate(number, root + b"/" + name, STAT, False) for number, name in enumerate(names)
    ]
    return found


def identity(scanned: RootScan) -> tuple[int, int]:
    found = root_identity(scanned.scope.root.path)
    assert found is not None
    return found


@pytest.fixture(params=[True, False], ids=["through the open root", "by path"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows opens no folders."""
    if not request.param:
        without = SimpleNamespace(**{**vars(os), "supports_dir_fd": set()})
        monkeypatch.setattr(absence, "os", without)


@pytest.mark.usefixtures("system")
def test_only_what_the_root_says_is_not_there_is_absent(scanned: RootScan) -> None:
    absent = confirmed_absent(scanned, identity(scanned))
    assert [candidate.photo_id for candidate in absent] == [1, 2]


@pytest.mark.usefixtures("system")
def test_another_root_than_at_the_start_is_not_asked(scanned: RootScan) -> None:
    device, inode = identity(scanned)
    assert confirmed_absent(scanned, (device, inode + 1)) == []


@pytest.mark.usefixtures("system")
def test_a_root_that_is_not_there_is_not_asked(scanned: RootScan, tmp_path: Path) -> None:
    before = identity(scanned)
    tmp_path.rename(tmp_path.with_name("away"))
    assert confirmed_absent(scanned, before) == []
    tmp_path.with_name("away").rename(tmp_path)


@pytest.mark.parametrize("number", [5, 13, 116])
def test_any_other_answer_is_none(
    scanned: RootScan, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    before = identity(scanned)

    def failing(path: bytes, **options: object) -> os.stat_result:
        raise OSError(number, os.strerror(number))

    stand_in = SimpleNamespace(**{**vars(os), "stat": failing, "supports_dir_fd": {failing}})
    monkeypatch.setattr(absence, "os", stand_in)
    assert confirmed_absent(scanned, before) == []


def test_a_new_file_that_is_gone_again_is_no_known_photo(scanned: RootScan) -> None:
    scanned.pending = [PendingFile(1, b"", b"vanished.jpg", "new", False)]
    assert is_other_volume(scanned)


def test_a_part_of_a_root_is_no_volume(scanned: RootScan) -> None:
    scanned.pending = [PendingFile(1, b"", b"there.jpg", "new", False)]
    assert is_other_volume(scanned)
    part = RootScan(Scope(scanned.scope.root, b"part"))
    part.pending, part.candidates = scanned.pending, scanned.candidates
    assert not is_other_volume(part)


def test_a_photo_of_a_known_size_and_time_is_one_of_ours(scanned: RootScan, tmp_path: Path) -> None:
    facts = (tmp_path / "there.jpg").lstat()
    known = FileStat(facts.st_size, facts.st_mtime_ns, 0, 0, 0)
    scanned.candidates.append(Candidate(9, b"/elsewhere.jpg", known, False))
    scanned.pending = [PendingFile(1, b"", b"there.jpg", "new", False)]
    assert not is_other_volume(scanned)
