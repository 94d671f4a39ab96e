import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault import faults
from tests.fault.faults import Interposer
from tests.fault.subject import Album, Subjects

PHOTOS = 300


@pytest.fixture(scope="session")
def interposer(tmp_path_factory: pytest.TempPathFactory) -> Interposer:
    return faults.build(tmp_path_factory.mktemp("interposer"))


@pytest.fixture(scope="session")
def album(tmp_path_factory: pytest.TempPathFactory) -> Album:
    """Three hundred photos that no test may change: the program may not either."""
    return Album(tmp_path_factory.mktemp("album"), PHOTOS)


@pytest.fixture
def subjects(album: Album, tmp_path: Path) -> Subjects:
    return Subjects(album, tmp_path)


@pytest.fixture
def fast_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: for tests that commit ten thousand times."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="clipsearch-test-", dir=memory) as folder:
        yield Path(folder)
