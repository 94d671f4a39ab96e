"""Models whose tokenizer or text tower comes from transformers, offline, against open_clip."""

import json
from pathlib import Path

import numpy as np
import pytest

from clipsearch.encoders import install, load_towers
from clipsearch.errors import MissingExtraError, ModelUnavailableError
from tests.encoders.tiny import CLIP_CONFIG, CLIP_PREPROCESS, silent, write_model

pytestmark = pytest.mark.real

TEXTS = ["a dog", "海滩 上 的 狗", "a Dog, on the beach!", "", "dog " * 30]
SIGLIP_PREPROCESS = {
    **CLIP_PREPROCESS,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "resize_mode": "squash",
}
SIGLIP_CONFIG = {
    **CLIP_CONFIG,
    "custom_text": True,
    "init_logit_bias": -10,
    "text_cfg": {
        "context_length": 8,
        "vocab_size": 40,
        "width": 32,
        "heads": 2,
        "layers": 2,
        "hf_tokenizer_name": "somewhere/online",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
    },
}
XLM_CONFIG = {
    **CLIP_CONFIG,
    "text_cfg": {
        "hf_model_name": "somewhere/online",
        "hf_tokenizer_name": "somewhere/online",
        "hf_pooler_type": "mean_pooler",
        "hf_proj_type": "mlp",
        "context_length": 10,
    },
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    pytest.importorskip("transformers")

    def refuse(*args):
        raise AssertionError("a connection")

    monkeypatch.setattr("socket.socket.connect", refuse)


def write_tokenizer(folder: Path) -> None:
    """A word-level tokenizer with padding 1 and an end token, as transformers stores one."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["<s>", "<pad>", "</s>", "<unk>", "a", "dog", "Dog", "on", "the", "beach", "海滩", "狗"]
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    ).save_pretrained(folder)


def write_siglip(folder: Path) -> Path:
    from open_clip.model import CustomTextCLIP

    settings = {key: value for key, value in SIGLIP_CONFIG.items() if key != "custom_text"}
    write_model(folder, CustomTextCLIP(**settings), SIGLIP_CONFIG, SIGLIP_PREPROCESS)
    write_tokenizer(folder)
    return folder


def write_xlm(folder: Path) -> Path:
    from open_clip.model import CustomTextCLIP
    from transformers import XLMRobertaConfig

    text = XLMRobertaConfig(
        vocab_size=40,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=16,
        pad_token_id=1,
    )
    text.save_pretrained(folder / "text_model")
    local = {**XLM_CONFIG["text_cfg"], "hf_model_name": str(folder / "text_model")}
    settings = {**XLM_CONFIG, "text_cfg": {**local, "hf_model_pretrained": False}}
    write_model(folder, CustomTextCLIP(**settings), XLM_CONFIG, CLIP_PREPROCESS)
    write_tokenizer(folder)
    return folder


def open_clip_rows(folder: Path) -> np.ndarray:
    """What open_clip itself makes of TEXTS, from the installed weights."""
    import torch

    from clipsearch.encoders.openclip import load_model

    loaded = load_model(folder)
    with torch.no_grad():
        ids = loaded.tokenizer(TEXTS, context_length=loaded.context_length)
        rows: np.ndarray = loaded.model.encode_text(ids, normalize=True).numpy()
    return rows


def test_siglip_reads_the_full_context_and_keeps_its_bias(tmp_path):
    origin = write_siglip(tmp_path / "siglip")
    info = install(str(origin), tmp_path / "models", silent)
    assert info.context_length == 8
    assert info.logit_bias == -10
    assert info.preprocess.mean == (0.5, 0.5, 0.5)
    assert info.preprocess.resize_mode == "squash"
    text = load_towers(info, tmp_path / "models").text
    np.testing.assert_allclose(text.encode_text(TEXTS), open_clip_rows(origin), atol=2e-5)
    np.testing.assert_allclose(text.encode_text(["a dog"])[0], open_clip_rows(origin)[0], atol=2e-5)
    assert text.truncated(TEXTS) == [False, False, False, False, True]


def test_a_text_tower_from_transformers_needs_no_network(tmp_path):
    origin = write_xlm(tmp_path / "xlm")
    info = install(str(origin), tmp_path / "models", silent)
    text = load_towers(info, tmp_path / "models").text
    wanted = open_clip_rows(origin)
    np.testing.assert_allclose(text.encode_text(TEXTS), wanted, atol=2e-5)
    assert np.abs(wanted[0] - wanted[1]).max() > 0.01


def test_without_transformers_the_extra_is_named(tmp_path, monkeypatch):
    origin = write_siglip(tmp_path / "siglip")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'clipsearch\[multilingual\]'"):
        install(str(origin), tmp_path / "models", silent)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("text_model/config.json", "configuration of the text tower somewhere/online is missing"),
        ("tokenizer.json tokenizer_config.json", "tokenizer somewhere/online is missing"),
    ],
)
def test_what_would_be_looked_for_online_is_named(tmp_path, missing, message):
    origin = write_xlm(tmp_path / "xlm")
    for name in missing.split():
        (origin / name).unlink()
    for name in ("special_tokens_map.json",):
        (origin / name).unlink(missing_ok=True)
    with pytest.raises(ModelUnavailableError, match=message):
        install(str(origin), tmp_path / "models", silent)


def test_preprocessing_of_a_bare_checkpoint_comes_from_open_clip_s_table():
    from clipsearch.encoders.openclip import config_for

    assert config_for("ViT-B-32", None)["preprocess_cfg"]["mean"][0] == pytest.approx(0.48145466)
    siglip = config_for("ViT-B-16-SigLIP-256", None)["preprocess_cfg"]
    assert siglip["mean"] == [0.5, 0.5, 0.5]
    assert siglip["resize_mode"] == "squash"
    # The tags of this one were trained with different preprocessing: nothing is guessed.
    with pytest.raises(ModelUnavailableError, match="not known how photos are prepared"):
        config_for("ViT-L-14", None)


def test_quick_gelu_follows_the_tag_not_the_name():
    from clipsearch.encoders.openclip import config_for

    assert config_for("ViT-B-32", "openai")["model_cfg"]["quick_gelu"] is True
    assert "quick_gelu" not in config_for("ViT-B-32", "laion2b_s34b_b79k")["model_cfg"]


def test_every_preset_is_in_open_clip_s_table():
    from clipsearch.encoders.openclip import config_for, hub_file
    from clipsearch.encoders.presets import PRESETS

    for each in PRESETS:
        if each.architecture is None or each.tag is None:
            continue
        config = config_for(each.architecture, each.tag)
        needs = bool({"hf_tokenizer_name", "hf_model_name"} & set(config["model_cfg"]["text_cfg"]))
        assert needs == (each.extra == "multilingual"), each.name
        assert "/" in hub_file(each.architecture, each.tag)[0]
        json.dumps(config)
