"""The real starter model, installed once for all end-to-end tests."""

from pathlib import Path

import pytest

from clipsearch.demonstrating import find_demo_photo, read_demo
from clipsearch.encoders import install
from clipsearch.photos.copying import copy_photo

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def _silent(stage: str, done: int, total: int | None) -> None:
    """Show nothing."""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models directory with the starter in it."""
    folder = tmp_path_factory.mktemp("models")
    install("starter", folder, _silent)
    return folder


@pytest.fixture(scope="session")
def sample_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's real photographs, in a folder."""
    folder = tmp_path_factory.mktemp("samples")
    for photo in read_demo().photos:
        path = find_demo_photo(photo)
        assert path is not None, "the demo extra is part of the test environment"
        copy_photo(path, bytes(folder))
    return folder


@pytest.fixture(scope="session")
def album() -> Path:
    """300 real photos beside the repository."""
    folder = SHARED / "album"
    if not folder.is_dir():
        pytest.skip("../shared/data/album is not there")
    return folder
