"""With a locked image tower every photo is encoded a few times, and training reads texts only."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from clipsearch.training.pair_batches import PairBatch, PairBatches
from clipsearch.training.tensor_files import read_tensors, write_tensors
from clipsearch.types import CaptionedPhoto, Floats

_NAME = "views"


class StoredPairs:
    """The batches of `batches` with embeddings in place of pixels.

    Epoch e has view e modulo the number of views. `images` of a batch are unit rows [n, dim].
    """

    def __init__(self, batches: PairBatches, views: Tensor) -> None:
        """`views` [views, photos, dim] float32 unit rows."""
        self._batches, self._views = batches, views
        self.steps_per_epoch = batches.steps_per_epoch

    def mean_rows(self) -> Floats:
        """Where each photo lies by all of its views: unit rows [photos, dim]."""
        rows: Floats = normalize(self._views.mean(dim=0), dim=-1).numpy()
        return rows

    def iterate(self, first_step: int) -> Generator[PairBatch]:
        """The batches from that number on, without end."""
        step = first_step
        while True:
            view = self._views[step // self.steps_per_epoch % len(self._views)]
            batch = self._batches.make_words(step)
            yield PairBatch(
                indices=batch.indices,
                images=view[batch.indices],
                tokens=batch.tokens,
                ids=batch.ids,
                views=None,
            )
            step += 1


def for_all_captions(photos: Sequence[CaptionedPhoto]) -> list[CaptionedPhoto]:
    """Photos whose views must be true of all of their captions: one that names a side forbids
    mirroring, whichever caption a view is used with later."""
    return [
        replace(photo, captions=(" ".join(photo.captions),) if photo.captions else ())
        for photo in photos
    ]


def encode_views(
    batches: PairBatches,
    encode_image: Callable[[Tensor], Tensor],
    photos: int,
    views: int,
    told: Callable[[int, int], None],
) -> Tensor:
    """Every photo as the first `views` epochs show it: unit rows [views, photos, dim].

    `batches` are those of one process, so that each epoch shows every photo once.
    """
    rows: list[Tensor] = []
    numbers: list[Tensor] = []
    steps = batches.steps_per_epoch * views
    with torch.no_grad():
        for step, batch in zip(range(steps), batches.iterate(0), strict=False):
            told(step, steps)
            rows.append(encode_image(batch.images).cpu())
            numbers.append(batch.indices)
    told(steps, steps)
    dim = rows[0].shape[1]
    shown = torch.cat(rows).view(views, photos, dim)
    order = torch.cat(numbers).view(views, photos)
    stored = torch.empty_like(shown)
    for view in range(views):
        stored[view, order[view]] = shown[view]
    return stored


def write_views(path: Path, views: Tensor, run: str) -> None:
    """Keep the views of the run named by its fingerprint."""
    write_tensors(path, {_NAME: views}, {"run": run})


def read_views(path: Path, run: str) -> Tensor | None:
    """The views that were kept; None when there are none, or another run's."""
    if not path.is_file():
        return None
    tensors, note = read_tensors(path)
    return tensors[_NAME] if note.get("run") == run else None
