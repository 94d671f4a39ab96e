"""What holds for every loss, whichever is chosen."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from clipsearch.errors import UsageError
from clipsearch.training.losses import (
    LOSS_NAMES,
    MAX_LOGIT_SCALE,
    clamp_temperature,
    make_loss,
)
from tests.training.towers import clip

GENERATOR = torch.Generator().manual_seed(0)
ANY = torch.randn(5, 8, generator=GENERATOR)
OTHER = torch.randn(5, 8, generator=GENERATOR)
ONE = torch.ones(5, 8)
EDGES: dict[str, tuple[Tensor, Tensor, list[int]]] = {
    "one pair": (ANY[:1], OTHER[:1], [3]),
    "one pair, identical vectors": (ANY[:1], ANY[:1], [3]),
    "all the same id": (ANY, OTHER, [3] * 5),
    "identical vectors, different ids": (ONE, ONE, [0, 1, 2, 3, 4]),
    "identical vectors, same id": (ONE, ONE, [3] * 5),
    "exactly touching": (torch.eye(5, 8), torch.eye(5, 8), [0, 1, 2, 1, 4]),
    "exactly touching, different ids": (torch.eye(8)[[1] * 5], torch.eye(8)[[1] * 5], [*range(5)]),
    "text equals photo": (ANY, ANY, [0, 1, 2, 3, 4]),
    "text opposite of photo": (ANY, -ANY, [0, 1, 2, 1, 4]),
}


@pytest.mark.parametrize("name", LOSS_NAMES)
@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_gradients_are_finite(name: str, edge: str, scale: float) -> None:
    image, text, ids = EDGES[edge]
    image, text = image.clone().requires_grad_(True), text.clone().requires_grad_(True)
    log_scale = torch.tensor(math.log(scale), requires_grad=True)
    bias = torch.tensor(-10.0, requires_grad=True)
    loss = make_loss(name)(
        normalize(image, dim=1), normalize(text, dim=1), torch.tensor(ids), log_scale.exp(), bias
    )
    assert math.isfinite(loss.item())
    assert loss.item() >= 0
    loss.backward()
    for tensor in (image, text):
        assert bool(torch.isfinite(tensor.grad).all())
    for scalar in (log_scale, bias):
        assert scalar.grad is None or math.isfinite(scalar.grad.item())


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_descending_it_brings_pairs_together(name: str) -> None:
    image, text = ANY.clone().requires_grad_(True), OTHER.clone().requires_grad_(True)
    loss = make_loss(name)
    ids = torch.tensor([0, 1, 2, 3, 4])
    optimizer = torch.optim.Adam([image, text, *loss.parameters()], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        unit_image, unit_text = normalize(image, dim=1), normalize(text, dim=1)
        loss(unit_image, unit_text, ids, torch.tensor(10.0), None).backward()
        optimizer.step()
    cosines = normalize(image, dim=1) @ normalize(text, dim=1).T
    assert torch.equal(cosines.argmax(dim=1), ids)
    assert torch.equal(cosines.argmax(dim=0), ids)


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_the_order_of_pairs_does_not_matter(name: str) -> None:
    image, text, ids = normalize(ANY, dim=1), normalize(OTHER, dim=1), torch.tensor([0, 1, 2, 1, 4])
    order = torch.tensor([3, 1, 4, 0, 2])
    loss, scale = make_loss(name), torch.tensor(10.0)
    found = loss(image[order], text[order], ids[order], scale, None).item()
    assert found == pytest.approx(loss(image, text, ids, scale, None).item(), abs=1e-5)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unicl, infonce"):
        make_loss("hinge")


def test_the_temperature_is_put_back_into_its_range() -> None:
    model = clip()
    for given, kept in [(9.0, MAX_LOGIT_SCALE), (-1.0, 0.0), (2.0, 2.0)]:
        model.logit_scale.data.fill_(given)
        clamp_temperature(model)
        assert model.logit_scale.item() == pytest.approx(kept)
