"""What is trained, with which learning rate, and that nothing else moves."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from clipsearch.errors import UsageError
from clipsearch.training.layers import image_layers, text_layers
from clipsearch.training.losses import make_loss
from clipsearch.training.tuning import (
    LastBlocks,
    LockImage,
    LockText,
    Lora,
    Tune,
    TuneAll,
    TuneProjections,
    merge,
    prepare,
)
from clipsearch.training.tuning_names import tune_called
from tests.training.towers import (
    MODIFIED_RESNET,
    RESNET10T,
    batch,
    clip,
    custom_text_clip,
    hugging_face_clip,
)

MODELS: dict[str, Callable[[], nn.Module]] = {
    "ViT": clip,
    "custom text": custom_text_clip,
    "timm": lambda: clip(RESNET10T),
    "modified ResNet": lambda: clip(MODIFIED_RESNET),
    "Hugging Face": hugging_face_clip,
}
BLOCKS = {
    "ViT": (3, 2), "custom text": (3, 2), "timm": (4, 2), "modified ResNet": (4, 2),
    "Hugging Face": (3, 2),
}  # fmt: skip
TUNES: list[Tune] = [
    TuneAll(), TuneProjections(), LockImage(), LockText(), LastBlocks(1, 0.5), Lora(2, 4.0)
]  # fmt: skip


def train_three_steps(model: nn.Module, tune: Tune) -> None:
    """At a learning rate that no trained weight can miss."""
    groups = [
        {"params": list(g.parameters), "lr": 1e-2 * g.learning_rate_scale}
        for g in prepare(model, tune)
    ]
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=0.9)
    photos, tokens = batch(model)
    loss = make_loss("unicl")
    model.train()
    for _ in range(3):
        optimizer.zero_grad()
        image = model.encode_image(photos, normalize=True)
        text = model.encode_text(tokens, normalize=True)
        loss(image, text, torch.arange(6), model.logit_scale.exp(), None).backward()
        optimizer.step()


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


@pytest.mark.parametrize("kind", MODELS)
def test_every_parameter_has_its_place(kind: str) -> None:
    model = MODELS[kind]()
    image, text = image_layers(model), text_layers(model)
    assert (len(image.blocks), len(text.blocks)) == BLOCKS[kind]
    for part in (*image.blocks, *text.blocks, image.stem, text.stem):
        assert part
    assert image.projection
    assert text.projection
    everything = [*image.names, *text.names, "logit_scale"]
    assert sorted(everything) == sorted(name for name, _ in model.named_parameters())


def test_the_last_norm_belongs_to_the_last_block_as_in_open_clip() -> None:
    model = clip()
    assert image_layers(model).projection == ("visual.proj",)
    assert {"visual.ln_post.weight", "visual.ln_post.bias"} < set(image_layers(model).blocks[-1])
    assert text_layers(model).projection == ("text_projection",)
    assert {"ln_final.weight", "ln_final.bias"} < set(text_layers(model).blocks[-1])


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("tune", TUNES, ids=lambda tune: type(tune).__name__)
def test_only_what_is_trained_moves_statistics_included(kind: str, tune: Tune) -> None:
    model = MODELS[kind]()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    image, text = image_layers(model), text_layers(model)
    train_three_steps(model, tune)
    merge(model)
    after = model.state_dict()
    assert set(after) == set(before)
    changed = moved(before, after)
    assert "logit_scale" in changed
    match tune:
        case TuneAll():
            assert {*image.projection, *text.projection, *image.stem} & changed
            assert len(changed) > 0.8 * len(image.names + text.names)
        case TuneProjections():
            # The temperature is all that is trained besides; statistics stand still. What is
            # added to every key alike cancels in attention: that bias has no gradient.
            unmoved = {"visual.attnpool.k_proj.bias"}
            allowed = {*image.projection, *text.projection, "logit_scale"}
            assert changed - unmoved == allowed - unmoved
        case LockImage():
            assert not {name for name in changed if name.startswith("visual.")}
            assert set(text.blocks[0]) & changed
        case LockText():
            assert not {n for n in changed if not n.startswith(("visual.", "logit_scale"))}
            assert set(image.blocks[0]) & changed
        case LastBlocks():
            kept = {*image.stem, *text.stem, *image.blocks[-2], *text.blocks[-2]}
            assert not kept & changed
            assert set(image.blocks[-1]) & changed
            assert set(text.blocks[-1]) & changed
        case Lora():
            norms = {n for n in changed if before[n].ndim < 2} - {"logit_scale"}
            assert not norms
            assert {n for n in changed if n in image.names}
            assert {n for n in changed if n in text.names}


def test_a_locked_tower_answers_as_in_evaluation_while_the_other_trains() -> None:
    model = clip(RESNET10T)
    photos, _ = batch(model)
    model.eval()
    with torch.no_grad():
        expected = model.encode_image(photos)
    prepare(model, LockImage())
    model.train()
    assert model.transformer.training
    assert not model.visual.trunk.bn1.training
    with torch.no_grad():
        assert torch.equal(model.encode_image(photos), expected)
    merge(model)
    assert model.train().visual.trunk.bn1.training


def test_a_locked_text_tower_drops_nothing() -> None:
    model = hugging_face_clip()
    _, tokens = batch(model)
    prepare(model, LockText())
    model.train()
    assert torch.equal(model.encode_text(tokens), model.encode_text(tokens))


def test_learning_rates_fall_with_the_distance_from_the_output() -> None:
    model = clip()
    scale_of = {
        id(p): group.learning_rate_scale
        for group in prepare(model, LastBlocks(count=2, layer_decay=0.5))
        for p in group.parameters
    }
    found = {n: scale_of[id(p)] for n, p in model.named_parameters() if id(p) in scale_of}
    assert found["visual.proj"] == found["text_projection"] == found["logit_scale"] == 1.0
    assert found["visual.ln_post.weight"] == 0.5
    assert found["visual.transformer.resblocks.2.mlp.c_fc.weight"] == 0.5
    assert found["visual.transformer.resblocks.1.mlp.c_fc.weight"] == 0.25
    assert found["transformer.resblocks.0.attn.in_proj_weight"] == 0.25  # text has two blocks
    assert "visual.transformer.resblocks.0.mlp.c_fc.weight" not in found
    assert "visual.conv1.weight" not in found


def test_weight_decay_is_open_clips_rule() -> None:
    model = clip(init_logit_bias=-10.0, nonscalar_logit_scale=True)
    decayed = {id(p) for g in prepare(model, TuneAll()) if g.decays for p in g.parameters}

    def exclude(n: str, p: nn.Parameter) -> bool:  # as written in open_clip_train/main.py
        return p.ndim < 2 or "bn" in n or "ln" in n or "bias" in n or "logit_scale" in n

    for name, parameter in model.named_parameters():
        assert (id(parameter) in decayed) is not exclude(name, parameter), name


@pytest.mark.parametrize("tune", TUNES, ids=lambda tune: type(tune).__name__)
def test_groups_hold_each_trained_parameter_once(tune: Tune) -> None:
    model = custom_text_clip()
    listed = [id(p) for group in prepare(model, tune) for p in group.parameters]
    assert sorted(listed) == sorted(id(p) for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    "tune",
    [LastBlocks(0), LastBlocks(1, 0.0), LastBlocks(1, 1.5), Lora(0), Lora(2, 0.0), Lora(dropout=1)],
    ids=str,
)
def test_settings_out_of_range_are_refused(tune: Tune) -> None:
    with pytest.raises(UsageError):
        prepare(clip(), tune)


@pytest.mark.parametrize("name", ["last:0", "last:-1", "last:2:0", "last:2:nan", "lora:0", "some"])
def test_a_name_that_means_no_training_is_refused_by_that_name(name: str) -> None:
    with pytest.raises(UsageError, match=f"no way of tuning called '{name}'"):
        tune_called(name)


def test_lora_of_a_rank_that_no_matrix_can_have_is_refused() -> None:
    """Else nothing but the temperature would be trained."""
    with pytest.raises(UsageError, match="no matrix of this model is large enough for LoRA of ran"):
        prepare(clip(), Lora(10_000, 2.0))


def test_lora_upon_lora_is_refused() -> None:
    model = clip()
    prepare(model, Lora(2, 4.0))
    with pytest.raises(ValueError, match="merge it first"):
        prepare(model, Lora(2, 4.0))
    merge(model)
    prepare(model, Lora(2, 4.0))
