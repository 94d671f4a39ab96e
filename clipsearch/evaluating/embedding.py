"""Photos, captions and labels as vectors of an installed model: what is measured is what is used.

Photos are read where they can do no harm, in the worker processes that indexing reads them in.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress, islice
from pathlib import Path

import numpy as np

from clipsearch.encoders import Towers
from clipsearch.errors import PhotoError, PhotoGone, UsageError
from clipsearch.evaluating.data import EvaluationData
from clipsearch.pairs.learned import contents_with_a_say
from clipsearch.pairs.sources import FileSource
from clipsearch.photos.reading import PhotoReader, nothing_known
from clipsearch.prompts import TemplateSet, class_embeddings
from clipsearch.storage.half_floats import vector_fault
from clipsearch.types import (
    CaptionedPhoto,
    Floats,
    Ids,
    ImageEncoder,
    ModelInfo,
    PhotoProblem,
    PhotoRead,
    Pixels,
    Progress,
    TextEncoder,
    no_progress,
)

READERS = 2
_PHOTOS_AT_ONCE = 32
_TEXTS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A photo that could not be used, by its name for people, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Data as vectors of one model; all have unit rows.

    `photos` (n, dim): row i is photo number `numbers[i]` of the data, ascending, whose content has
    the SHA-256 `contents[i]`. `captions`
    (m, dim): all captions of the data, also of photos that were left out. `classes` (labels, dim).
    `measured_captions` belong to photos that were not left out: `cut_captions` of those are longer
    than the model reads, `unknown_captions` hold words that its training never contained.
    """

    model: ModelInfo
    numbers: Ids
    contents: tuple[bytes, ...]
    photos: Floats
    captions: Floats
    classes: Floats
    left_out: tuple[LeftOut, ...]
    measured_captions: int
    cut_captions: int
    unknown_captions: int

    @property
    def copies(self) -> int:
        """How many photos have the content of one before them."""
        return len(self.contents) - len(set(self.contents))

    def only(self, numbers: Ids) -> "Embedded":
        """The same with these photos alone."""
        chosen = np.isin(self.numbers, numbers)
        contents = tuple(compress(self.contents, chosen))
        return replace(
            self, numbers=self.numbers[chosen], contents=contents, photos=self.photos[chosen]
        )


def embed(
    data: EvaluationData,
    towers: Towers,
    load_encoder: Callable[[int], ImageEncoder],
    templates: TemplateSet,
    progress: Progress = no_progress,
    *,
    readers: int = READERS,
) -> Embedded:
    """Read and encode everything. `load_encoder(n)` gives the image tower for n photos.

    `progress` gets the stages "captions", "labels" and "photos". Raises UsageError when not one
    photo can be used.
    """
    texts = data.captions
    captions = _embed_texts(towers.text, texts, lambda n: progress("captions", n, len(texts)))
    classes = np.empty((0, towers.info.embed_dim), np.float32)
    if data.labels:
        prompts = [templates.prompts(label.words) for label in data.labels]
        classes = class_embeddings(
            towers.text.encode_text, prompts, lambda n: progress("labels", n, len(prompts))
        )
    encoder = load_encoder(len(data.photos))
    numbers, contents, photos, left_out = _embed_photos(data.photos, encoder, progress, readers)
    if not len(numbers):
        first = f"{left_out[0].name}: {left_out[0].reason}" if left_out else "there are none"
        raise UsageError("not one photo can be used", f"The first: {first}")
    measured = [caption for n in numbers.tolist() for caption in data.photos[n].captions]
    return Embedded(
        model=towers.info,
        numbers=numbers,
        contents=contents,
        photos=photos,
        captions=captions,
        classes=classes,
        left_out=tuple(left_out),
        measured_captions=len(measured),
        cut_captions=sum(towers.text.truncated(measured)) if measured else 0,
        unknown_captions=sum(bool(towers.text.unknown_words(text)) for text in measured),
    )


def _embed_texts(tower: TextEncoder, texts: Sequence[str], told: Callable[[int], None]) -> Floats:
    """(len(texts), dim); equal texts get the very same row, so that a tie between them is one."""
    place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    different = list(place)
    rows = [np.empty((0, tower.info.embed_dim), np.float32)]
    for start in range(0, len(different), _TEXTS_AT_ONCE):
        rows.append(tower.encode_text(different[start : start + _TEXTS_AT_ONCE]))
        told(min(start + _TEXTS_AT_ONCE, len(different)))
    return np.concatenate(rows)[[place[text] for text in texts]]


def _embed_photos(
    photos: Sequence[CaptionedPhoto], encoder: ImageEncoder, progress: Progress, readers: int
) -> tuple[Ids, tuple[bytes, ...], Floats, list[LeftOut]]:
    """(numbers, content hashes, vectors (n, dim), what was left out), in order of the numbers."""
    numbers: list[int] = []
    contents: list[bytes] = []
    rows = [np.empty((0, encoder.info.embed_dim), np.float32)]
    left_out: list[LeftOut] = []

    def readable() -> Iterator[tuple[int, bytes, Pixels]]:
        for number, outcome in enumerate(_in_order(photos, encoder.info, readers)):
            progress("photos", number + 1, len(photos))
            if isinstance(outcome, str):
                left_out.append(LeftOut(photos[number].source.name, outcome))
            else:
                yield number, *outcome

    waiting = readable()
    while some := list(islice(waiting, _PHOTOS_AT_ONCE)):
        vectors = encoder.encode_image(np.stack([pixels for *_, pixels in some]))
        faults = [vector_fault(vector, encoder.info.embed_dim) for vector in vectors]
        rows.append(vectors[[fault is None for fault in faults]])
        for (number, content_hash, _), fault in zip(some, faults, strict=True):
            if fault is None:
                numbers.append(number)
                contents.append(content_hash)
            else:
                reason = f"the model gave no usable embedding for it: {fault}"
                left_out.append(LeftOut(photos[number].source.name, reason))
    return np.array(numbers, np.int64), tuple(contents), np.concatenate(rows), left_out


def _in_order(
    photos: Sequence[CaptionedPhoto], model: ModelInfo, readers: int
) -> Iterator[tuple[bytes, Pixels] | str]:
    """The content hash and pixels of each photo, or why there are none, in the photos' order.

    In order, so that batches are the same on every run: beside other photos a vector may differ in
    its last bit, and a rank with it.
    """
    done: dict[int, tuple[bytes, Pixels] | str] = {}
    numbers_of: dict[bytes, list[int]] = {}  # of what is being read: a file may be there twice
    told = 0
    with (
        tempfile.TemporaryDirectory(prefix="clipsearch-") as folder,
        PhotoReader(model.preprocess, min(readers, len(photos))) as reader,
    ):

        def paths() -> Iterator[bytes]:
            for number, photo in enumerate(photos):
                try:
                    path = _file_of(photo, number, folder)
                except (OSError, PhotoError, ValueError) as error:
                    done[number] = getattr(error, "strerror", None) or str(error)
                    continue
                numbers_of.setdefault(path, []).append(number)
                if len(numbers_of[path]) == 1:
                    yield path

        for outcome in reader.read(paths(), nothing_known):
            if outcome.path.startswith(os.fsencode(folder)):
                os.unlink(outcome.path)
            for number in numbers_of.pop(outcome.path):
                done[number] = _content_or_reason(outcome)
            while told in done:
                yield done.pop(told)
                told += 1
    while told in done:
        yield done.pop(told)
        told += 1


def _content_or_reason(outcome: PhotoRead | PhotoProblem) -> tuple[bytes, Pixels] | str:
    if isinstance(outcome, PhotoProblem):
        # A table's photos were named and never listed, so they cannot be gone "since".
        gone = outcome.kind == PhotoGone.kind
        return "there is no such file" if gone else outcome.reason
    assert outcome.pixels is not None  # the reader was told that nothing is known
    return outcome.content_hash, outcome.pixels


def _file_of(photo: CaptionedPhoto, number: int, folder: str) -> bytes:
    """A path that the reader can read.

    A photo inside an archive is put into `folder` for as long as it takes to read it. Links are
    followed here: the reader follows none. Raises OSError, and PhotoError or ValueError for what is
    no file at all.
    """
    if isinstance(photo.source, FileSource):
        return os.path.realpath(photo.source.path)
    ending = os.path.splitext(photo.source.name)[1][:16]
    path = os.path.join(folder, f"{number}{ending}")
    data = photo.source.read()
    with open(path, "xb") as file:
        file.write(data)
    return os.fsencode(path)


def photos_with_a_say(found: Embedded) -> int:
    """How many of the photos the model was trained on, or chosen by, as far as its run says.

    0 for a model that is no run of `finetune` or `train`, and for a run that kept the original.
    Raises DamageError when the run's list of photos cannot be read.
    """
    known = contents_with_a_say(Path(found.model.name))
    return sum(content_hash in known for content_hash in found.contents)
