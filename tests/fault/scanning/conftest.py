from pathlib import Path

import pytest

from tests.fault.subject import Album, Subject


@pytest.fixture
def own(tmp_path: Path) -> Subject:
    """A subject whose album the test may change."""
    return Subject(Album(tmp_path / "album", 40), tmp_path / "own")
