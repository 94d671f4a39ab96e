"""Folders larger and deeper than anybody has: bounded memory, no recursion."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.subject import Album, Subject

REPOSITORY = Path(__file__).parents[3]
# The path still fits into what systems take, 4096 bytes, and is deeper than Python recurses.
DEPTH = 1900

# Scans a million names that a scripted disk makes up, as one folder, and tells its peak memory
# above what the imports took.
FLAT = """
import os, resource, sys
from types import SimpleNamespace
from pathlib import Path
from clipsearch.encoders.fake import FAKE
from clipsearch.indexing.scan import Scope, scan
from clipsearch.indexing.summary import Tally
from clipsearch.library import Library
from clipsearch.photos import walk
from clipsearch.photos.ignore import IgnoreRules

count, folder = int(sys.argv[1]), os.fsencode(sys.argv[2])
like = os.stat(sys.executable)

class Names:
    def __init__(self, path): pass
    def __enter__(self): return (SimpleNamespace(name=b"%07d.jpg" % i) for i in range(count))
    def __exit__(self, *error): pass

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000

with Library.open(Path(sys.argv[3]), create=True) as library:
    root = library.catalogue.add_root(folder, 1, 1)
    model = library.catalogue.register_model(FAKE)
    walk.scandir, walk.lstat = Names, lambda path: like
    before = peak()
    found = scan(library.catalogue, Scope(root, b""), model, IgnoreRules(), Tally(),
                 lambda *progress: None, retry=False)
    print(len(found.pending), round(peak() - before))
"""


@pytest.mark.nightly
@pytest.mark.row("C17")
def test_a_million_names_in_one_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FLAT, "1000000", tmp_path, tmp_path / "library"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found, megabytes = map(int, done.stdout.split())
    assert found == 1_000_000
    assert megabytes < 300, f"{megabytes} MB above the rest"


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """Nineteen hundred folders inside each other; pytest's own clean-up could not remove them."""
    album = tmp_path / "album"
    album.mkdir()
    descriptors = [os.open(album, os.O_RDONLY)]
    for _ in range(DEPTH):
        os.mkdir("d", dir_fd=descriptors[-1])
        descriptors.append(os.open("d", os.O_RDONLY, dir_fd=descriptors[-1]))
        if len(descriptors) > 2:
            os.close(descriptors.pop(-2))
    yield album
    os.close(descriptors.pop())
    os.close(descriptors.pop())
    path = os.path.join(album, *["d"] * (DEPTH // 2))
    for start in (path, os.fspath(album)):
        below = os.open(start, os.O_RDONLY)
        for length in range(DEPTH // 2, 0, -1):
            os.rmdir("/".join(["d"] * length), dir_fd=below)
        os.close(below)


@pytest.mark.row("C17")
def test_folders_deeper_than_python_recurses(deep: Path, tmp_path: Path) -> None:
    subject = Subject(Album(deep, 8), tmp_path / "own")
    outcome = subject.index()
    assert outcome.code == 0, outcome.errors
    assert subject.examine().good == subject.album.names()
