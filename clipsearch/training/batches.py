"""Which photos make a batch, and which texts they are compared with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clipsearch.training.captions import draw_caption
from clipsearch.training.colours import ColourBatch
from clipsearch.training.concepts import BROADER, NARROWER, SAME, Concept, relations


@dataclass(frozen=True)
class LabelledPhotos:
    """Photos of one source: `photos` uint8 [n, height, width, 3]; `concepts` [n] positions in the
    concept table; `repeats`, how often each is shown in an epoch (1.5: once, and half of them a
    second time); `kept`, the numbers of the photos to use."""

    photos: NDArray[np.uint8]
    concepts: NDArray[np.int64]
    repeats: float
    kept: NDArray[np.int64]


class PhotoPool:
    """All sources as one numbered list, and its order in each epoch."""

    def __init__(self, sources: Sequence[LabelledPhotos]) -> None:
        self._sources = list(sources)
        self._starts = np.cumsum([0] + [len(s.concepts) for s in sources])
        self.concepts = np.concatenate([s.concepts for s in sources])

    def photo(self, index: int) -> NDArray[np.uint8]:
        """Photo number `index` as uint8 [height, width, 3]."""
        source = int(np.searchsorted(self._starts, index, side="right")) - 1
        return np.asarray(self._sources[source].photos[index - self._starts[source]])

    def epoch_order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """Every photo as often as its source says, shuffled; depends on (seed, epoch) alone."""
        rng = np.random.default_rng([seed, epoch])
        shown: list[NDArray[np.int64]] = []
        for source, start in zip(self._sources, self._starts, strict=False):
            indices = start + source.kept
            whole, part = divmod(source.repeats, 1)
            shown += [indices] * int(whole)
            shown.append(rng.permutation(indices)[: round(part * len(indices))])
        return np.asarray(rng.permutation(np.concatenate(shown)), dtype=np.int64)


@dataclass(frozen=True)
class TextBatch:
    """The texts a batch of photos is compared with, and what counts as a match.

    `captions`: first the `concept_count` texts for the softmax, then those for the sigmoid term:
    kinds, and colours if they were added. `positive`, `ignored` bool [photos, captions].
    """

    captions: list[str]
    concept_count: int
    positive: Tensor
    ignored: Tensor

    def and_colours(self, colours: ColourBatch) -> "TextBatch":
        """The same with the texts about colours behind the others."""
        return TextBatch(
            self.captions + colours.captions,
            self.concept_count,
            torch.cat([self.positive, colours.positive], dim=1),
            torch.cat([self.ignored, colours.ignored], dim=1),
        )


@dataclass(frozen=True)
class ConceptTruth:
    """What the photos of a batch show, for every photographed concept: `positive`, `ignored` bool
    [photos, concepts]. Kinds of the concept, and what it is a kind of, are ignored."""

    positive: Tensor
    ignored: Tensor

    def after(self, first: int) -> "ConceptTruth":
        """The same without the first photos."""
        return ConceptTruth(self.positive[first:], self.ignored[first:])


class TextSampler:
    """Draws captions for the concepts of a batch, some others as negatives, and some kinds."""

    def __init__(
        self,
        concepts: Sequence[Concept],
        photographed: NDArray[np.int64],
        concept_texts: int,
        kind_texts: int,
    ) -> None:
        """`photographed`: positions of the concepts that photos are labelled with.

        `concept_texts`, `kind_texts`: how many texts of each sort a batch is compared with (fewer
        when there are not so many; more concept texts when the batch itself holds more).
        """
        self._concepts = concepts
        self._photographed = np.unique(photographed)
        self._relations = relations(concepts)
        self._kinds = np.flatnonzero((self._relations[self._photographed] == BROADER).any(axis=0))
        self._concept_texts = concept_texts
        self._kind_texts = kind_texts

    @property
    def kinds(self) -> NDArray[np.int64]:
        """Positions of the concepts that some photo belongs to as a kind."""
        return self._kinds

    @property
    def photographed(self) -> NDArray[np.int64]:
        """Positions of the concepts that photos are labelled with, ascending."""
        return self._photographed

    def truth(self, photo_concepts: NDArray[np.int64]) -> ConceptTruth:
        """What photos of these concepts [n] show, in the order of `photographed`."""
        related = torch.from_numpy(self._relations[np.ix_(photo_concepts, self._photographed)])
        return ConceptTruth(related == SAME, (related == BROADER) | (related == NARROWER))

    def draw(self, photo_concepts: NDArray[np.int64], rng: np.random.Generator) -> TextBatch:
        """One caption for each concept in the batch [n], plus random others and kinds."""
        present = np.unique(photo_concepts)
        absent = rng.permutation(np.setdiff1d(self._photographed, present))
        leaves = np.concatenate([present, absent[: max(0, self._concept_texts - len(present))]])
        kinds = rng.permutation(self._kinds)[: self._kind_texts]
        captions = [draw_caption(self._concepts[i], rng) for i in [*leaves, *kinds]]
        to_leaf = torch.from_numpy(self._relations[np.ix_(photo_concepts, leaves)])
        to_kind = torch.from_numpy(self._relations[np.ix_(photo_concepts, kinds)])
        # The softmax asks for the concept itself: wider and narrower ones are neither right nor
        # wrong there. The sigmoid term asks what is true: narrower ones alone are unknown.
        positive = torch.cat([to_leaf == SAME, (to_kind == SAME) | (to_kind == BROADER)], dim=1)
        ignored = torch.cat(
            [(to_leaf == BROADER) | (to_leaf == NARROWER), to_kind == NARROWER], dim=1
        )
        return TextBatch(captions, len(leaves), positive, ignored)
