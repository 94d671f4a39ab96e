"""Records and protocols that every layer may use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How a photo becomes the input of an image tower: open_clip's `preprocess_cfg`.

    `size` is (height, width) in pixels; `mean` and `std` apply to RGB scaled to [0, 1].
    """

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    resize_mode: Literal["shortest", "longest", "squash"] = "shortest"
    fill_color: int = 0


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What has to be known of a model without loading it.

    `name` is what a person types to get it again; `fingerprint` is a SHA-256 (hex) over weights,
    architecture, preprocessing and tokenizer, and binds a library, an export and a checkpoint.
    `logit_scale` is the factor itself (exp applied), `logit_bias` is 0 for softmax-trained models.
    """

    name: str
    fingerprint: str
    embed_dim: int
    preprocess: Preprocess
    context_length: int
    logit_scale: float
    logit_bias: float = 0.0


def model_info_from(fields: Mapping[str, Any]) -> ModelInfo:
    """The inverse of `dataclasses.asdict`, also after JSON, which turns tuples into lists.

    Raises ValueError, TypeError or KeyError for anything else.
    """
    rest = dict(fields)
    preprocess = dict(rest.pop("preprocess"))
    for name in ("size", "mean", "std"):
        preprocess[name] = tuple(preprocess[name])
    return ModelInfo(preprocess=Preprocess(**preprocess), **rest)


class ImageEncoder(Protocol):
    """The image tower."""

    @property
    def info(self) -> ModelInfo:
        """The model this tower belongs to."""

    def encode_image(self, pixels: Pixels) -> Floats:
        """(batch, height, width, 3) uint8 RGB at `info.preprocess.size` -> (batch, dim) unit rows.

        Scaling to [0, 1] and normalising by mean and std happen inside.
        """


class TextEncoder(Protocol):
    """The text tower."""

    @property
    def info(self) -> ModelInfo:
        """The model this tower belongs to."""

    def encode_text(self, texts: Sequence[str]) -> Floats:
        """Texts -> (len(texts), dim) unit rows."""

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        """For each text, whether it is longer than the context and was cut."""

    def unknown_words(self, text: str) -> list[str]:
        """Words of `text` that the model's training never contained; [] when that is not known."""


@dataclass(frozen=True, slots=True)
class FileStat:
    """The facts of a file by which an unchanged one is recognised without reading it."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int


def same_file(a: FileStat, b: FileStat) -> bool:
    """Whether two stats are of one file that did not change in between.

    The device number is left out: it changes when a disk is plugged in again. Times count in 64
    bits, which is what the catalogue keeps of them: a disk in memory knows the year 10000.
    """
    times = (a.mtime_ns - b.mtime_ns, a.ctime_ns - b.ctime_ns)
    return (a.size, a.inode) == (b.size, b.inode) and not any(time % (1 << 64) for time in times)


@dataclass(frozen=True, slots=True)
class PhotoFacts:
    """What the bytes of a photo say about it. `width` and `height` are after orientation."""

    format: str
    width: int
    height: int
    taken_at: datetime | None = None
    camera: str | None = None
    latitude: float | None = None
    longitude: float | None = None


@dataclass(frozen=True, slots=True)
class PhotoRead:
    """One photo read once: the hash, the facts and the pixels all come from the same bytes.

    `pixels` is (height, width, 3) uint8 for the model's input, or None when the reader was told
    that this content is already known. Everything travels in one object so that no photo can end
    up with another's vector.
    """

    path: bytes
    stat: FileStat
    content_hash: bytes
    facts: PhotoFacts | None
    pixels: Pixels | None


@dataclass(frozen=True, slots=True)
class PhotoProblem:
    """Why one file could not be used. `kind` is the stable word of the error class."""

    path: bytes
    stat: FileStat | None
    kind: str
    reason: str


class PhotoSource(Protocol):
    """Where the bytes of one photo are: a file of its own, or a part of an archive."""

    @property
    def name(self) -> str:
        """For people: a path, or `archive.tar!member`; another one for every photo."""

    def read(self) -> bytes:
        """The whole photo as stored. Raises OSError, and PhotoError for what is no such file."""


@dataclass(frozen=True, slots=True)
class CaptionedPhoto:
    """A photo and what is said of it: captions in plain words, the name of a class, or neither."""

    source: PhotoSource
    captions: tuple[str, ...] = ()
    label: str | None = None


@dataclass(frozen=True, slots=True)
class PhotoFilter:
    """Which photos a query may find, besides what they look like. Everything given must hold.

    `folders` and `not_folders` are folder names (`2023`), runs of them (`2023/summer`) or absolute
    paths; `~` is already expanded. A photo passes when it lies, at any depth, in at least one of
    `folders` (all photos do when it is empty) and in none of `not_folders`. Names are compared
    without regard to case. Bytes that are not UTF-8 appear as Python's surrogate escapes.
    `after` is the first day wanted, `before` the first day no longer wanted; a photo without a date
    passes neither. `camera` is a part of the camera's name, without regard to case.
    """

    folders: tuple[str, ...] = ()
    not_folders: tuple[str, ...] = ()
    after: date | None = None
    before: date | None = None
    camera: str | None = None


class Progress(Protocol):
    """Called by long work; the command line draws it, programs may ignore it."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """`stage` names the work; `total` is None while it is unknown."""


def no_progress(stage: str, done: int, total: int | None) -> None:
    """The Progress that shows nothing."""


class Lap(Protocol):
    """Called at the end of each stage of a search: the time since the last call was its."""

    def __call__(self, stage: str) -> None:
        """`stage` names what was done since."""


def no_lap(stage: str) -> None:
    """The Lap that measures nothing."""
