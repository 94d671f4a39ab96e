"""A trunk whose features tell red from blue, under a projection and texts that know neither."""

import numpy as np
import open_clip
import pytest
import torch

from clipsearch.training.batches import TextSampler
from clipsearch.training.colours import COLOURS, ColourTexts
from clipsearch.training.polishing import (
    Places,
    Sayings,
    SeenPhotos,
    fit_neutral,
    fit_projection,
    settle_texts,
    teach_texts,
)
from clipsearch.training.short_texts import encode_short_text
from tests.training.tiny_model import ARCHITECTURE, COMPACT, CONCEPTS, tokenize

WIDTH = 6


def red_and_blue_photos() -> SeenPhotos:
    """40 photos; the sign of the first feature says which, the others say nothing."""
    generator = torch.Generator().manual_seed(0)
    concepts = np.arange(40) % 2 + 1
    features = torch.randn(40, WIDTH, generator=generator)
    features[:, 2] *= 50  # says nothing, loudly
    features[:, 0] = torch.from_numpy(np.where(concepts == 1, 5.0, -5.0)) + features[:, 0] * 0.1
    colours = np.zeros((40, len(COLOURS)), dtype=np.int8)
    return SeenPhotos(features, concepts, colours, np.full(40, 1 / 40))


def sampler_over(photos: SeenPhotos) -> TextSampler:
    return TextSampler(CONCEPTS, photos.concepts, concept_texts=0, kind_texts=1)


def blind(rows: int) -> torch.nn.Parameter:
    """A projection that looks at the second feature alone."""
    projection = torch.nn.Parameter(torch.zeros(rows, WIDTH))
    projection.data[0, 1] = 1.0
    return projection


def test_the_projection_comes_to_tell_the_concepts_apart() -> None:
    torch.manual_seed(0)
    photos = red_and_blue_photos()
    projection = blind(4)
    prototypes = fit_projection(projection, photos, sampler_over(photos), steps=60)
    images = torch.nn.functional.normalize(photos.features @ projection.T, dim=1)
    found = prototypes(images).argmax(dim=1).numpy() + 1
    assert (found == photos.concepts).all()


def test_noise_is_a_share_of_each_features_own_deviation() -> None:
    photos = red_and_blue_photos()
    photos.features[:, 3] = 7.0  # says nothing, so that noise in it would be all there is
    chosen, drawn = photos.drawn(np.random.default_rng(0))
    assert torch.equal(drawn[:, 3], photos.features[chosen, 3])
    moved = (drawn - photos.features[chosen])[:, 0].std()
    assert moved.item() == pytest.approx(0.5 * photos.features[:, 0].std().item(), rel=0.1)


def test_photos_are_drawn_by_their_shares() -> None:
    photos = red_and_blue_photos()
    only_third = np.zeros(40)
    only_third[3] = 1.0
    chosen, _ = SeenPhotos(photos.features, photos.concepts, photos.colours, only_third).drawn(
        np.random.default_rng(0)
    )
    assert set(chosen.tolist()) == {3}


def tiny_clip() -> open_clip.CLIP:
    """The towers of the tiny model, a projection of WIDTH features where timm keeps its."""
    torch.manual_seed(0)
    clip = open_clip.CLIP(**ARCHITECTURE)
    clip.token_embedding = COMPACT.shrink(clip.token_embedding)
    clip.visual.head = torch.nn.Module()
    clip.visual.head.proj = torch.nn.Linear(WIDTH, 16, bias=False)
    return clip


def sayings_over(photos: SeenPhotos) -> Sayings:
    return Sayings(CONCEPTS, sampler_over(photos), ColourTexts(CONCEPTS, things=2), tokenize)


def places_in(rows: torch.Tensor) -> Places:
    """Of red and of blue."""
    return Places(np.array([1, 2]), torch.nn.functional.normalize(rows, dim=1))


def some_places() -> Places:
    return places_in(torch.randn(2, 16, generator=torch.Generator().manual_seed(1)))


def test_captions_come_to_lie_in_their_places() -> None:
    clip, places = tiny_clip(), some_places()
    teach_texts(clip, places, sayings_over(red_and_blue_photos()), steps=120)
    with torch.no_grad():
        texts = encode_short_text(clip, tokenize(["a photo of red", "blue"]))
    cosines = (texts @ places.rows.T).tolist()
    assert cosines[0][0] > 0.9
    assert cosines[1][1] > 0.9


def test_places_of_others_are_taught_beside_those_of_labels() -> None:
    """A concept no photo is labelled with; its place is told by its position in the table."""
    clip, elsewhere = tiny_clip(), torch.nn.functional.normalize(torch.ones(1, 16), dim=1)
    places = some_places().and_others(Places(np.array([0]), elsewhere))
    teach_texts(clip, places, sayings_over(red_and_blue_photos()), steps=160)
    with torch.no_grad():
        texts = encode_short_text(clip, tokenize(["a colour", "red", "blue"]))
    assert (texts * torch.cat([elsewhere, some_places().rows])).sum(dim=1).min() > 0.9


def test_what_says_nothing_lies_between_right_names_and_wrong_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Photos of red lie at (0.8, 0.6, 0.1), of blue at (0.6, 0.8, 0.1), as long as 1. That all of
    red also lie in the place of "colour", which red is a kind of, is no mistake."""
    monkeypatch.setattr("clipsearch.training.polishing._LISTED", (0.5, 1.0))
    monkeypatch.setattr("clipsearch.training.polishing._NOISE", 0.0)
    photos = red_and_blue_photos()
    is_red = torch.from_numpy(photos.concepts == 1)[:, None]
    red, blue = torch.zeros(2, WIDTH)
    red[:3], blue[:3] = torch.tensor([0.8, 0.6, 0.1]), torch.tensor([0.6, 0.8, 0.1])
    images = torch.nn.functional.normalize(torch.where(is_red, red, blue), dim=1)
    seen = SeenPhotos(images, photos.concepts, photos.colours, photos.shares)
    of_red = images[photos.concepts == 1][:1]
    places = Places(np.arange(3), torch.cat([of_red, torch.eye(2, WIDTH)]))
    sampler = TextSampler(CONCEPTS, np.arange(3), concept_texts=0, kind_texts=1)
    place = fit_neutral(places, seen, torch.eye(WIDTH), sampler, steps=400)
    cosines = (images @ torch.eye(2, WIDTH).T).sort(dim=1).values  # [photos, wrong and right]
    neutral = images @ place
    assert place.norm().item() == pytest.approx(1)
    assert (cosines[:, 0] < neutral).all()
    assert (neutral < cosines[:, 1]).all()


def test_captions_come_to_find_their_photos_and_colours_theirs() -> None:
    clip, photos = tiny_clip(), red_and_blue_photos()
    photos.features[:, 2] = 0  # a projection that nobody fitted would show nothing else
    first = photos.concepts == 1
    photos.colours[first, COLOURS.index("yellow")] = 1
    photos.colours[~first, COLOURS.index("green")] = 1
    projection = clip.visual.head.proj.weight.detach().clone()
    images = torch.nn.functional.normalize(photos.features @ projection.T, dim=1)
    places = places_in(torch.stack([images[first].mean(0), images[~first].mean(0)]))
    settle_texts(clip, places, photos, sayings_over(photos), steps=60)
    captions = ["a photo of red", "blue", "something yellow", "something green"]
    with torch.no_grad():
        cosines = (images @ encode_short_text(clip, tokenize(captions)).T).numpy()
    assert (cosines[:, :2].argmax(axis=1) + 1 == photos.concepts).all()
    assert (cosines[:, 2:].argmax(axis=1) == np.where(first, 0, 1)).all()
    assert torch.equal(clip.visual.head.proj.weight, projection)


def test_settling_ends_halfway(monkeypatch: pytest.MonkeyPatch) -> None:
    photos, places = red_and_blue_photos(), some_places()
    ends = []
    for share in (1.0, 0.5):
        monkeypatch.setattr("clipsearch.training.polishing._SETTLED", share)
        clip = tiny_clip()
        before = clip.get_parameter("text_projection").detach().clone()
        settle_texts(clip, places, photos, sayings_over(photos), steps=5)
        ends.append(clip.get_parameter("text_projection").detach() - before)
    assert ends[0].abs().max() > 1e-3
    assert torch.allclose(ends[1], ends[0] / 2, atol=1e-6)


def test_settled_texts_stay_near_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """The photos pull another way: to where their embeddings lie."""
    photos, places = red_and_blue_photos(), some_places()
    distances = []
    for weight in (0.0, 20.0):
        monkeypatch.setattr("clipsearch.training.polishing._PLACES", weight)
        clip = tiny_clip()
        settle_texts(clip, places, photos, sayings_over(photos), steps=60)
        with torch.no_grad():
            texts = encode_short_text(clip, tokenize(["red", "blue"]))
        distances.append(1 - (texts * places.rows).sum(dim=1).mean().item())
    assert distances[1] < 0.5 * distances[0]
