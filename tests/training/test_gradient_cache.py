"""Gradients in chunks are those of the full batch."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from clipsearch.training.gradient_cache import Encoding, backward_in_chunks
from clipsearch.training.losses import LOSS_NAMES, ViewsLoss, make_loss
from clipsearch.training.tuning import LockImage, Lora, prepare
from tests.training.towers import RESNET10T, batch, clip, hugging_face_clip

IDS = torch.tensor([0, 1, 2, 1, 3, 4, 5])


def encodings(model: nn.Module, pairs: int = 7) -> list[Encoding]:
    photos, tokens = batch(model, pairs)
    return [
        Encoding(lambda part: model.encode_image(part, normalize=True), photos),
        Encoding(lambda part: model.encode_text(part, normalize=True), tokens),
    ]


def loss_of(model: nn.Module, name: str) -> Callable[[Tensor, Tensor], Tensor]:
    loss = make_loss(name)
    return lambda image, text: loss(image, text, IDS, model.logit_scale.exp(), model.logit_bias)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def full_batch(
    model: nn.Module, parts: list[Encoding], loss: Callable[..., Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    value = loss(*(part.encode(part.inputs) for part in parts))
    value.backward()
    return value.detach(), gradients(model)


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        largest = max(gradient.abs().max().item(), 1e-3)
        assert (found[name] - gradient).abs().max().item() <= 1e-5 * largest + 1e-8, name


@pytest.mark.parametrize("chunk", [1, 3, 7, 50])
@pytest.mark.parametrize("name", LOSS_NAMES)
def test_gradients_equal_the_full_batchs(name: str, chunk: int) -> None:
    model = clip(init_logit_bias=-10.0)
    parts, loss = encodings(model), loss_of(model, name)
    value, wanted = full_batch(model, parts, loss)
    found = backward_in_chunks(model, parts, loss, chunk)
    assert found.item() == pytest.approx(value.item(), abs=1e-6)
    assert_same(gradients(model), wanted)


def test_the_temperature_gets_its_gradient_once() -> None:
    model = clip()
    parts, loss = encodings(model), loss_of(model, "unicl")
    _, wanted = full_batch(model, parts, loss)
    backward_in_chunks(model, parts, loss, 2)
    assert model.logit_scale.grad.item() == pytest.approx(wanted["logit_scale"].item(), rel=1e-5)


def test_a_third_input_such_as_a_second_view_takes_part() -> None:
    model, views = clip(), ViewsLoss()
    parts = encodings(model)
    parts.append(Encoding(parts[0].encode, parts[0].inputs.flip(3)))
    pairs = loss_of(model, "unicl")

    def loss(image: Tensor, text: Tensor, view: Tensor) -> Tensor:
        return pairs(image, text) + views(image, view)

    _, wanted = full_batch(model, parts, loss)
    backward_in_chunks(model, parts, loss, 3)
    assert_same(gradients(model), wanted)


@pytest.mark.parametrize("chunk", [2, 3])
def test_dropout_is_the_same_in_both_passes(chunk: int) -> None:
    """The full batch here is one whose chunks drew their dropout one after the other."""
    model = hugging_face_clip()
    prepare(model, Lora(2, 4.0, 0.25))
    nn.init.normal_(model.text.proj.parametrizations.weight[0].up)
    model.train()
    parts, loss = encodings(model), loss_of(model, "unicl")
    torch.manual_seed(5)
    value = loss(*(torch.cat([p.encode(c) for c in p.inputs.split(chunk)]) for p in parts))
    value.backward()
    wanted, drawn_after = gradients(model), torch.rand(3)
    torch.manual_seed(5)
    found = backward_in_chunks(model, parts, loss, chunk)
    assert found.item() == pytest.approx(value.item(), abs=1e-6)
    assert_same(gradients(model), wanted)
    assert torch.equal(torch.rand(3), drawn_after)


def test_running_statistics_move_once() -> None:
    model = clip(RESNET10T)
    model.train()
    parts, loss = encodings(model), loss_of(model, "unicl")
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for part in parts:
        for rows in part.inputs.split(4):
            part.encode(rows)
    wanted = {name: b.clone() for name, b in model.named_buffers()}
    model.load_state_dict(start)
    backward_in_chunks(model, parts, loss, 4)
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, wanted[name]), name


def test_batch_norm_in_evaluation_mode_is_exact_too() -> None:
    model = clip(RESNET10T).eval()
    parts, loss = encodings(model), loss_of(model, "unicl")
    _, wanted = full_batch(model, parts, loss)
    backward_in_chunks(model, parts, loss, 2)
    assert_same(gradients(model), wanted)


def test_a_locked_tower_is_encoded_without_a_gradient() -> None:
    model = clip()
    prepare(model, LockImage())
    model.train()
    parts, loss = encodings(model), loss_of(model, "unicl")
    _, wanted = full_batch(model, parts, loss)
    backward_in_chunks(model, parts, loss, 2)
    found = gradients(model)
    assert not any(name.startswith("visual.") for name in found)
    assert_same(found, wanted)


def test_gradients_are_added_to_what_is_there() -> None:
    model = clip()
    parts, loss = encodings(model), loss_of(model, "unicl")
    _, once = full_batch(model, parts, loss)
    backward_in_chunks(model, parts, loss, 3)
    backward_in_chunks(model, parts, loss, 3)
    assert_same(gradients(model), {name: 2 * gradient for name, gradient in once.items()})
