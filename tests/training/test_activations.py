"""Computing activations again changes the memory needed, and no gradient."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from clipsearch.training.activations import recompute_activations
from clipsearch.training.losses import make_loss
from clipsearch.training.tuning import LastBlocks, Lora, Tune, TuneAll, prepare
from tests.training.towers import (
    MODIFIED_RESNET,
    RESNET10T,
    batch,
    clip,
    custom_text_clip,
    hugging_face_clip,
)

TIMM_VIT = {
    "timm_model_name": "test_vit",  # timm's own for tests
    "timm_model_pretrained": False,
    "timm_pool": "avg",
    "timm_proj": "linear",
    "image_size": 160,
}
MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...]]] = {
    "ViT": (clip, ("visual", "text")),
    "custom text": (custom_text_clip, ("visual", "text")),
    "timm ViT": (lambda: clip(TIMM_VIT), ("visual", "text")),
    "timm ResNet": (lambda: clip(RESNET10T), ("text",)),
    "modified ResNet": (lambda: clip(MODIFIED_RESNET), ("text",)),
    "Hugging Face": (hugging_face_clip, ("visual", "text")),
}


def gradients(model: nn.Module) -> dict[str, Tensor]:
    photos, tokens = batch(model, 4)
    torch.manual_seed(0)
    image = model.encode_image(photos, normalize=True)
    text = model.encode_text(tokens, normalize=True)
    make_loss("unicl")(image, text, torch.arange(4), model.logit_scale.exp(), None).backward()
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def prepared(kind: str, tune: Tune) -> nn.Module:
    model = MODELS[kind][0]()
    torch.manual_seed(0)
    prepare(model, tune)
    return model.train()


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(
    "tune", [TuneAll(), LastBlocks(1), Lora(2, 4.0, 0.1)], ids=lambda tune: type(tune).__name__
)
def test_gradients_and_statistics_stay_the_same(kind: str, tune: Tune) -> None:
    plain, saving = prepared(kind, tune), prepared(kind, tune)
    recompute_activations(saving)
    wanted, found = gradients(plain), gradients(saving)
    assert found.keys() == wanted.keys()
    assert "logit_scale" in found
    for name, gradient in wanted.items():
        assert torch.allclose(found[name], gradient, rtol=1e-4, atol=1e-7), name
    for name, buffer in plain.named_buffers():
        assert torch.equal(saving.get_buffer(name), buffer), name


@pytest.mark.parametrize("kind", MODELS)
def test_towers_that_offer_it_are_named(kind: str) -> None:
    model, wanted = MODELS[kind]
    assert recompute_activations(model().train()) == wanted


INNER_PARTS = {
    "ViT": ("visual.transformer.resblocks.0", "transformer.resblocks.1"),
    "custom text": ("visual.transformer.resblocks.0", "text.transformer.resblocks.1"),
    "timm ViT": ("visual.trunk.blocks.0", "transformer.resblocks.1"),
    "timm ResNet": ("transformer.resblocks.1",),
    "Hugging Face": (
        "visual.transformer.resblocks.0",
        "text.transformer.encoder.layer.1.attention",
    ),
}


@pytest.mark.parametrize("kind", INNER_PARTS)
def test_blocks_are_indeed_computed_twice(kind: str) -> None:
    model = prepared(kind, TuneAll())
    recompute_activations(model)
    calls = []
    for name in INNER_PARTS[kind]:
        part = model.get_submodule(name)
        part.register_forward_pre_hook(lambda *_, name=name: calls.append(name))
    gradients(model)
    assert sorted(calls) == sorted(INNER_PARTS[kind] * 2)
