"""Installing: what is made, what is found again, what is refused."""

import errno
import json
import os
import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from clipsearch.encoders import (
    find_installed,
    install,
    installed_models,
    load_bulk_encoder,
    load_towers,
    store,
    verify,
)
from clipsearch.encoders.store import Origin, add_origin, read_stored
from clipsearch.errors import DamageError, ModelUnavailableError, StorageError, UsageError
from tests.encoders.fake_hub import REVISION, FakeHub, serving
from tests.encoders.tiny import CLIP_CONFIG, CLIP_PREPROCESS, InstalledTiny, silent, write_clip

pytestmark = pytest.mark.real


def exploding(*args: object) -> None:
    raise AssertionError("nothing is left to do")


@pytest.fixture
def own(installed: InstalledTiny, tmp_path: Path) -> InstalledTiny:
    """A copy of the installed model whose files may be changed."""
    shutil.copytree(installed.models, tmp_path / "models")
    return InstalledTiny(installed.info, tmp_path / "models", installed.origin)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_second_time_nothing_is_done(installed):
    assert install(str(installed.origin), installed.models, exploding) == installed.info
    assert find_installed(str(installed.origin), installed.models) == installed.info


def test_nothing_unfinished_stays_behind(installed):
    assert [path.name for path in installed.models.iterdir()] == [installed.info.fingerprint[:16]]
    assert sorted(path.name for path in installed.folder.iterdir()) == [
        "image.onnx",
        "image.onnx.data",
        "model.json",
        "text.onnx",
        "text.onnx.data",
        "tokenizer.json",
        "weights",
    ]


def test_the_same_files_in_another_place_are_the_same_model(own, tmp_path, monkeypatch):
    monkeypatch.setattr("clipsearch.encoders.installing._build", exploding)
    shutil.copytree(own.origin, tmp_path / "elsewhere")
    info = install(str(tmp_path / "elsewhere"), own.models, silent)
    assert info.fingerprint == own.info.fingerprint
    assert info.name == str(tmp_path / "elsewhere")
    (only,) = installed_models(own.models)
    assert only.names == (str(own.origin), str(tmp_path / "elsewhere"))


def test_a_model_is_found_after_its_origin_was_removed(own, tmp_path):
    shutil.copytree(own.origin, tmp_path / "elsewhere")
    info = install(str(tmp_path / "elsewhere"), own.models, silent)
    shutil.rmtree(tmp_path / "elsewhere")
    assert find_installed(str(tmp_path / "elsewhere"), own.models) == info


def test_other_weights_under_the_same_name_are_another_model(own, tmp_path):
    place = tmp_path / "mine"
    shutil.copytree(own.origin, place)
    before = install(str(place), own.models, silent)
    write_clip(place, seed=1)
    assert find_installed(str(place), own.models) is None
    after = install(str(place), own.models, silent)
    assert after.fingerprint != before.fingerprint
    assert len(installed_models(own.models)) == 2
    # The old one is still there for the libraries made with it, also by its vectors.
    old = load_towers(before, own.models).text.encode_text(["dog"])
    new = load_towers(after, own.models).text.encode_text(["dog"])
    assert np.abs(old - new).max() > 0.01


def test_preprocessing_is_part_of_the_fingerprint(own, tmp_path):
    place = tmp_path / "mine"
    shutil.copytree(own.origin, place)
    config = {"model_cfg": CLIP_CONFIG, "preprocess_cfg": {**CLIP_PREPROCESS, "std": [1, 1, 1]}}
    (place / "open_clip_config.json").write_text(json.dumps(config))
    assert install(str(place), own.models, silent).fingerprint != own.info.fingerprint


@pytest.mark.parametrize(
    "name", ["weights/open_clip_model.safetensors", "text.onnx.data", "tokenizer.json"]
)
def test_one_flipped_bit_is_found_by_verify(own, name):
    verify(own.info, own.models)
    flip(own.folder / name)
    with pytest.raises(DamageError, match=f"{name} is damaged.*models pull"):
        verify(own.info, own.models)


@pytest.mark.parametrize("name", ["image.onnx", "image.onnx.data"])
def test_damaged_image_towers_never_make_vectors_that_are_stored(own, name):
    flip(own.folder / name)
    with pytest.raises(DamageError, match=f"{name} is damaged"):
        load_bulk_encoder(own.info, own.models, expected=1)


@pytest.mark.parametrize("name", ["text.onnx", "tokenizer.json"])
def test_damaged_graphs_and_tokenizers_answer_no_query(own, name):
    flip(own.folder / name)
    with pytest.raises(DamageError, match=f"{name} is damaged"):
        load_towers(own.info, own.models).text  # noqa: B018 - opening is what fails


def test_missing_and_shortened_files_are_found_when_opening(own):
    os.truncate(own.folder / "text.onnx.data", 100)
    with pytest.raises(DamageError, match=r"text\.onnx\.data is missing or incomplete"):
        load_towers(own.info, own.models)


@pytest.mark.row("G3")
def test_a_graph_whose_weights_are_a_link_is_refused(own, tmp_path):
    data = own.folder / "text.onnx.data"
    data.rename(tmp_path / "moved")
    data.symlink_to(tmp_path / "moved")
    with pytest.raises(DamageError, match="not a file"):
        load_towers(own.info, own.models).text  # noqa: B018


def test_an_unreadable_record_means_not_installed_and_is_replaced(own):
    (own.folder / "model.json").write_text("{")
    assert find_installed(str(own.origin), own.models) is None
    assert installed_models(own.models) == []
    assert install(str(own.origin), own.models, silent) == own.info
    verify(own.info, own.models)


def test_a_damaged_model_is_installed_again(own):
    for name in ("image.onnx.data", "weights/open_clip_model.safetensors"):
        flip(own.folder / name)
    (own.folder / "text.onnx").unlink()
    assert install(str(own.origin), own.models, silent) == own.info
    verify(own.info, own.models)


def test_a_checkpoint_named_with_its_architecture_is_found_after_it_was_moved(own):
    record = read_stored(own.folder)
    add_origin(own.folder, record, Origin("ViT-Z@/gone/epoch_3.pt", "stamp"))
    found = find_installed("ViT-Z@/gone/epoch_3.pt", own.models)
    assert found is not None
    assert found.fingerprint == own.info.fingerprint


def test_another_name_that_cannot_be_recorded_has_its_own_next_step(own, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(store, "write_stored", refuse)
    with pytest.raises(StorageError, match=r"can only be read: set CLIPSEARCH_MODELS to another"):
        add_origin(own.folder, read_stored(own.folder), Origin("name", None))


def test_removed_is_not_installed(own):
    shutil.rmtree(own.folder)
    assert find_installed(str(own.origin), own.models) is None
    with pytest.raises(ModelUnavailableError, match="not installed"):
        load_towers(own.info, own.models)


def test_unfinished_folders_of_dead_processes_go(own, tmp_path):
    dead, living = (
        own.models / ".installing-99999999-x",
        own.models / f".installing-{os.getpid()}-x",
    )
    dead.mkdir()
    living.mkdir()
    shutil.copytree(own.origin, tmp_path / "elsewhere")
    install(str(tmp_path / "elsewhere"), own.models, silent)
    assert (dead.exists(), living.exists()) == (False, True)


def test_words_it_knows_come_with_a_model(own, installed, tmp_path):
    place = tmp_path / "mine"
    shutil.copytree(own.origin, place)
    (place / "vocabulary.txt").write_text("dog\nbeach\n")
    info = install(str(place), own.models, silent)
    text = load_towers(info, own.models).text
    assert text.unknown_words("Dogs and a zebra on the beach") == ["zebra"]
    before = load_towers(installed.info, installed.models).text
    assert before.unknown_words("a zebra") == []


def test_a_repository_is_fetched_pinned_and_installed(installed, tmp_path, monkeypatch):
    from huggingface_hub import constants

    names = ("open_clip_config.json", "open_clip_model.safetensors")
    files = {name: (installed.origin / name).read_bytes() for name in names}
    files["README.md"] = b"# Not needed\n"
    with serving(FakeHub({"org/tiny": files})) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        info = install("hf-hub:org/tiny", tmp_path, silent)
        asked = len(hub.requests)
        assert install("hf-hub:org/tiny", tmp_path, exploding) == info
    assert len(hub.requests) == asked
    assert not any("README" in path for _, path, _ in hub.requests)
    assert info.fingerprint == installed.info.fingerprint
    assert info.name == "hf-hub:org/tiny"
    (model,) = installed_models(tmp_path)
    assert (model.fetched_from, model.licence) == (f"org/tiny@{REVISION}", "mit")
    assert [path.name for path in tmp_path.iterdir()] == [info.fingerprint[:16]]


@pytest.mark.row("G6")
def test_a_failed_download_is_kept_to_go_on_and_leaves_no_model(installed, tmp_path, monkeypatch):
    from huggingface_hub import constants

    names = ("open_clip_config.json", "open_clip_model.safetensors")
    files = {name: (installed.origin / name).read_bytes() for name in names}
    with serving(FakeHub({"org/tiny": files})) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        hub.served["open_clip_model.safetensors"] = bytes(len(files["open_clip_model.safetensors"]))
        with pytest.raises(ModelUnavailableError, match="arrived damaged"):
            install("hf-hub:org/tiny", tmp_path, silent)
    assert installed_models(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == [".downloads"]


class Canary:
    def __reduce__(self):
        return (os.system, ("touch canary",))


@pytest.mark.row("G1")
def test_pickles_load_weights_and_nothing_else(installed, tmp_path, monkeypatch):
    import torch
    from safetensors.torch import load_file

    monkeypatch.chdir(tmp_path)
    weights = load_file(installed.origin / "open_clip_model.safetensors")
    for name, content in (("good", weights), ("bad", {**weights, "x": Canary()})):
        (tmp_path / name).mkdir()
        shutil.copy(installed.origin / "open_clip_config.json", tmp_path / name)
        torch.save({"epoch": 3, "state_dict": content}, tmp_path / name / "epoch_3.pt")
    info = install("./good/epoch_3.pt", tmp_path / "models", silent)
    assert info.embed_dim == 16
    same = load_towers(info, tmp_path / "models").text.encode_text(["dog"])
    known = load_towers(installed.info, installed.models).text.encode_text(["dog"])
    np.testing.assert_allclose(same, known, atol=1e-5)

    with pytest.raises(ModelUnavailableError, match=r"more than weights.*safetensors"):
        install("./bad", tmp_path / "models", silent)
    (tmp_path / "bad" / "epoch_3.pt").write_bytes(pickle.dumps(Canary()))
    with pytest.raises(ModelUnavailableError, match="not a PyTorch checkpoint"):
        install("./bad", tmp_path / "models", silent)
    assert not (tmp_path / "canary").exists()


@pytest.mark.row("G1")
def test_torchscript_is_refused(installed, tmp_path):
    import torch

    shutil.copy(installed.origin / "open_clip_config.json", tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and found in the wild
        script = torch.jit.script(torch.nn.Linear(2, 2))
        torch.jit.save(script, tmp_path / "open_clip_pytorch_model.bin")
    with pytest.raises(ModelUnavailableError, match=r"TorchScript.*safetensors"):
        install(str(tmp_path), tmp_path / "models", silent)


def test_a_directory_without_weights_is_no_model_with_random_ones(installed, tmp_path):
    shutil.copy(installed.origin / "open_clip_config.json", tmp_path)
    with pytest.raises(ModelUnavailableError, match="no weights"):
        install(str(tmp_path), tmp_path / "models", silent)


@pytest.mark.parametrize("damage", ["truncated", "other-shape", "html", "missing-key"])
@pytest.mark.row("G2")
def test_weights_that_do_not_fit_are_refused(installed, tmp_path, damage):
    from safetensors.torch import load_file, save_file

    place = tmp_path / "mine"
    shutil.copytree(installed.origin, place)
    path = place / "open_clip_model.safetensors"
    if damage == "truncated":
        os.truncate(path, path.stat().st_size - 1000)
    elif damage == "html":
        path.write_text("<html>")
    else:
        weights = load_file(path)
        key = "ln_final.weight"
        weights[key] = weights[key][:5].clone()
        if damage == "missing-key":
            del weights[key]
        save_file(weights, path)
    said = "cannot load this model|no safetensors file that can be used"
    with pytest.raises(ModelUnavailableError, match=said):
        install(str(place), tmp_path / "models", silent)
    assert list((tmp_path / "models").iterdir()) == []


def test_not_a_number_in_the_weights_is_refused(installed, tmp_path):
    from safetensors.torch import load_file, save_file

    place = tmp_path / "mine"
    shutil.copytree(installed.origin, place)
    weights = load_file(place / "open_clip_model.safetensors")
    weights["visual.proj"][0, 0] = float("nan")
    save_file(weights, place / "open_clip_model.safetensors")
    with pytest.raises(ModelUnavailableError, match=r"not numbers \(visual\.proj\)"):
        install(str(place), tmp_path / "models", silent)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "not open_clip's configuration"),
        ("[]", "not open_clip's configuration"),
        (json.dumps({"model_cfg": CLIP_CONFIG}), "does not say how photos are prepared"),
        (
            json.dumps(
                {
                    "model_cfg": {
                        **CLIP_CONFIG,
                        "vision_cfg": {"timm_model_name": "vit_base_patch16_siglip_256"},
                    },
                    "preprocess_cfg": CLIP_PREPROCESS,
                }
            ),
            "prepares photos for CLIP, but its image tower is SigLIP",
        ),
    ],
)
def test_configurations_that_silently_go_wrong_are_refused(installed, tmp_path, config, message):
    shutil.copytree(installed.origin, tmp_path / "mine")
    (tmp_path / "mine" / "open_clip_config.json").write_text(config)
    with pytest.raises(ModelUnavailableError, match=message):
        install(str(tmp_path / "mine"), tmp_path / "models", silent)


def test_names_that_open_clip_does_not_know(tmp_path):
    with pytest.raises(ModelUnavailableError, match="no architecture 'ViT-Z'"):
        install("ViT-Z/openai", tmp_path, silent)
    with pytest.raises(ModelUnavailableError, match=r"no weights 'nope'.*It knows openai"):
        install("ViT-B-32/nope", tmp_path, silent)
    with pytest.raises(UsageError):
        install("nope", tmp_path, silent)


def test_a_models_directory_that_cannot_be_written(installed, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be stored"):
        install(str(installed.origin), tmp_path / "file" / "models", silent)
