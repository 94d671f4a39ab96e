"""Held-out photos and captions through a model as it is right now.

Photos are decoded exactly as the finished program decodes them, not as training does: what is
measured here is what a person gets.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from clipsearch.errors import ClipsearchError, PhotoError
from clipsearch.types import CaptionedPhoto, Floats, Ids, Pixels, Preprocess

Tokenize = Callable[[Sequence[str]], Tensor]

# Photos being decoded while the model works on those before them.
_AHEAD = 64


@dataclass(frozen=True, slots=True)
class UnreadablePhoto:
    """Number `number` of the list cannot be used; `name` and `reason` are for people."""

    number: int
    name: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class PairEmbeddings:
    """Photos and their captions as vectors of one model.

    `image` (n, dim) and `text` (m, dim) have unit rows; caption j belongs to row `owner[j]` of
    `image`. Row i is photo number `photos[i]` of the list: those that cannot be read are left out.
    """

    image: Floats
    text: Floats
    owner: Ids
    photos: Ids


class HeldOut:
    """Photos to measure on, each decoded once as long as all fit into `keep_bytes`.

    What cannot be read when it is first asked for is left out, always: two models are compared on
    the same photos or not at all.
    """

    def __init__(
        self,
        photos: Sequence[CaptionedPhoto],
        pixels_of: Callable[[bytes], Pixels],
        *,
        workers: int = 2,
        keep_bytes: int = 1_000_000_000,
    ) -> None:
        """`pixels_of`: a file's bytes to (height, width, 3) uint8 for the tower, or PhotoError."""
        self.photos = photos
        self._pixels_of, self._workers = pixels_of, workers
        self._room = keep_bytes
        self._kept: dict[int, Pixels] = {}
        self._unreadable: dict[int, UnreadablePhoto] = {}
        self._seen = 0  # photos before this number have been tried

    @property
    def unreadable(self) -> list[UnreadablePhoto]:
        """What was left out so far; all of it once `batches` has been read to its end."""
        return [self._unreadable[number] for number in sorted(self._unreadable)]

    def batches(self, size: int) -> Iterator[tuple[list[int], Pixels]]:
        """Numbers and pixels (at most `size`, height, width, 3) of all readable photos, in order.

        Raises ClipsearchError for a photo that could be read before and now cannot.
        """
        with closing(self._usable()) as usable:
            while some := list(islice(usable, size)):
                yield [number for number, _ in some], np.stack([pixels for _, pixels in some])

    def _usable(self) -> Generator[tuple[int, Pixels], None, None]:
        numbers = (n for n in range(len(self.photos)) if n not in self._unreadable)
        with ThreadPoolExecutor(max(1, self._workers), "clipsearch-held-out") as threads:
            waiting: deque[tuple[int, Future[Pixels | str]]] = deque()
            try:
                while True:
                    for number in islice(numbers, _AHEAD - len(waiting)):
                        waiting.append((number, threads.submit(self._pixels, number)))
                    if not waiting:
                        return
                    number, future = waiting.popleft()
                    pixels = future.result()
                    if isinstance(pixels, str):
                        self._leave_out(number, pixels)
                    else:
                        self._keep(number, pixels)
                        yield number, pixels
                    self._seen = max(self._seen, number + 1)
            finally:
                threads.shutdown(wait=False, cancel_futures=True)

    def _pixels(self, number: int) -> Pixels | str:
        """The pixels of a photo, or why there are none."""
        kept = self._kept.get(number)
        if kept is not None:
            return kept
        try:
            return self._pixels_of(self.photos[number].source.read())
        except (OSError, PhotoError) as error:
            return getattr(error, "strerror", None) or str(error)

    def _keep(self, number: int, pixels: Pixels) -> None:
        if number not in self._kept and pixels.nbytes <= self._room:
            self._kept[number] = pixels
            self._room -= pixels.nbytes

    def _leave_out(self, number: int, reason: str) -> None:
        name = self.photos[number].source.name
        if number < self._seen:
            raise ClipsearchError(
                f"the photo {name} cannot be read any more: {reason}",
                "Make it readable again: models are compared on the same photos",
            )
        self._unreadable[number] = UnreadablePhoto(number, name, reason)


def encode_pairs(
    model: nn.Module,
    tokenize: Tokenize,
    preprocess: Preprocess,
    held_out: HeldOut,
    *,
    batch_size: int = 64,
) -> PairEmbeddings:
    """All readable photos of `held_out`, and all of their captions."""
    image, photos = encode_photos(model, preprocess, held_out, batch_size=batch_size)
    captions = [held_out.photos[number].captions for number in photos.tolist()]
    owner = np.repeat(np.arange(len(captions)), [len(each) for each in captions])
    texts = [caption for each in captions for caption in each]
    return PairEmbeddings(
        image, encode_texts(model, tokenize, texts, batch_size=batch_size), owner, photos
    )


def encode_photos(
    model: nn.Module, preprocess: Preprocess, held_out: HeldOut, *, batch_size: int = 64
) -> tuple[Floats, Ids]:
    """Unit rows (n, dim) of the readable photos, and their numbers (n,), ascending."""
    rows, numbers = [np.empty((0, 0), np.float32)], []
    with measuring(model) as (device, dtype):
        for some, pixels in held_out.batches(batch_size):
            batch = normalised(torch.from_numpy(pixels), preprocess).to(device, dtype)
            rows.append(_rows(model.encode_image(batch, normalize=True)))  # type: ignore[operator]
            numbers += some
    return _joined(rows), np.array(numbers, np.int64)


def encode_texts(
    model: nn.Module, tokenize: Tokenize, texts: Sequence[str], *, batch_size: int = 64
) -> Floats:
    """Unit rows (m, dim) of texts, as they are: templates are the caller's.

    Equal texts get the very same row, so that a tie between them is a tie: encoded beside other
    texts a row may differ in the last bit.
    """
    place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    different, rows = list(place), [np.empty((0, 0), np.float32)]
    with measuring(model) as (device, _):
        for start in range(0, len(different), batch_size):
            tokens = tokenize(different[start : start + batch_size]).to(device)  # [n, length]
            rows.append(_rows(model.encode_text(tokens, normalize=True)))  # type: ignore[operator]
    return _joined(rows)[[place[text] for text in texts]]


def normalised(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """uint8 [n, height, width, 3] -> float32 [n, 3, height, width], stored channels last."""
    mean, std = torch.tensor(preprocess.mean), torch.tensor(preprocess.std)
    scaled = (pixels.float() / 255 - mean) / std  # [n, height, width, 3]
    return scaled.permute(0, 3, 1, 2)  # [n, 3, height, width]; its memory is n h w 3


@contextmanager
def measuring(model: nn.Module) -> Iterator[tuple[torch.device, torch.dtype]]:
    """The model without dropout and gradients, each part as it was afterwards; where it is."""
    training = [part for part in model.modules() if part.training]
    parameter = next(model.parameters())
    model.eval()
    try:
        with torch.no_grad():
            yield parameter.device, parameter.dtype
    finally:
        # Not `model.train()`: a locked tower may have stayed in evaluation mode.
        for part in training:
            part.training = True


def _rows(embeddings: Tensor) -> Floats:
    rows: Floats = embeddings.float().cpu().numpy()
    return rows


def _joined(rows: list[Floats]) -> Floats:
    """Blocks of rows, the first of which is only there for when there are no others."""
    return np.concatenate(rows[1:]) if len(rows) > 1 else rows[0]
