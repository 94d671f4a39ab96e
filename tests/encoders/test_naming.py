"""What a model's name refers to."""

import pytest

from clipsearch.encoders.naming import (
    CheckpointSource,
    HubSource,
    LocalSource,
    TagSource,
    resolve,
)
from clipsearch.encoders.presets import PRESETS, preset
from clipsearch.errors import UsageError


def test_presets_are_tags_and_starter_is_the_packaged_directory(tmp_path):
    assert resolve("balanced", tmp_path) == TagSource(
        "balanced", "ViT-B-32-256", "datacomp_s34b_b86k"
    )
    assert resolve("starter", tmp_path) == LocalSource("starter", tmp_path)


def test_a_preset_s_tag_is_the_same_model_as_the_preset(tmp_path):
    assert resolve("ViT-B-32-256/datacomp_s34b_b86k", tmp_path).name == "balanced"


def test_other_tags_and_repositories(tmp_path):
    assert resolve("ViT-B-32/laion2b_s34b_b79k", tmp_path) == TagSource(
        "ViT-B-32/laion2b_s34b_b79k", "ViT-B-32", "laion2b_s34b_b79k"
    )
    assert resolve("hf-hub:timm/ViT-B-16-SigLIP2-256", tmp_path) == HubSource(
        "hf-hub:timm/ViT-B-16-SigLIP2-256", "timm/ViT-B-16-SigLIP2-256"
    )


def test_a_directory_goes_by_its_absolute_path(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    wanted = LocalSource(str(tmp_path / "mine"), tmp_path / "mine")
    assert resolve("mine", tmp_path) == wanted
    assert resolve("./mine/", tmp_path) == wanted
    assert resolve(str(tmp_path / "mine"), tmp_path) == wanted


def test_checkpoint_files_with_and_without_an_architecture(tmp_path):
    weights = tmp_path / "epoch_3.safetensors"
    weights.touch()
    assert resolve(str(weights), tmp_path) == LocalSource(str(weights), tmp_path, weights)
    assert resolve(f"ViT-B-32@{weights}", tmp_path) == CheckpointSource(
        f"ViT-B-32@{weights}", "ViT-B-32", weights
    )


@pytest.mark.parametrize(
    "name",
    [
        "",
        "balancd",
        "hf-hub:",
        "hf-hub:only-one-part",
        "./not/there",
        "not-there.safetensors",
        "ViT-B-32@not-there.safetensors",
        "@x",
        "a/b/c",
        "nul\0byte",
        "x" * 5000,
    ],
)
def test_other_names_are_refused(tmp_path, name):
    with pytest.raises(UsageError):
        resolve(name, tmp_path)


def test_a_name_that_is_nothing_lists_the_presets(tmp_path):
    with pytest.raises(UsageError, match="starter, fast, balanced, best, multilingual"):
        resolve("clip", tmp_path)


def test_every_preset_resolves_and_no_two_share_a_name(tmp_path):
    assert len({resolve(each.name, tmp_path).name for each in PRESETS}) == len(PRESETS) == 5


def test_the_starter_says_that_part_of_its_photos_were_for_research() -> None:
    known = preset("starter")
    assert known is not None
    assert "research use" in known.licence


def test_a_training_run_stands_for_the_model_it_made(tmp_path):
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    (run / "settings.json").write_text("{}")
    with pytest.raises(UsageError, match=r"has no model yet.*--resume"):
        resolve(str(run), tmp_path)
    (run / "model" / "open_clip_config.json").write_text("{}")
    assert resolve(str(run), tmp_path) == LocalSource(str(run), run / "model")


def test_a_model_directory_with_a_settings_file_is_itself(tmp_path):
    (tmp_path / "settings.json").write_text("{}")
    (tmp_path / "open_clip_config.json").write_text("{}")
    (tmp_path / "model").mkdir()
    assert resolve(str(tmp_path), tmp_path) == LocalSource(str(tmp_path), tmp_path)
