"""The anchor by hand, and captions without padding against captions with it."""

import open_clip
import pytest
import torch
from torch import Tensor

from clipsearch.training.anchoring import TextAnchor, anchor_to
from clipsearch.training.short_texts import short_text_encoder
from tests.training.tiny_model import ARCHITECTURE, tokens_of

PROMPTS = ["a dog", "a photo of the small cat.", "snow"]


def test_the_anchor_is_the_mean_of_one_minus_cosine() -> None:
    original = torch.eye(2)
    now = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    anchor = TextAnchor(torch.tensor([[0], [1]]), original)

    def encode(tokens: Tensor) -> Tensor:
        return now[tokens[:, 0]]

    assert torch.isclose(anchor.loss(encode), torch.tensor((0.0 + 0.2) / 2))


def test_so_many_prompts_are_drawn_and_others_each_time() -> None:
    drawn: list[list[int]] = []

    def encode(tokens: Tensor) -> Tensor:
        drawn.append(tokens[:, 0].tolist())
        return torch.ones(len(tokens), 1)

    anchor = TextAnchor(torch.arange(50)[:, None], torch.ones(50, 1), drawn=5)
    torch.manual_seed(0)
    anchor.loss(encode)
    anchor.loss(encode)
    assert [len(set(each)) for each in drawn] == [5, 5]
    assert drawn[0] != drawn[1]


def test_blocks_of_like_length_give_the_loss_and_gradients_of_one_padded_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(2)
    model = open_clip.CLIP(**ARCHITECTURE)
    prompts = ["a " * (1 + 3 * i % 8) + f"dog {i}" for i in range(30)]
    tokens = tokens_of(prompts)
    original = torch.nn.functional.normalize(torch.randn(30, 16), dim=1)
    monkeypatch.setattr("clipsearch.training.anchoring._BLOCK_OF_STEP", 8)
    short = short_text_encoder(model)
    assert short is not None
    widths: list[int] = []

    def encode(rows: Tensor) -> Tensor:
        widths.append(int(rows.argmax(dim=1).max()) + 1)
        return short(rows)

    loss = TextAnchor(tokens, original, drawn=30).loss(encode)
    loss.backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    assert widths == sorted(widths)
    assert widths[0] < widths[-1] == int(tokens.argmax(dim=1).max()) + 1
    model.zero_grad(set_to_none=True)
    slow = 1 - (model.encode_text(tokens, normalize=True) * original).sum(dim=1).mean()
    slow.backward()
    assert loss.item() == pytest.approx(slow.item(), abs=1e-6)
    assert found.keys() == {n for n, p in model.named_parameters() if p.grad is not None}
    for name, gradient in found.items():
        assert torch.allclose(gradient, model.get_parameter(name).grad, atol=1e-6), name


def test_nothing_is_lost_of_a_model_that_has_not_moved() -> None:
    model = open_clip.CLIP(**ARCHITECTURE)

    def encode(tokens: Tensor) -> Tensor:
        rows: Tensor = model.encode_text(tokens, normalize=True)
        return rows

    anchor = anchor_to(PROMPTS, tokens_of, encode, torch.device("cpu"))
    assert abs(float(anchor.loss(encode).detach())) < 1e-6
    with torch.no_grad():
        model.get_parameter("text_projection").neg_()
    loss = anchor.loss(encode)
    assert abs(float(loss.detach()) - 2) < 1e-6
    assert loss.requires_grad


def test_captions_without_padding_have_the_same_embeddings() -> None:
    model = open_clip.CLIP(**ARCHITECTURE).eval()
    encode = short_text_encoder(model)
    assert encode is not None
    rows = tokens_of(PROMPTS)
    with torch.no_grad():
        assert torch.allclose(encode(rows), model.encode_text(rows, normalize=True), atol=1e-6)


def test_other_text_towers_are_left_as_they_are() -> None:
    assert short_text_encoder(open_clip.CustomTextCLIP(**ARCHITECTURE)) is None
    model = open_clip.CLIP(**ARCHITECTURE)
    model.text_pool_type = "last"
    assert short_text_encoder(model) is None
