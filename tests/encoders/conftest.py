"""Tiny models in open_clip's formats, made at run time with fixed random weights."""

from pathlib import Path

import pytest

from tests.encoders.tiny import InstalledTiny, silent, write_clip


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a CLIP of two layers, 32 px, context 12."""
    return write_clip(tmp_path_factory.mktemp("clip") / "tiny")


@pytest.fixture(scope="session")
def installed(tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> InstalledTiny:
    """The tiny CLIP, installed. Tests that change its files copy the directory first."""
    from clipsearch.encoders import install

    models = tmp_path_factory.mktemp("models")
    return InstalledTiny(install(str(tiny_clip), models, silent), models, tiny_clip)
