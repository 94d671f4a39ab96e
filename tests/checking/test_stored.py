"""The checks of what is stored: every byte of a model counts, and a library wants its own one."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from clipsearch.checking import verify_model
from clipsearch.checking.stored import check_library, check_models
from clipsearch.encoders.fake import FAKE
from clipsearch.encoders.store import Origin, StoredModel, seal_files, write_stored
from clipsearch.encoders.tokenizing import TokenizerFacts
from clipsearch.errors import DamageError
from clipsearch.library import Library
from clipsearch.types import ModelInfo

FILES = [
    "image.onnx",
    "image.onnx.data",
    "text.onnx",
    "text.onnx.data",
    "tokenizer.json",
    "vocabulary.txt",
    "weights/open_clip_config.json",
    "weights/open_clip_model.safetensors",
]
TOKENIZER = TokenizerFacts("lower", 0, None, 77, "0" * 64)


def write_installed(models: Path, name: str, fingerprint: str) -> ModelInfo:
    """A model as an installation leaves it, but for what is inside its files."""
    info = dataclasses.replace(FAKE, name=name, fingerprint=fingerprint)
    folder = models / fingerprint[:16]
    for file in FILES:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"some bytes of " + file.encode())
    origins = (Origin(name, None),)
    sealed = seal_files(folder)
    stored = StoredModel(info, origins, "1" * 64, None, None, TOKENIZER, True, sealed)
    write_stored(folder, stored)
    return info


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", [*FILES, "model.json"])
def test_one_flipped_bit_in_any_file_of_a_model_is_named(name: str, tmp_path: Path) -> None:
    info = write_installed(tmp_path, "balanced", "a" * 64)
    file = tmp_path / info.fingerprint[:16] / name
    flip(file)
    with pytest.raises(DamageError, match=f"{file} ") as caught:
        verify_model("balanced", tmp_path)
    assert "models pull" in caught.value.remedy
    (check,) = check_models(tmp_path)
    assert (check.state, check.exit_code) == ("problem", 4)
    assert str(file) in check.finding


def test_a_value_that_changed_in_the_record_is_damage(tmp_path: Path) -> None:
    info = write_installed(tmp_path, "balanced", "a" * 64)
    record = tmp_path / info.fingerprint[:16] / "model.json"
    text = record.read_text()
    assert f'"context_length": {info.context_length}' in text
    changed = text.replace(f'"context_length": {info.context_length}', '"context_length": 7')
    record.write_text(changed)
    with pytest.raises(DamageError, match=r"model\.json cannot be read.*digest"):
        verify_model("balanced", tmp_path)


def found_in_library(library: Path, models: Path) -> dict[str, tuple[str, int]]:
    return {
        check.subject: (check.state, check.exit_code) for check in check_library(library, models)
    }


def make_library(directory: Path, info: ModelInfo, folder: Path) -> None:
    with Library.open(directory, create=True) as library:
        catalogue = library.catalogue
        catalogue.activate_model(catalogue.register_model(info))
        catalogue.add_root(bytes(folder), 1, 1)


def test_a_library_wants_the_very_model_it_was_made_with(tmp_path: Path) -> None:
    models, library = tmp_path / "models", tmp_path / "library"
    own = write_installed(models, "balanced", "a" * 64)
    make_library(library, own, tmp_path)
    assert found_in_library(library, models)["library's model"] == ("ok", 0)
    shutil.rmtree(models / own.fingerprint[:16])
    assert found_in_library(library, models)["library's model"] == ("problem", 6)
    write_installed(models, "balanced", "b" * 64)
    assert found_in_library(library, models)["library's model"] == ("problem", 5)


def test_a_model_whose_place_is_gone_does_not_hide_the_folders(tmp_path: Path) -> None:
    models, library = tmp_path / "models", tmp_path / "library"
    gone = dataclasses.replace(FAKE, name=str(tmp_path / "gone"), fingerprint="a" * 64)
    make_library(library, gone, tmp_path)
    found = found_in_library(library, models)
    assert found["library's model"] == ("problem", 6)
    assert found["folder"] == ("ok", 0)
    # Where it is installed, it does not matter that the place it came from is gone.
    write_installed(models, gone.name, gone.fingerprint)
    assert found_in_library(library, models)["library's model"] == ("ok", 0)
