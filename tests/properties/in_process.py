"""Indexing without worker processes and with two fake models, so that a run takes milliseconds."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from hashlib import sha256
from types import TracebackType
from typing import Self

import numpy as np

from clipsearch.encoders import Towers
from clipsearch.encoders.fake import FAKE, FakeImageEncoder, FakeTextEncoder
from clipsearch.errors import PhotoError
from clipsearch.photos.files import read_file
from clipsearch.photos.limits import ReadLimits
from clipsearch.photos.opening import decode
from clipsearch.photos.reading import Known
from clipsearch.types import Floats, ModelInfo, PhotoProblem, PhotoRead, Pixels, Preprocess

_LIMITS = ReadLimits()


class InProcessReader:
    """What `PhotoReader` answers, from the same functions, without a process around them.

    Files in `unreadable` answer as a disk does that cannot read them.
    """

    unreadable: frozenset[bytes] = frozenset()

    def __init__(self, preprocess: Preprocess, workers: int, **processes: object) -> None:
        """`processes` are settings of the processes, of which there are none."""
        self._preprocess = preprocess

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing was started."""

    def read(self, paths: Iterable[bytes], known: Known) -> Iterator[PhotoRead | PhotoProblem]:
        for path in paths:
            yield self._read(path, known)

    def _read(self, path: bytes, known: Known) -> PhotoRead | PhotoProblem:
        if path in self.unreadable:
            return PhotoProblem(path, None, PhotoError.kind, "input/output error")
        read = read_file(path, _LIMITS)
        if isinstance(read, PhotoProblem):
            return read
        digest = sha256(read.data).digest()
        if known(digest):
            return PhotoRead(path, read.stat, digest, None, None)
        try:
            facts, pixels = decode(read.data, self._preprocess, path=path)
        except PhotoError as error:
            return PhotoProblem(path, read.stat, error.kind, str(error))
        return PhotoRead(path, read.stat, digest, facts, pixels)


class ImageTower:
    """The fake image tower; the second model's vectors are the first one's, one place on."""

    def __init__(self, info: ModelInfo) -> None:
        self.info = info
        self.encoded = 0

    def encode_image(self, pixels: Pixels) -> Floats:
        self.encoded += len(pixels)
        return turned(FakeImageEncoder().encode_image(pixels), self.info)


class TextTower(FakeTextEncoder):
    """The text tower that belongs to it."""

    def __init__(self, info: ModelInfo) -> None:
        self.info = info

    def encode_text(self, texts: list[str]) -> Floats:  # type: ignore[override]
        return turned(super().encode_text(texts), self.info)


MODELS = (FAKE, replace(FAKE, name="turned", fingerprint="7e" * 32))


def turned(rows: Floats, info: ModelInfo) -> Floats:
    """Rows (n, 4) as the model `info` gives them."""
    return np.ascontiguousarray(np.roll(rows, MODELS.index(info), axis=1))


def towers_of(info: ModelInfo) -> Towers:
    return Towers(info, lambda: TextTower(info), lambda: ImageTower(info))
