from pathlib import Path

import pytest

from tests.fault.damage.stored_album import Kept, keep
from tests.indexing.album import Album


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    folder: Path = tmp_path_factory.mktemp("kept")
    return keep(Album(folder))
