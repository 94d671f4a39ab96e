"""Batches of photos and captions, prepared beside the training step.

A batch depends on (seed, step, rank) and the list of photos alone: not on the number of threads,
not on what was in memory. A resumed run needs nothing but the number of its step.
"""

import hashlib
import re
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from clipsearch.errors import UsageError
from clipsearch.training.augment import uniforms
from clipsearch.training.small_photos import SmallPhotos
from clipsearch.training.views import (
    DRAWS,
    FOR_CAPTIONS,
    FOR_VIEWS,
    Augmentation,
    draw_view,
    finish,
)
from clipsearch.types import CaptionedPhoto, Floats, Pixels, Preprocess

# Batches prepared while a step runs: the next, and one more for when slow photos come.
_AHEAD = 2
# Caption draws are mixed apart from the draws of the crops.
_CAPTION_STREAM = 0x5EED
# What a mirrored photo would make untrue, in the languages people write captions in.
_SIDES = re.compile(
    r"\b(left|right|link[es]\b|recht[es]\b|gauche|droite?\b|izquierd|derech|sinistr|destr[ao]\b)"
    r"|[左右]",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class PairBatch:
    """One rank's part of one step.

    `indices` [n] int64: numbers in the list of photos. `images` [n, 3, height, width] float32,
    normalised, channels last. `tokens` [n, length] int64. `ids` [n] int64: equal ids say the same
    thing, so that such photos and texts are no negatives of each other. `views`: a second, stronger
    augmentation of the same photos, as `images`, when it was asked for.
    """

    indices: Tensor
    images: Tensor
    tokens: Tensor
    ids: Tensor
    views: Tensor | None


@dataclass(frozen=True)
class WordsBatch:
    """What a step's photos are told to be, without the photos: as in PairBatch."""

    indices: Tensor
    tokens: Tensor
    ids: Tensor


def a_photo_of(label: str) -> Sequence[str]:
    """The plainest caption of a label."""
    return (f"a photo of a {label}.",)


def meaning_id(text: str) -> int:
    """A number in 0..2^63 that texts share if they differ in case and spaces only."""
    plain = " ".join(text.casefold().split())
    digest = hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class PairBatches:
    """The batches of one rank of a run.

    An epoch shows every photo once, in an order drawn from (seed, epoch), and is cut into the
    fewest batches of at most `batch_size`, all of nearly the same size: with a full-size rest,
    either some photos would be left out or the last batch would have too few negatives to learn
    from. With fewer photos than a batch, all of them are the batch.

    `batch_size` is the whole batch over all ranks. Every rank gets as many rows as the others, so
    up to `world` - 1 photos, others in each epoch, are left out. The ranks' parts, one after the
    other, are the batch that a run of one process would have.

    Of several captions of a photo an epoch uses one; after as many epochs as there are captions
    each was used once. A photo without captions gets those that `prompts` makes of its label.
    """

    def __init__(
        self,
        photos: Sequence[CaptionedPhoto],
        preprocess: Preprocess,
        tokenize: Callable[[Sequence[str]], Tensor],
        decode: Callable[[bytes], Image.Image],
        *,
        batch_size: int,
        seed: int,
        two_views: bool = False,
        workers: int = 2,
        rank: int = 0,
        world: int = 1,
        prompts: Callable[[str], Sequence[str]] = a_photo_of,
        augmentation: Augmentation = FOR_CAPTIONS,
        view_augmentation: Augmentation = FOR_VIEWS,
        keep_bytes: int = 1_000_000_000,
    ) -> None:
        """`decode`: a file's bytes to a whole upright RGB photo; raises PhotoError or OSError.

        `workers`: threads that decode and augment (0: none, everything in the caller's).
        `keep_bytes`: how much memory decoded photos may take. Raises UsageError when there are
        too few photos for the batch and the ranks, or a photo has neither caption nor label, or
        `seed` is not in 0..2^63.
        """
        if batch_size < world or len(photos) < world or not photos:
            raise UsageError(
                f"{len(photos)} photos in batches of {batch_size} are too few for {world} processes"
            )
        if not 0 <= seed < 2**63:
            raise UsageError(f"{seed} cannot be a seed", "Use a whole number from 0 on")
        self._preprocess, self._tokenize = preprocess, tokenize
        self._seed, self._rank, self._world = seed, rank, world
        self._two_views, self._workers = two_views, workers
        self._augmentation, self._view_augmentation = augmentation, view_augmentation
        self._small = SmallPhotos(photos, preprocess, decode, keep_bytes)
        label_texts = {label: tuple(prompts(label)) for label in {p.label for p in photos} if label}
        self._texts = [_texts_of(photo, label_texts) for photo in photos]
        self._labels = [None if photo.captions else photo.label for photo in photos]
        self._rows = len(photos) // world  # of each rank, in an epoch
        most = max(1, batch_size // world)
        self.steps_per_epoch = -(-self._rows // most)
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, dtype=np.int64))

    def make(self, step: int) -> PairBatch:
        """The batch of step `step`, counted from 0 over all epochs.

        Raises ClipsearchError naming a photo that cannot be read any more.
        """
        return self._make(step, _one_by_one)

    def make_words(self, step: int) -> WordsBatch:
        """The batch of step `step` without reading a photo: its numbers, captions and ids."""
        epoch, indices = self._indices(step)
        return self._words(indices, [self._text(int(i), epoch) for i in indices])

    def iterate(self, first_step: int) -> Generator[PairBatch]:
        """`make(first_step)`, `make(first_step + 1)`, ... without end, prepared ahead in threads.

        Closing the iterator stops the threads after the photos they have in hand.
        """
        if self._workers == 0:
            step = first_step
            while True:
                yield self.make(step)
                step += 1
        stopped = threading.Event()
        with (
            ThreadPoolExecutor(self._workers, "clipsearch-views") as photo_threads,
            ThreadPoolExecutor(1, "clipsearch-batches") as batch_thread,
        ):

            def over_photos(job: Callable[[int], None], count: int) -> None:
                def unless_stopped(i: int) -> None:
                    if stopped.is_set():
                        raise CancelledError
                    job(i)

                for _ in photo_threads.map(unless_stopped, range(count)):
                    pass  # the results are asked for, so that what went wrong is raised

            step = first_step
            upcoming: deque[Future[PairBatch]] = deque()
            try:
                while True:
                    while len(upcoming) <= _AHEAD:
                        upcoming.append(batch_thread.submit(self._make, step, over_photos))
                        step += 1
                    yield upcoming.popleft().result()
            finally:
                stopped.set()

    def _make(
        self, step: int, over_photos: Callable[[Callable[[int], None], int], None]
    ) -> PairBatch:
        """The batch; `over_photos(job, n)` calls job(0) ... job(n - 1) in any order."""
        epoch, indices = self._indices(step)
        texts = [self._text(int(i), epoch) for i in indices]
        draws = uniforms(self._seed, epoch, indices, 2 * DRAWS)  # [n, 2 * DRAWS]
        shape = (len(indices), *self._preprocess.size, 3)
        images = np.empty(shape, dtype=np.float32)
        views = np.empty(shape, dtype=np.float32) if self._two_views else None

        def draw(i: int) -> None:
            small = self._small.photo(int(indices[i]))
            may_flip = _SIDES.search(texts[i]) is None
            images[i] = self._view(small, self._augmentation, draws[i, :DRAWS], may_flip)
            if views is not None:
                # Nothing is said of the second view, so that it may always be mirrored.
                views[i] = self._view(small, self._view_augmentation, draws[i, DRAWS:], True)

        over_photos(draw, len(indices))
        words = self._words(indices, texts)
        return PairBatch(
            indices=words.indices,
            images=_channels_last(images),
            tokens=words.tokens,
            ids=words.ids,
            views=None if views is None else _channels_last(views),
        )

    def _words(self, indices: NDArray[np.int64], texts: Sequence[str]) -> WordsBatch:
        ids = [
            meaning_id(self._labels[int(i)] or text) for i, text in zip(indices, texts, strict=True)
        ]
        return WordsBatch(
            torch.from_numpy(indices), self._tokenize(texts), torch.tensor(ids, dtype=torch.int64)
        )

    def _view(
        self,
        small: Pixels,
        augmentation: Augmentation,
        draws: NDArray[np.float64],
        may_flip: bool,
    ) -> Floats:
        view = draw_view(small, self._preprocess, augmentation, draws, may_flip)
        return finish(view, self._preprocess, augmentation, draws)

    def _indices(self, step: int) -> tuple[int, NDArray[np.int64]]:
        """(epoch, this rank's photo numbers [n]) of a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        first = position * self._rows // self.steps_per_epoch
        end = (position + 1) * self._rows // self.steps_per_epoch
        start = first * self._world + (end - first) * self._rank
        return epoch, self._epoch_order(epoch)[start : start + end - first].copy()

    def _epoch_order(self, epoch: int) -> NDArray[np.int64]:
        known, order = self._order
        if known != epoch:
            rng = np.random.default_rng([self._seed, epoch])
            order = rng.permutation(len(self._texts)).astype(np.int64)
            self._order = (epoch, order)
        return order

    def _text(self, index: int, epoch: int) -> str:
        """The caption of a photo in an epoch: all of them in turn, in an order drawn anew."""
        texts = self._texts[index]
        turn, place = divmod(epoch, len(texts))
        draws = uniforms(self._seed ^ _CAPTION_STREAM, turn, np.array([index]), len(texts))
        return texts[int(np.argsort(draws[0], kind="stable")[place])]


def _texts_of(photo: CaptionedPhoto, label_texts: dict[str, tuple[str, ...]]) -> Sequence[str]:
    texts = photo.captions or label_texts.get(photo.label or "", ())
    if not texts:
        raise UsageError(
            f"the photo {photo.source.name} has neither a caption nor a label",
            "Leave it out, or write a caption for it",
        )
    return texts


def _one_by_one(job: Callable[[int], None], count: int) -> None:
    for i in range(count):
        job(i)


def _channels_last(images: Floats) -> Tensor:
    """[n, h, w, 3] -> [n, 3, h, w] over the same memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)
