"""The exported towers against open_clip's own pipeline on the same weights."""

import subprocess
import sys
from concurrent.futures import wait

import numpy as np
import pytest
from PIL import Image

from clipsearch.encoders import load_bulk_encoder, load_towers
from clipsearch.encoders.exported import CALLS_BEFORE_REPACKING
from tests.encoders.tiny import InstalledTiny

pytestmark = pytest.mark.real

TEXTS = [
    "",
    "a dog",
    "A photo of TWO dogs — running!",
    "海滩上的一只狗",
    "🐶 on the 🏖️",
    "far too long for a context of twelve tokens, so that the end has to be cut away",
    "dog",
]


@pytest.fixture(scope="module")
def original(installed: InstalledTiny):
    import open_clip

    name = f"local-dir:{installed.origin}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    return model.eval(), preprocess, open_clip.get_tokenizer(name)


def photos(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(3)
    return [Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)) for _ in range(count)]


def test_image_vectors_are_open_clip_s(installed, original):
    import torch

    model, preprocess, _ = original
    batch = photos(19)
    with torch.no_grad():
        wanted = model.encode_image(torch.stack([preprocess(p) for p in batch]), normalize=True)
    got = load_towers(installed.info, installed.models).image.encode_image(
        np.stack([np.asarray(photo) for photo in batch])
    )
    np.testing.assert_allclose(got, wanted.numpy(), atol=2e-5)


def test_a_tower_that_goes_on_being_asked_gets_faster_and_says_the_same(installed):
    tower = load_towers(installed.info, installed.models).text
    first, session = tower.encode_text(TEXTS), tower._session
    for _ in range(CALLS_BEFORE_REPACKING):
        tower.encode_text(TEXTS[:1])
    assert tower._session is session or tower._faster is None
    if tower._faster is not None:
        wait([tower._faster])
    np.testing.assert_allclose(tower.encode_text(TEXTS), first, atol=1e-5)
    assert tower._session is not session


def test_text_vectors_are_open_clip_s(installed, original):
    import torch

    model, _, tokenize = original
    with torch.no_grad():
        wanted = model.encode_text(tokenize(TEXTS), normalize=True).numpy()
    got = load_towers(installed.info, installed.models).text.encode_text(TEXTS)
    np.testing.assert_allclose(got, wanted, atol=2e-5)
    # The towers are not constant, or the comparison would prove nothing.
    assert np.abs(wanted[1] - wanted[3]).max() > 0.05


@pytest.mark.row("G8")
def test_vectors_do_not_depend_on_their_batch(installed):
    towers = load_towers(installed.info, installed.models)
    together = towers.text.encode_text(TEXTS * 20)
    apart = np.concatenate([towers.text.encode_text([text]) for text in TEXTS])
    np.testing.assert_allclose(together, np.tile(apart, (20, 1)), atol=1e-5)
    pixels = np.stack([np.asarray(photo) for photo in photos(18)])
    together = towers.image.encode_image(pixels)
    apart = np.concatenate([towers.image.encode_image(row[None]) for row in pixels])
    np.testing.assert_allclose(together, apart, atol=1e-5)


def test_nothing_gives_no_rows(installed):
    towers = load_towers(installed.info, installed.models)
    assert towers.text.encode_text([]).shape == (0, 16)
    assert towers.image.encode_image(np.empty((0, 32, 32, 3), np.uint8)).shape == (0, 16)


def test_cut_texts_are_said_to_be_cut(installed):
    text = load_towers(installed.info, installed.models).text
    # Ten words and the two ends fill a context of twelve.
    assert text.truncated(["dog " * 10, "dog " * 11, ""]) == [False, True, False]


def test_facts_come_from_the_checkpoint(installed):
    info = installed.info
    assert info.embed_dim == 16
    assert info.context_length == 12
    assert info.preprocess.size == (32, 32)
    assert info.preprocess.mean == (0.48145466, 0.4578275, 0.40821073)
    # open_clip starts at ln(1 / 0.07); the factor itself is 1 / 0.07.
    assert info.logit_scale == pytest.approx(1 / 0.07)
    assert info.logit_bias == 0


def test_torch_towers_agree_in_float32_and_bfloat16(installed):
    import copy

    from clipsearch.encoders.bulk_torch import TorchImageEncoder, load_image_tower

    pixels = np.stack([np.asarray(photo) for photo in photos(5)])
    exported = load_bulk_encoder(installed.info, installed.models, expected=5).encode_image(pixels)
    tower = load_image_tower(installed.folder / "weights")
    full = TorchImageEncoder(installed.info, copy.deepcopy(tower), "cpu", "float32")
    half = TorchImageEncoder(installed.info, tower, "cpu", "bfloat16")
    np.testing.assert_allclose(full.encode_image(pixels), exported, atol=2e-5)
    cosines = (half.encode_image(pixels) * exported).sum(axis=1)
    assert cosines.min() > 0.99
    np.testing.assert_allclose(np.linalg.norm(half.encode_image(pixels), axis=1), 1, atol=1e-5)


@pytest.mark.row("G7")
def test_a_query_imports_no_training_library_and_opens_no_connection(installed):
    code = """
import socket, sys
def refuse(*args, **kwargs):
    raise AssertionError("a connection")
socket.socket.connect = refuse
from pathlib import Path
import numpy as np
from clipsearch.encoders import find_installed, load_towers
models = Path(sys.argv[1])
info = find_installed(sys.argv[2], models)
towers = load_towers(info, models)
towers.text.encode_text(["a dog"])
towers.image.encode_image(np.zeros((1, 32, 32, 3), np.uint8))
heavy = {"torch", "torchvision", "open_clip", "transformers", "timm", "onnx", "huggingface_hub"}
print(sorted(heavy & set(sys.modules)))
"""
    answer = subprocess.run(
        [sys.executable, "-c", code, str(installed.models), str(installed.origin)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "[]"
