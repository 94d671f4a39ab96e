"""The last minutes of training the starter: the photo tower's trunk stays as it is.

First the projection of photos and a direction for every concept are fitted anew, on photos as a
search sees them, and a place is found for words that say nothing. Then the text tower learns these
directions from every way to say a concept, and those of concepts that were learned elsewhere, and
last, against photos, what is also true of them: kinds and colours. Learning both towers together
had left the captions in a few of their dimensions (see prototypes.py).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus
from torch.nn.functional import normalize as to_unit_length

from clipsearch.training.batches import TextSampler
from clipsearch.training.captions import draw_caption
from clipsearch.training.colours import ColourTexts
from clipsearch.training.concepts import Concept
from clipsearch.training.loop import KindsHead
from clipsearch.training.losses import (
    clamp_temperature,
    pairwise_sigmoid,
    symmetric_multi_positive_softmax,
)
from clipsearch.training.prototypes import Prototypes
from clipsearch.training.schedule import warmup_cosine
from clipsearch.training.short_texts import encode_short_text

_PHOTOS, _CAPTIONS = 1024, 256  # drawn for each step
# Noise in each feature, as a share of its deviation: with fewer features than photos a fit
# without it learns the training photos by heart.
_NOISE = 0.5
# Weights beside the softmax: of the sigmoid loss, and of staying near the places taught before.
_KINDS, _PLACES = 0.4, 2.0
_SETTLED = 0.5
_FIT_RATE, _TEACHING_RATE, _SETTLING_RATE, _NEUTRAL_RATE = 3e-3, 2e-3, 1.5e-3, 3e-3
# What part of the concepts people list when they ask which of them a photo shows: from, to.
_LISTED = (0.01, 0.1)
_SHARP = 20.0  # 1 over what is a clear difference of two cosines
_WARMUP, _BETAS = 0.05, (0.9, 0.98)


@dataclass(frozen=True)
class SeenPhotos:
    """What the trunk made of whole photos: `features` float32 [n, width]; `concepts` [n] positions
    in the table; `colours` int8 [n, colours] of `colour_truth`; `shares` [n], how often each is
    drawn, adding up to 1."""

    features: Tensor
    concepts: NDArray[np.int64]
    colours: NDArray[np.int8]
    shares: NDArray[np.float64]

    @cached_property
    def spread(self) -> Tensor:
        """The deviation of each feature [width]."""
        return self.features.std(dim=0)

    def drawn(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], Tensor]:
        """Numbers of some photos [m], and their features with noise [m, width]."""
        chosen = rng.choice(len(self.shares), _PHOTOS, p=self.shares)
        clean = self.features[torch.from_numpy(chosen)]
        noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
        return chosen, clean + _NOISE * self.spread * noise


def fit_projection(
    projection: nn.Parameter, photos: SeenPhotos, sampler: TextSampler, steps: int
) -> Prototypes:
    """Fit `projection` [embed_dim, width] in place, and prototypes in the order of
    `sampler.photographed`, to tell the concepts of the photos apart."""
    prototypes = Prototypes(len(sampler.photographed), projection.shape[0])
    # Fitted for features of one spread, so that one learning rate suits all of them.
    spread = photos.spread.clamp(min=1e-6)  # [width]
    scaled = nn.Parameter(projection.detach() * spread)
    optimizer = torch.optim.AdamW([scaled, *prototypes.parameters()], lr=0.0, weight_decay=0.02)
    rng = np.random.default_rng(0)
    for _ in _rates(optimizer, _FIT_RATE, steps):
        chosen, features = photos.drawn(rng)
        shown = torch.from_numpy(np.searchsorted(sampler.photographed, photos.concepts[chosen]))
        images = to_unit_length(features / spread @ scaled.T, dim=-1)
        # The label alone is right here: with kinds left open, a glacier and a mountain were one.
        _step(optimizer, cross_entropy(prototypes(images), shown))
        clamp_temperature(prototypes)
    with torch.no_grad():
        projection.copy_(scaled / spread)
    return prototypes


@dataclass(frozen=True)
class Places:
    """Where the texts that name concepts are to lie: `rows` [n, embed_dim] of length 1 for the
    `concepts` [n], positions in the table."""

    concepts: NDArray[np.int64]
    rows: Tensor

    def and_others(self, other: "Places") -> "Places":
        """Those of both; no concept may have two."""
        return Places(
            np.concatenate([self.concepts, other.concepts]), torch.cat([self.rows, other.rows])
        )


def fit_neutral(
    places: Places, photos: SeenPhotos, projection: Tensor, sampler: TextSampler, steps: int
) -> Tensor:
    """Where a text lies that says nothing [embed_dim], of length 1.

    `places` are those of `sampler.photographed`. In lists of names drawn anew for each photo, short
    and long ones, it comes to be nearer to the photo than the names of what that does not show, and
    farther than the name of what it does.
    """
    place = nn.Parameter(places.rows.mean(dim=0))
    optimizer = torch.optim.AdamW([place], lr=0.0, betas=_BETAS, weight_decay=0.0)
    rng = np.random.default_rng(3)
    for _ in _rates(optimizer, _NEUTRAL_RATE, steps):
        chosen, features = photos.drawn(rng)
        images = to_unit_length(features @ projection.T, dim=-1)  # [photos, embed_dim]
        cosines = images @ places.rows.T  # [photos, concepts]
        truth = sampler.truth(photos.concepts[chosen])
        share = rng.uniform(*_LISTED, size=(len(images), 1))
        listed = torch.from_numpy(rng.random(cosines.shape) < share)
        wrong = cosines.where(listed & ~truth.positive & ~truth.ignored, -1.0).amax(dim=1)
        right = cosines[truth.positive]  # [photos]: the label alone is positive
        neutral = images @ to_unit_length(place, dim=0)
        _step(
            optimizer,
            (softplus(_SHARP * (wrong - neutral)) + softplus(_SHARP * (neutral - right))).mean(),
        )
    return to_unit_length(place.detach(), dim=0)


@dataclass(frozen=True)
class Sayings:
    """Where captions come from: the table, samplers over it, and their tokens."""

    concepts: Sequence[Concept]
    sampler: TextSampler
    colours: ColourTexts
    tokenize: Callable[[Sequence[str]], Tensor]

    def encode(self, clip: nn.Module, captions: Sequence[str]) -> Tensor:
        """Unit embeddings [n, embed_dim] of captions, computed in bfloat16 where that is safe."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return encode_short_text(clip, self.tokenize(captions)).float()


class _Lesson:
    """Captions drawn anew each time, and how far they lie from where they should."""

    def __init__(self, places: Places, sayings: Sayings, rng: np.random.Generator) -> None:
        self._places, self._sayings, self._rng = places, sayings, rng

    def loss(self, clip: nn.Module) -> Tensor:
        """The mean of 1 - cosine, a scalar in 0..2."""
        count = len(self._places.rows)
        chosen = self._rng.choice(count, min(_CAPTIONS, count), replace=False)
        concepts = self._places.concepts[chosen]
        captions = [draw_caption(self._sayings.concepts[i], self._rng) for i in concepts]
        texts = self._sayings.encode(clip, captions)
        return 1 - (texts * self._places.rows[torch.from_numpy(chosen)]).sum(dim=1).mean()


def teach_texts(clip: nn.Module, places: Places, sayings: Sayings, steps: int) -> None:
    """Train the text tower of `clip`, an open_clip CLIP model: every way to say a concept is to lie
    in its place. No photo is looked at."""
    lesson = _Lesson(places, sayings, np.random.default_rng(1))
    optimizer = torch.optim.AdamW(_text_parameters(clip), lr=0.0, betas=_BETAS, weight_decay=0.0)
    for _ in _rates(optimizer, _TEACHING_RATE, steps):
        _step(optimizer, lesson.loss(clip))


def settle_texts(
    clip: nn.Module, places: Places, photos: SeenPhotos, sayings: Sayings, steps: int
) -> None:
    """Train the text tower of `clip` against photos whose embeddings stay: the softmax over
    captions, in which the label alone is right, and the sigmoid loss of kinds and colours; beside
    them what `teach_texts` taught. It ends halfway (WiSE-FT): settled to the end it told rarer
    things apart less well."""
    projection = clip.get_parameter("visual.head.proj.weight").detach()
    before = [parameter.detach().clone() for parameter in _text_parameters(clip)]
    lesson = _Lesson(places, sayings, np.random.default_rng(5))
    kinds_head = KindsHead()
    learned = [*_text_parameters(clip), clip.get_parameter("logit_scale")]
    optimizer = torch.optim.AdamW(
        [*learned, *kinds_head.parameters()], lr=0.0, betas=_BETAS, weight_decay=0.0
    )
    rng = np.random.default_rng(2)
    for _ in _rates(optimizer, _SETTLING_RATE, steps):
        chosen, features = photos.drawn(rng)
        concepts = photos.concepts[chosen]
        said = sayings.sampler.draw(concepts, rng)
        said = said.and_colours(sayings.colours.draw(concepts, photos.colours[chosen], rng))
        images = to_unit_length(features @ projection.T, dim=-1)
        cosines = images @ sayings.encode(clip, said.captions).T  # [photos, captions]
        split = said.concept_count
        label = said.positive[:, :split]
        loss = symmetric_multi_positive_softmax(
            cosines[:, :split] * clip.get_parameter("logit_scale").exp(),
            label, torch.zeros_like(label), text_to_image_weight=0.25,
        )  # fmt: skip
        kinds = pairwise_sigmoid(
            kinds_head(cosines[:, split:]), said.positive[:, split:], said.ignored[:, split:]
        )
        _step(optimizer, loss + _KINDS * kinds + _PLACES * lesson.loss(clip))
        clamp_temperature(clip)
    with torch.no_grad():
        for parameter, taught in zip(_text_parameters(clip), before, strict=True):
            parameter.lerp_(taught, 1 - _SETTLED)


def _text_parameters(clip: nn.Module) -> list[nn.Parameter]:
    apart = ("visual.", "logit_")
    return [p for name, p in clip.named_parameters() if not name.startswith(apart)]


def _rates(optimizer: torch.optim.Optimizer, peak: float, steps: int) -> Iterator[int]:
    """Count the steps, with the learning rate set for each."""
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = warmup_cosine(step / steps, peak, _WARMUP)
        yield step


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
