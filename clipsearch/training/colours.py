"""Colours that a photo's own pixels show, how people say them, and the texts they make true.

Nobody labelled these: a caption such as "a red car" is right where the label says car and the
middle of the picture, as it is shown in this step, is red enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clipsearch.training.captions import plural, with_article
from clipsearch.training.concepts import BROADER, NARROWER, SAME, Concept, Name, relations

COLOURS = (
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey",
    "black and white",
)  # fmt: skip
# Where each hue begins, in degrees; red is also what lies before the first.
_HUES = {"orange": 15, "yellow": 42, "green": 70, "blue": 165, "purple": 252, "pink": 315}
_RED_AGAIN = 345
_PLENTY, _HARDLY_ANY = 0.3, 0.05  # shares of the middle
_ALL, _NOT_ALL = 0.98, 0.8  # shares of the whole, for photos without colours
_STEP = 4  # every fourth pixel each way is looked at

_THINGS = ("photo", "picture", "thing")
_GREYSCALE = ("black and white", "a black and white photo", "a black and white picture")
_TRUE, _FALSE, _UNKNOWN = 1, 0, -1


def colour_truth(pixels: Tensor) -> NDArray[np.int8]:
    """What can be said of each photo: 1 it has the colour, 0 it has not, -1 hard to tell.

    `pixels` [n, 3, h, w] in 0..1, before normalisation. Returns [n, len(COLOURS)]. A pixel's colour
    is decided by hue, saturation and value; pixels near the middle weigh more (a Gaussian with a
    quarter of the side as its deviation). "black and white" asks for a photo without any hue.
    """
    seen = pixels[:, :, _STEP // 2 :: _STEP, _STEP // 2 :: _STEP]
    of_pixel, chroma = _name_pixels(seen)  # [n, h', w'] each
    weight = _middle(*of_pixel.shape[1:])
    shares = np.stack(
        [((of_pixel == c) * weight).sum(dim=(1, 2)).numpy() for c in range(len(COLOURS) - 1)], 1
    )
    truth = np.full((len(pixels), len(COLOURS)), _UNKNOWN, dtype=np.int8)
    truth[:, :-1][shares >= _PLENTY] = _TRUE
    truth[:, :-1][shares <= _HARDLY_ANY] = _FALSE
    without_hue = (chroma < 0.06).float().mean(dim=(1, 2)).numpy()
    truth[:, -1][without_hue >= _ALL] = _TRUE
    truth[:, -1][without_hue <= _NOT_ALL] = _FALSE
    return truth


def _name_pixels(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """(position in COLOURS or -1, chroma) of each pixel, both [n, h, w]."""
    value, low = pixels.amax(dim=1), pixels.amin(dim=1)
    chroma = value - low
    saturation = chroma / value.clamp(min=1e-6)
    hue = _hue(pixels, value, chroma)
    named = torch.full(value.shape, COLOURS.index("red"))
    for name, start in _HUES.items():
        named[hue >= start] = COLOURS.index(name)
    named[hue >= _RED_AGAIN] = COLOURS.index("red")
    warm = (hue < _HUES["yellow"]) | (hue >= _RED_AGAIN)
    reddish = (hue < _HUES["orange"]) | (hue >= _RED_AGAIN)
    named[warm & (hue < _RED_AGAIN) & (value < 0.6)] = COLOURS.index("brown")
    named[reddish & (value >= 0.75) & (saturation < 0.5)] = COLOURS.index("pink")
    # Pale warm tones are skin, sand and lamplight: nobody calls them orange or yellow.
    pale = (hue >= _HUES["orange"]) & (hue < _HUES["green"]) & (saturation < 0.45)
    named[pale & (named != COLOURS.index("brown"))] = -1
    named[saturation < 0.25] = -1
    named[saturation < 0.12] = COLOURS.index("grey")
    named[(saturation < 0.12) & (value > 0.8)] = COLOURS.index("white")
    named[value < 0.18] = COLOURS.index("black")
    return named, chroma


def _hue(pixels: Tensor, value: Tensor, chroma: Tensor) -> Tensor:
    """Degrees in 0..360 (A. R. Smith, "Color gamut transform pairs", SIGGRAPH 1978)."""
    red, green, blue = pixels.unbind(dim=1)
    span = chroma.clamp(min=1e-6)
    sixth = torch.where(
        value == red,
        ((green - blue) / span) % 6,
        torch.where(value == green, (blue - red) / span + 2, (red - green) / span + 4),
    )
    return sixth * 60


def _middle(height: int, width: int) -> Tensor:
    """Weights [height, width] that add up to 1 and are largest in the middle."""
    down = torch.linspace(-0.5, 0.5, height)[:, None]
    across = torch.linspace(-0.5, 0.5, width)[None]
    weight = torch.exp(-(down**2 + across**2) / (2 * 0.25**2))
    return weight / weight.sum()


def coloured_names(colour: str, name: Name) -> tuple[str, ...]:
    """Ways to say that a thing has a colour: "red car", "a red car", "red cars"."""
    if colour == "black and white":
        return (f"a black and white photo of {with_article(name)}",)
    together = Name(f"{colour} {name.words}", name.countable)
    said = (together.words, f"a photo of {with_article(together)}")
    return (*said, with_article(together), plural(together.words)) if name.countable else said


def ways_to_say(colours: Sequence[str], concepts: Sequence[Concept]) -> list[tuple[str, ...]]:
    """For each colour alone: "red", "something red", "a red photo" and so on. The bare word is left
    out where it is also the name of a thing: an orange, above all."""
    taken = {name.words for concept in concepts for name in concept.names}
    ways: list[tuple[str, ...]] = []
    for colour in colours:
        if colour == "black and white":
            ways.append(_GREYSCALE)
            continue
        alone = () if colour in taken else (colour,)
        some = (with_article(Name(f"{colour} {thing}", True)) for thing in _THINGS)
        ways.append((*alone, f"something {colour}", *some))
    return ways


def all_colour_captions(concepts: Sequence[Concept]) -> list[str]:
    """Every caption that ColourTexts can draw, sorted."""
    said = {way for ways in ways_to_say(COLOURS, concepts) for way in ways}
    for concept in concepts:
        for colour in COLOURS:
            said |= set(coloured_names(colour, concept.names[0]))
    return sorted(said)


@dataclass(frozen=True)
class ColourBatch:
    """Texts about colours and what they say of a batch: `positive`, `ignored` bool [photos, m]."""

    captions: list[str]
    positive: Tensor
    ignored: Tensor


class ColourTexts:
    """Draws every colour alone, and some coloured things: "a red fruit" for a photo of an apple."""

    def __init__(self, concepts: Sequence[Concept], things: int) -> None:
        """`things`: how many coloured things a batch is compared with."""
        self._concepts = concepts
        self._relations = relations(concepts)
        self._alone = ways_to_say(COLOURS, concepts)
        self._things = things

    def draw(
        self, photo_concepts: NDArray[np.int64], truth: NDArray[np.int8], rng: np.random.Generator
    ) -> ColourBatch:
        """`photo_concepts` [n] positions in the table; `truth` [n, colours] of `colour_truth`."""
        captions = [ways[int(rng.integers(len(ways)))] for ways in self._alone]
        said = [truth]
        for photo in rng.permutation(len(photo_concepts))[: self._things]:
            thing, colour = self._thing_of(int(photo_concepts[photo]), truth[photo], rng)
            ways = coloured_names(COLOURS[colour], self._concepts[thing].names[0])
            captions.append(ways[int(rng.integers(len(ways)))])
            is_thing = self._relations[photo_concepts, thing]  # [n]
            said.append(_both(is_thing, truth[:, colour])[:, None])
        every = torch.from_numpy(np.concatenate(said, axis=1))  # [n, m]
        return ColourBatch(captions, every == _TRUE, every == _UNKNOWN)

    def _thing_of(
        self, concept: int, truth: NDArray[np.int8], rng: np.random.Generator
    ) -> tuple[int, int]:
        """The concept or a kind of it, and a colour it has; sometimes one that it lacks."""
        kinds = np.flatnonzero(self._relations[concept] == BROADER)
        thing = int(rng.choice(kinds)) if len(kinds) and rng.random() < 0.5 else concept
        has = np.flatnonzero(truth == _TRUE)
        if len(has) and rng.random() < 0.75:
            return thing, int(rng.choice(has))
        return thing, int(rng.integers(len(COLOURS)))


def _both(is_thing: NDArray[np.int8], has_colour: NDArray[np.int8]) -> NDArray[np.int8]:
    """Whether "a red car" is true [n]: false as soon as one half is, unknown while one half is."""
    said = np.where(np.isin(is_thing, (SAME, BROADER)), has_colour, _FALSE)
    return np.where((is_thing == NARROWER) & (has_colour != _FALSE), _UNKNOWN, said).astype(np.int8)
