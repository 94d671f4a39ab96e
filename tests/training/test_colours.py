"""Colours: what pixels say, and which texts that makes true of a batch."""

import numpy as np
import pytest
import torch

from clipsearch.training.augment import some_without_colour
from clipsearch.training.captions import all_captions
from clipsearch.training.colours import (
    COLOURS,
    ColourTexts,
    all_colour_captions,
    colour_truth,
    coloured_names,
    ways_to_say,
)
from clipsearch.training.concepts import Concept, Name

KINDS = {"food": (), "fruit": ("food",), "apple": ("fruit",), "orange": ("fruit",), "car": ()}
CONCEPTS = [Concept(name, (Name(name, True),), kinds, ()) for name, kinds in KINDS.items()]
FRUIT, APPLE, CAR = 1, 2, 4
RED, GREEN, GREY, BLACK_AND_WHITE = (
    COLOURS.index(name) for name in ("red", "green", "grey", "black and white")
)


def of_one_colour(*rgb: int) -> torch.Tensor:
    return (torch.tensor(rgb, dtype=torch.float32) / 255)[None, :, None, None].expand(1, 3, 32, 32)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((220, 20, 20), "red"),
        ((220, 10, 60), "red"),  # a hue just below 360 degrees
        ((240, 140, 20), "orange"),
        ((240, 220, 30), "yellow"),
        ((40, 180, 60), "green"),
        ((30, 60, 220), "blue"),
        ((130, 30, 200), "purple"),
        ((240, 40, 170), "pink"),
        ((250, 170, 175), "pink"),
        ((110, 60, 20), "brown"),
        ((10, 10, 14), "black"),
        ((250, 250, 250), "white"),
        ((128, 128, 128), "grey"),
    ],
)
def test_one_plain_colour_has_that_name_alone(rgb: tuple[int, int, int], name: str) -> None:
    truth = colour_truth(of_one_colour(*rgb))[0]
    named = [COLOURS[i] for i in np.flatnonzero(truth == 1)]
    without_hue = ["black and white"] if name in ("black", "white", "grey") else []
    assert named == [name, *without_hue]
    assert not (truth == -1).any()


def test_skin_has_no_colour_name() -> None:
    assert not (colour_truth(of_one_colour(230, 190, 160))[0] == 1).any()


def test_the_middle_counts_and_a_corner_does_not() -> None:
    pixels = of_one_colour(128, 128, 128).repeat(2, 1, 1, 1)
    red = torch.tensor([0.9, 0.05, 0.05])[:, None, None]
    pixels[0, :, 8:24, 8:24] = red
    pixels[1, :, :8, :8] = red
    truth = colour_truth(pixels)
    assert truth[:, RED].tolist() == [1, 0]
    # A sixteenth of the photo has a hue: neither black and white for sure, nor clearly not.
    assert truth[:, BLACK_AND_WHITE].tolist() == [0, -1]


def test_between_plenty_and_hardly_any_nothing_is_said() -> None:
    pixels = of_one_colour(128, 128, 128).clone()
    pixels[0, 0, 13:17, 6:26] = 0.95
    pixels[0, 1:, 13:17, 6:26] = 0.05
    assert colour_truth(pixels)[0, RED] == -1


def test_texts_of_a_red_apple_and_a_green_car() -> None:
    truth = np.zeros((3, len(COLOURS)), dtype=np.int8)
    truth[0, RED] = truth[1, GREEN] = 1
    truth[2, RED] = -1
    shown = np.array([APPLE, CAR, FRUIT])
    seen = set()
    for seed in range(600):
        drawn = ColourTexts(CONCEPTS, things=3).draw(shown, truth, np.random.default_rng(seed))
        assert len(drawn.captions) == len(COLOURS) + 3
        assert torch.equal(drawn.positive[:, : len(COLOURS)], torch.from_numpy(truth == 1))
        assert torch.equal(drawn.ignored[:, : len(COLOURS)], torch.from_numpy(truth == -1))
        for j, caption in enumerate(drawn.captions[len(COLOURS) :], len(COLOURS)):
            pairs = zip(drawn.positive[:, j].tolist(), drawn.ignored[:, j].tolist(), strict=True)
            seen.add((caption, tuple("+" if p else "?" if i else "-" for p, i in pairs)))
    said = dict(seen)
    assert len(said) == len(seen), "one text was judged in two ways"
    # The third photo shows some fruit of which nobody knows whether it is red, or an apple.
    assert said["a red apple"] == ("+", "-", "?")
    assert said["a red fruit"] == ("+", "-", "?")
    assert said["a green car"] == ("-", "+", "-")
    assert said["a green apple"] == ("-", "-", "-")


def test_every_text_that_is_drawn_is_listed() -> None:
    listed = set(all_captions(CONCEPTS)) | set(all_colour_captions(CONCEPTS))
    truth = np.ones((20, len(COLOURS)), dtype=np.int8)
    shown = np.arange(20) % len(CONCEPTS)
    for seed in range(20):
        drawn = ColourTexts(CONCEPTS, 20).draw(shown, truth, np.random.default_rng(seed))
        assert listed.issuperset(drawn.captions)


def test_names_with_a_colour_read_as_people_say_them() -> None:
    assert coloured_names("orange", Name("car", True)) == (
        "orange car", "a photo of an orange car", "an orange car", "orange cars"
    )  # fmt: skip
    assert coloured_names("white", Name("milk", False)) == ("white milk", "a photo of white milk")
    assert coloured_names("black and white", Name("owl", True)) == (
        "a black and white photo of an owl",
    )


def test_a_colour_that_is_also_a_thing_is_never_said_alone() -> None:
    red, orange = ways_to_say(["red", "orange"], CONCEPTS)
    assert "red" in red
    assert "orange" not in orange
    assert "an orange photo" in orange


def test_some_photos_lose_their_colour_always_the_same_ones() -> None:
    numbers = np.arange(400)
    pixels = of_one_colour(220, 20, 20).repeat(400, 1, 1, 1)
    grey = some_without_colour(pixels.clone(), 1, 0, numbers)
    changed = (grey != pixels).flatten(1).any(dim=1)
    assert 4 <= int(changed.sum()) <= 32
    assert colour_truth(grey[changed])[:, BLACK_AND_WHITE].tolist() == [1] * int(changed.sum())
    alone = some_without_colour(pixels[:1].clone(), 1, 0, numbers[changed][:1])
    assert torch.equal(alone[0], grey[changed][0])
    other = some_without_colour(pixels.clone(), 1, 1, numbers)
    assert not torch.equal(grey, other)
