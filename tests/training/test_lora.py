"""LoRA: nothing changes at first, merged equals adapted, plain weights at the end."""

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from clipsearch.training.lora import LowRankChange, lora_parameters
from clipsearch.training.tuning import Lora, merge, prepare
from tests.training.test_tuning import MODELS, train_three_steps
from tests.training.towers import RESNET10T, batch, clip


def features(model: nn.Module) -> tuple[Tensor, Tensor]:
    photos, tokens = batch(model)
    model.eval()
    with torch.no_grad():
        return model.encode_image(photos), model.encode_text(tokens)


def shaken(model: nn.Module) -> nn.Module:
    """With changes as training leaves them: B is no longer zero."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in lora_parameters(model).values():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.mark.parametrize("kind", MODELS)
def test_before_training_the_adapted_model_is_the_original(kind: str) -> None:
    model = MODELS[kind]()
    expected = features(model)
    prepare(model, Lora(2, 4.0, 0.1))
    for found, wanted in zip(features(model), expected, strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("kind", MODELS)
def test_merged_equals_adapted_with_the_originals_names(kind: str) -> None:
    model = MODELS[kind]()
    names = {name: tensor.shape for name, tensor in model.state_dict().items()}
    original = features(model)
    prepare(model, Lora(2, 4.0, 0.1))
    adapted = features(shaken(model))
    merge(model)
    merged = features(model)
    for before, with_lora, plain in zip(original, adapted, merged, strict=True):
        assert (plain - with_lora).abs().max() <= 1e-6
        assert (plain - before).abs().max() > 1e-3  # the changes did something
    assert {name: tensor.shape for name, tensor in model.state_dict().items()} == names
    fresh = MODELS[kind]()
    fresh.load_state_dict(model.state_dict())
    for found, wanted in zip(features(fresh), merged, strict=True):
        assert torch.equal(found, wanted)


def test_merging_in_the_middle_of_training_leaves_dropout_out() -> None:
    model = clip()
    prepare(model, Lora(2, 4.0, 0.5))
    adapted = features(shaken(model))
    model.train()
    merge(model)
    for found, wanted in zip(features(model), adapted, strict=True):
        assert (found - wanted).abs().max() <= 1e-6


def test_q_k_and_v_have_changes_of_their_own_worked_out_by_hand() -> None:
    change = LowRankChange(torch.zeros(6, 4), parts=3, rank=2, alpha=6.0, dropout=0.0)
    first = [[[1.0, 0, 0, 0]], [[0, 1.0, 0, 0]], [[0, 0, 0, 3.0]]]
    with torch.no_grad():
        change.down.copy_(torch.cat([torch.tensor(first), torch.ones(3, 1, 4)], dim=1))
        change.up.copy_(torch.tensor([[[1.0, 0], [2, 0]], [[5, 0], [0, 0]], [[0, 1], [1, 0]]]))
    expected = torch.tensor(
        [[1, 0, 0, 0], [2, 0, 0, 0], [0, 5, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 3.0]]
    )
    assert torch.equal(change(torch.zeros(6, 4)), 3.0 * expected)  # alpha / rank = 3


def test_fused_attention_has_three_changes() -> None:
    model = clip()
    prepare(model, Lora(2, 4.0))
    attention = "transformer.resblocks.1.attn.parametrizations.in_proj_weight.0"
    shapes = {name: tuple(p.shape) for name, p in lora_parameters(model).items()}
    assert shapes[f"{attention}.down"] == (3, 2, 32)
    assert shapes[f"{attention}.up"] == (3, 32, 2)
    assert shapes["transformer.resblocks.1.mlp.c_fc.parametrizations.weight.0.up"] == (1, 128, 2)


def test_under_autocast_the_change_is_computed_in_full() -> None:
    change = LowRankChange(torch.zeros(8, 8), parts=1, rank=2, alpha=2.0, dropout=0.0)
    nn.init.normal_(change.up)
    expected = change(torch.zeros(8, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(change(torch.zeros(8, 8)), expected)


def test_a_convolution_is_changed_as_a_matrix() -> None:
    change = LowRankChange(torch.zeros(4, 3, 2, 2), parts=1, rank=2, alpha=2.0, dropout=0.0)
    nn.init.normal_(change.up)
    found = change(torch.zeros(4, 3, 2, 2))
    assert found.shape == (4, 3, 2, 2)
    assert torch.linalg.matrix_rank(found.reshape(4, 12)).item() == 2


def test_attention_mlp_and_output_matrices_of_both_towers_are_changed() -> None:
    model = clip()
    prepare(model, Lora(2, 4.0))
    changed = {name.split(".parametrizations.")[0] for name in lora_parameters(model)}
    for tower in ("visual.transformer", "transformer"):
        for block in range(2):
            inside = f"{tower}.resblocks.{block}"
            assert {f"{inside}.attn", f"{inside}.attn.out_proj"} <= changed
            assert {f"{inside}.mlp.c_fc", f"{inside}.mlp.c_proj"} <= changed
    assert "visual.conv1" in changed


def test_convolutions_of_a_timm_tower_are_changed() -> None:
    model = clip(RESNET10T)
    prepare(model, Lora(2, 4.0))
    changed = {name.split(".parametrizations.")[0] for name in lora_parameters(model)}
    assert {"visual.trunk.layer1.0.conv1", "visual.trunk.layer4.0.conv2"} <= changed
    assert "visual.head.proj" in changed
    trained = sum(p.numel() for p in lora_parameters(model).values())
    assert trained < 0.05 * sum(p.numel() for p in model.parameters())


def test_a_matrix_smaller_than_its_change_is_left_alone() -> None:
    model = clip()
    prepare(model, Lora(16, 16.0))  # 16 * (32 + 32) numbers for the 32 * 32 of out_proj
    changed = {name.split(".parametrizations.")[0] for name in lora_parameters(model)}
    assert "visual.transformer.resblocks.0.mlp.c_fc" in changed
    assert "visual.transformer.resblocks.0.attn.out_proj" not in changed


def test_training_moves_both_factors_of_every_change() -> None:
    model = clip()
    train_three_steps(model, Lora(2, 4.0, 0.1))
    for name, parameter in lora_parameters(model).items():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_dropout_drops_inputs_in_training_only() -> None:
    change = LowRankChange(torch.zeros(4, 1000), parts=1, rank=1, alpha=1.0, dropout=0.25)
    with torch.no_grad():
        change.down.fill_(1.0)
        change.up.fill_(1.0)
    torch.manual_seed(0)
    row = change.train()(torch.zeros(4, 1000))[0]
    assert row.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert 0.2 < (row == 0).float().mean() < 0.3
    assert torch.equal(change.eval()(torch.zeros(4, 1000)), torch.ones(4, 1000))


def test_changes_are_stored_and_read_back_through_the_state_dict(tmp_path: Path) -> None:
    model = clip()
    prepare(model, Lora(2, 4.0))
    expected = features(shaken(model))
    save_file(model.state_dict(), tmp_path / "all.safetensors")
    save_file(lora_parameters(model), tmp_path / "changes.safetensors")
    whole = clip()
    prepare(whole, Lora(2, 4.0))
    whole.load_state_dict(load_file(tmp_path / "all.safetensors"))
    small = clip()
    prepare(small, Lora(2, 4.0))
    missing = small.load_state_dict(load_file(tmp_path / "changes.safetensors"), strict=False)
    assert not missing.unexpected_keys
    for found, again, wanted in zip(features(whole), features(small), expected, strict=True):
        assert torch.equal(found, wanted)
        assert torch.equal(again, wanted)


def test_an_adapted_model_can_be_copied() -> None:
    """As the moving average of the weights does."""
    model = clip(RESNET10T)
    prepare(model, Lora(2, 4.0))
    twin = copy.deepcopy(model)
    shaken(model)
    shaken(twin)
    for found, wanted in zip(features(twin), features(model), strict=True):
        assert torch.equal(found, wanted)
    merge(twin)
    assert lora_parameters(model)
    assert not lora_parameters(twin)
