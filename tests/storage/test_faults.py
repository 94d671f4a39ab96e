"""What a killed process, a full disk and a directory that cannot be written do to a catalogue."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipsearch.errors import StorageError
from clipsearch.storage import connection
from clipsearch.storage.catalogue import Catalogue, Root
from clipsearch.storage.layout import CATALOGUE_NAME
from tests.storage.small_library import MODEL, ROOT, add, hash_of, new_catalogue, photo

WRITE = """
import sys
from pathlib import Path
from clipsearch.errors import ClipsearchError
from clipsearch.storage.catalogue import Catalogue
from tests.storage.small_library import MODEL, ROOT, add, photo

catalogue = Catalogue(Path(sys.argv[1]))
root = catalogue.roots()[0]
try:
    for batch in range(int(sys.argv[2])):
        add(catalogue, [photo(root, f"{batch}/{i}.jpg", f"{batch} {i}") for i in range(20)])
        print(batch, flush=True)
except ClipsearchError as error:
    print(type(error).__name__, error, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    catalogue = new_catalogue(tmp_path)
    catalogue.activate_model(catalogue.register_model(MODEL))
    catalogue.add_root(ROOT, 1, 2)
    catalogue.close()
    return tmp_path / CATALOGUE_NAME


def write(path: Path, batches: int, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WRITE, str(path), str(batches)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )


def whole_batches(path: Path) -> int:
    """The number of batches in a catalogue, after checking that each is complete."""
    catalogue = Catalogue(path)
    batches = catalogue.folders(1)
    for folder in batches:
        known = catalogue.photos_in_folder(1, folder, 1)
        assert len(known) == 20
        assert all(row.embedded for row in known.values())
        assert all(catalogue.photo_at(os.path.join(ROOT, folder, name)) for name in known)
    vectors = sum(len(block.row_ids) for block in catalogue.embeddings(1))
    assert vectors == len(catalogue.live_contents()) == 20 * len(batches)
    catalogue.close()
    return len(batches)


@pytest.mark.row("A1")
@pytest.mark.parametrize(
    ("place", "kept"), [("before_commit:3", 2), ("after_commit:3", 3), ("before_commit:1", 0)]
)
def test_a_killed_writer_leaves_whole_batches_and_the_next_one_goes_on(
    path: Path, place: str, kept: int
) -> None:
    environment = os.environ | {"CLIPSEARCH_FAILPOINT": f"{place}=exit"}
    assert write(path, 5, env=environment).returncode == -9
    assert whole_batches(path) == kept
    write(path, 5)
    assert whole_batches(path) == 5


def test_a_fault_while_committing_undoes_the_batch(
    catalogue: Catalogue, root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPSEARCH_FAILPOINT", "before_commit=raise")
    with pytest.raises(
        StorageError, match=r"catalogue\.sqlite cannot be written .*Check that disk"
    ):
        add(catalogue, [photo(root, "a.jpg", "dog")])
    monkeypatch.delenv("CLIPSEARCH_FAILPOINT")
    assert catalogue.counts().photos == 0
    add(catalogue, [photo(root, "a.jpg", "dog")])


@pytest.mark.row("B1")
def test_a_full_disk_stops_with_a_remedy_and_keeps_what_is_there(
    catalogue: Catalogue, root: Root
) -> None:
    add(catalogue, [photo(root, "a.jpg", "dog")])
    pages = catalogue._db.value("PRAGMA page_count")
    # SQLite answers as on a full disk: SQLITE_FULL.
    catalogue._db.rows(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StorageError, match=r"disk is full.*Free some space"):
        add(catalogue, [photo(root, f"{i}.jpg", f"{i}") for i in range(3000)])
    assert catalogue.has_embedding(1, hash_of("dog"))
    assert catalogue.counts().photos == 1
    catalogue._db.rows("PRAGMA max_page_count = 100000")
    add(catalogue, [photo(root, "b.jpg", "cat")])


@pytest.mark.row("B2")
@pytest.mark.parametrize("size", [60_000, 120_000, 200_000, 300_000])
def test_a_file_size_limit_stops_with_a_remedy_and_keeps_whole_batches(
    path: Path, size: int
) -> None:
    # Arrives as SQLITE_IOERR_WRITE, not SQLITE_FULL.
    limited = write(
        path, 40, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    )
    *done, last = limited.stdout.splitlines()
    assert limited.returncode == 0
    assert last.startswith("StorageError")
    assert "Free some space" in last
    assert whole_batches(path) == len(done)


AS_NOBODY = """
import os, sys
from pathlib import Path
# Another user may not be able to import anything more.
import faiss, shutil, tempfile
import numpy as np
from clipsearch.errors import StorageError
from clipsearch.library import Library
from clipsearch.storage import model_snapshot
from tests.storage.small_library import ROOT, random_units

model_snapshot.WITHOUT_SNAPSHOT = int(sys.argv[2])
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
with Library.open(Path(sys.argv[1])) as opened:
    ids, _ = opened.nearest(random_units(np.random.default_rng(0), 1), 30)
    print(sorted(ids[0].tolist()) == opened.catalogue.live_contents().tolist(), ids.size)
    for change in (lambda: opened.catalogue.add_root(b"/new", 1, 1), opened.rebuild_snapshot):
        try:
            change()
        except StorageError as error:
            print(error.exit_code, "cannot be written" in error.message)
"""


@pytest.fixture
def public_dir() -> Iterator[Path]:
    """A directory that another user can reach: pytest's own are private."""
    directory = Path(tempfile.mkdtemp(prefix="clipsearch-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.mark.row("B5")
@pytest.mark.parametrize("log", [False, True], ids=["closed", "with a log left by a kill"])
@pytest.mark.parametrize("snapshot", [False, True])
def test_a_library_that_cannot_be_written_can_be_searched(
    public_dir: Path, log: bool, snapshot: bool
) -> None:
    from clipsearch.library import Library

    directory = public_dir / "library"
    with Library.open(directory, create=True) as library:
        catalogue = library.catalogue
        catalogue.activate_model(catalogue.register_model(MODEL))
        catalogue.add_root(ROOT, 1, 2)
        if snapshot:
            library.rebuild_snapshot()
    environment = os.environ | ({"CLIPSEARCH_FAILPOINT": "after_commit:1=exit"} if log else {})
    write(directory / CATALOGUE_NAME, 1, env=environment)
    assert (directory / "catalogue.sqlite-wal").exists() is log
    # What is read by others has to be readable by them; only writing is forbidden.
    (directory / "catalogue.sqlite-shm").unlink(missing_ok=True)
    for file in directory.iterdir():
        file.chmod(0o444)
    directory.chmod(0o555)
    before = sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in directory.iterdir())
    asked = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(directory), "0" if snapshot else "8192"],
        capture_output=True,
        text=True,
        check=False,
    )
    directory.chmod(0o755)
    assert asked.stdout.splitlines() == ["True 20", "6 True", "6 True"], asked.stderr
    after = sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in directory.iterdir())
    assert after == before


@pytest.mark.row("B1")
def test_a_disk_too_full_for_the_shared_memory_file_can_still_be_searched(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, 1)
    real = connection._proven

    def full(opened: object) -> object:
        monkeypatch.setattr(connection, "_proven", real)
        import sqlite3

        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
        raise error

    monkeypatch.setattr(connection, "_proven", full)
    catalogue = Catalogue(path)
    assert not catalogue.writable
    assert len(catalogue.live_contents()) == 20
    with pytest.raises(StorageError, match="space left"):
        catalogue.add_root(b"/new", 1, 1)
    catalogue.close()
