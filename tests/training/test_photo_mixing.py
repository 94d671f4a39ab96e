"""Mixed photos hold as much of each other as they say, and are judged by both."""

import math

import numpy as np
import pytest
import torch

from clipsearch.training.batches import ConceptTruth
from clipsearch.training.photo_mixing import Mixture, mix_photos, mixed_softmax


def flat_photos() -> torch.Tensor:
    """Five photos, every pixel of photo i is i / 10."""
    return (torch.arange(5) / 10)[:, None, None, None].expand(5, 3, 20, 12).contiguous()


@pytest.mark.parametrize("seed", range(20))
def test_a_mixture_holds_the_share_it_says(seed: int) -> None:
    photos = flat_photos()
    mixed, mixture = mix_photos(photos, np.random.default_rng(seed))
    assert 0 <= mixture.share <= 1
    expected = mixture.share * photos + (1 - mixture.share) * photos[mixture.partner]
    assert torch.allclose(mixed.mean(dim=(1, 2, 3)), expected.mean(dim=(1, 2, 3)), atol=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_photos_are_blended_or_a_rectangle_is_pasted(seed: int) -> None:
    photos = flat_photos()
    mixed, mixture = mix_photos(photos, np.random.default_rng(seed))
    blended = mixture.share * photos + (1 - mixture.share) * photos[mixture.partner]
    pasted = (mixed == photos[mixture.partner]).all(dim=(0, 1))  # [20, 12]
    rows, columns = pasted.any(dim=1).sum(), pasted.any(dim=0).sum()
    is_rectangle = bool(
        ((mixed == photos) | (mixed == photos[mixture.partner])).all()
        and pasted.sum() == rows * columns
    )
    assert is_rectangle or torch.allclose(mixed, blended)


def test_both_ways_to_mix_occur_and_the_photos_themselves_stay() -> None:
    photos = flat_photos()
    before = photos.clone()
    colours = {
        len(mix_photos(photos, np.random.default_rng(seed))[0][0].unique()) for seed in range(20)
    }
    assert colours == {1, 2}
    assert torch.equal(photos, before)


def test_both_photos_of_a_mixture_are_right_by_their_share() -> None:
    # Photo 0 shows concept 0 and photo 1 concept 1; each is a mixture with the other.
    shown = ConceptTruth(torch.eye(2, 3).bool(), torch.zeros(2, 3).bool())
    logits = torch.tensor([[math.log(2.0), 0.0, 0.0], [math.log(2.0), 0.0, 0.0]])
    mixture = Mixture(torch.tensor([1, 0]), 0.75)
    # Probabilities 1/2, 1/4, 1/4 in both rows.
    own = (math.log(2) + math.log(4)) / 2
    assert mixed_softmax(logits, shown, mixture).item() == pytest.approx(own)
    first = mixed_softmax(logits[:1], ConceptTruth(shown.positive[:1], shown.ignored[:1]),
                          Mixture(torch.tensor([0]), 0.75))  # fmt: skip
    assert first.item() == pytest.approx(math.log(2))


def test_the_share_decides_which_photo_counts_more() -> None:
    shown = ConceptTruth(torch.eye(2).bool(), torch.zeros(2, 2).bool())
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, math.log(3.0)]])  # each photo its own
    mixture = Mixture(torch.tensor([1, 0]), 0.75)
    expected = 0.75 * math.log(4 / 3) + 0.25 * math.log(4)
    assert mixed_softmax(logits, shown, mixture).item() == pytest.approx(expected)


def test_what_is_neither_right_nor_wrong_of_a_partner_is_left_out() -> None:
    shown = ConceptTruth(
        torch.tensor([[True, False, False], [False, True, False]]),
        torch.tensor([[False, False, False], [False, False, True]]),
    )
    mixture = Mixture(torch.tensor([1, 0]), 0.0)  # nothing but the partner
    logits = torch.tensor([[0.0, 0.0, math.log(2.0)], [0.0, 0.0, math.log(6.0)]])
    # Photo 0 is judged as photo 1 is, without concept 2: 1/2. Photo 1 as photo 0, with it: 1/8.
    expected = (math.log(2) + math.log(8)) / 2
    assert mixed_softmax(logits, shown, mixture).item() == pytest.approx(expected)
