"""Which model a library is opened and indexed with: its own, wherever that came from."""

import dataclasses
from pathlib import Path

import pytest

from clipsearch.cli.opening import model_to_index_with, towers_of
from clipsearch.encoders.fake import FAKE
from clipsearch.errors import ModelUnavailableError
from clipsearch.library import Library
from clipsearch.types import ModelInfo
from tests.checking.test_stored import make_library, write_installed


def exploding(stage: str, done: int, total: int | None) -> None:
    raise AssertionError("nothing is to be installed")


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLIPSEARCH_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def made_from(place: Path) -> ModelInfo:
    return dataclasses.replace(FAKE, name=str(place), fingerprint="a" * 64)


def test_a_library_keeps_its_model_when_the_place_it_came_from_is_gone(
    models: Path, tmp_path: Path
) -> None:
    info = made_from(tmp_path / "gone")
    write_installed(models, info.name, info.fingerprint)
    make_library(tmp_path / "library", info, tmp_path)
    assert model_to_index_with(tmp_path / "library", None, exploding) == info
    with Library.open(tmp_path / "library") as library:
        assert towers_of(library).info == info


def test_a_library_keeps_its_model_when_another_lies_there_now(
    models: Path, tmp_path: Path
) -> None:
    """Retrained in place: `index` alone goes on with the installed copy of the former one."""
    info = made_from(tmp_path / "mine")
    write_installed(models, info.name, info.fingerprint)
    make_library(tmp_path / "library", info, tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "open_clip_config.json").write_text("{}")
    (tmp_path / "mine" / "open_clip_model.safetensors").write_bytes(b"other weights")
    assert model_to_index_with(tmp_path / "library", None, exploding) == info


def test_a_model_that_is_nowhere_is_unavailable_not_a_slip(models: Path, tmp_path: Path) -> None:
    make_library(tmp_path / "library", made_from(tmp_path / "gone"), tmp_path)
    with (
        Library.open(tmp_path / "library") as library,
        pytest.raises(ModelUnavailableError, match="Put them back"),
    ):
        towers_of(library)
