"""The rows of the catalogue as records, and how their values become columns."""

import json
import os
import re
import zlib
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import NamedTuple

from clipsearch.storage.folder_paths import native
from clipsearch.types import (
    FileStat,
    Floats,
    Ids,
    ModelInfo,
    PhotoFacts,
    PhotoProblem,
    PhotoRead,
    model_info_from,
)

_64_BITS = (1 << 64) - 1
# A time before 1874 is a time after 2262 that did not fit in 63 bits: ext4 goes on until 2446.
_EARLIEST_NS = -3_000_000_000_000_000_000
# An escape in a stored label, and a label's own backslash that would begin one.
_ESCAPED = re.compile(r"\\u(005c|d[89a-f][0-9a-f]{2})")
_LIKE_AN_ESCAPE = re.compile(r"\\(?=u(?:005c|d[89a-f][0-9a-f]{2}))")

NO_STAT = FileStat(size=-1, mtime_ns=0, ctime_ns=0, inode=0, device=0)


@dataclass(frozen=True, slots=True)
class Root:
    """A folder of photos that the user gave. Times are seconds since the epoch."""

    root_id: int
    path: bytes
    device: int
    inode: int
    added_at: float
    scanned_at: float | None


class KnownPhoto(NamedTuple):
    """What the catalogue knows of a file; a tuple, because a scan compares 100,000 of them."""

    photo_id: int
    stat: FileStat
    content_id: int | None
    embedded: bool
    problem_kind: str | None
    missing: bool


@dataclass(frozen=True, slots=True)
class IndexedPhoto:
    """A photo that was read, and where it lies. `folder` is relative to the root, b"" for it."""

    root_id: int
    folder: bytes
    name: bytes
    read: PhotoRead


@dataclass(frozen=True, slots=True)
class FailedPhoto:
    """A file that could not be used, and where it lies."""

    root_id: int
    folder: bytes
    name: bytes
    problem: PhotoProblem


@dataclass(frozen=True, slots=True)
class PhotoRow:
    """A photo with its content. `path` is absolute; `missing` photos are never search results."""

    photo_id: int
    path: bytes
    content_id: int
    content_hash: bytes
    facts: PhotoFacts
    stat: FileStat
    missing: bool


@dataclass(frozen=True, slots=True)
class ProblemRow:
    """A file that could not be used, as recorded when it was last read."""

    photo_id: int
    path: bytes
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class PhotoRecord:
    """All that the catalogue holds about one path. `root` is the folder it belongs to.

    `content_id`, `content_hash` and `facts` are None for a file with a problem, whose `kind` and
    `reason` are set. `missing_since` is in seconds since the epoch, None while it is there.
    """

    photo_id: int
    path: bytes
    root: bytes
    stat: FileStat
    missing_since: float | None
    content_id: int | None
    content_hash: bytes | None
    facts: PhotoFacts | None
    kind: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """What the catalogue says of a photo file that is not missing, for reading it again."""

    photo_id: int
    root_id: int
    path: bytes
    stat: FileStat
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A model with embeddings in this library; `embedded` is how many contents it has encoded."""

    model_id: int
    info: ModelInfo
    embedded: int
    active: bool


@dataclass(frozen=True, slots=True)
class LibraryCounts:
    """How much a library holds. Missing photos are counted in `missing` and nowhere else.

    `photos` are files with a readable content, `contents` their distinct contents, `embedded` those
    of them that the active model has encoded, `problems` files that could not be used, by kind.
    """

    photos: int
    contents: int
    embedded: int
    missing: int
    problems: dict[str, int]


@dataclass(frozen=True, slots=True)
class EmbeddingBlock:
    """Some embeddings: `row_ids` and `content_ids` are (n,), `vectors` is (n, dim) unit rows."""

    row_ids: Ids
    content_ids: Ids
    vectors: Floats


def model_to_json(info: ModelInfo) -> str:
    """A model's facts as the catalogue and the snapshot headers keep them."""
    return json.dumps(asdict(info), sort_keys=True)


def model_from_json(text: str) -> ModelInfo:
    """The inverse of `model_to_json`. Raises ValueError, TypeError or KeyError for other text."""
    return model_info_from(json.loads(text))


def stat_to_columns(stat: FileStat | None) -> tuple[int, int, int, int, int]:
    """Five 64-bit signed integers: SQLite has no unsigned ones, file systems do."""
    stat = stat or NO_STAT
    return (
        stat.size,
        to_signed(stat.mtime_ns),
        to_signed(stat.ctime_ns),
        to_signed(stat.inode),
        to_signed(stat.device),
    )


def stat_from_columns(size: int, mtime: int, ctime: int, inode: int, device: int) -> FileStat:
    """The inverse of `stat_to_columns`, for times from 1874 to 2458."""
    return FileStat(
        size,
        mtime if mtime >= _EARLIEST_NS else mtime + _64_BITS + 1,
        ctime if ctime >= _EARLIEST_NS else ctime + _64_BITS + 1,
        inode & _64_BITS,
        device & _64_BITS,
    )


def facts_from_columns(
    format_name: str,
    width: int,
    height: int,
    taken_at: str | None,
    camera: str | None,
    latitude: float | None,
    longitude: float | None,
) -> PhotoFacts:
    """Raises ValueError for an impossible date or type, which only damage can cause."""
    texts, numbers = (format_name, camera or ""), (latitude or 0.0, longitude or 0.0)
    if not all(isinstance(text, str) for text in texts) or not all(
        isinstance(number, float) for number in numbers
    ):
        raise ValueError("a fact of another type")
    if type(width) is not int or type(height) is not int:
        raise ValueError("a size of another type")
    taken = None if taken_at is None else datetime.fromisoformat(taken_at)
    return PhotoFacts(format_name, width, height, taken, camera, latitude, longitude)


def storable_text(text: str) -> str:
    """Text as SQLite can hold it: parts of file names that are no UTF-8 become escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def storable_label(label: str) -> str:
    """A label, which may be a folder's name, as SQLite can hold it; see `label_of_stored`.

    As `storable_text`, but a backslash that would read as such an escape becomes one itself, so
    that every label comes back as it was.
    """
    return storable_text(_LIKE_AN_ESCAPE.sub(r"\\u005c", label))


def label_of_stored(text: str) -> str:
    """The label that `storable_label` wrote: bytes that are no UTF-8 as os.fsdecode has them."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


def join_path(root: bytes, folder: bytes, name: bytes) -> bytes:
    """The absolute path of a photo."""
    return os.path.join(root, native(folder), name)


def photo_checksum(path: bytes, content_hash: bytes | None, start: int = 0) -> int:
    """CRC-32 that ties a photo's absolute path to its content.

    With the `photo_checksum_start` of its folder, `path` is the name alone.
    """
    return zlib.crc32(content_hash or b"", zlib.crc32(path, start))


def photo_checksum_start(root: bytes, folder: bytes) -> int:
    """Where the checksums of the photos in one folder start."""
    return zlib.crc32(join_path(root, folder, b""))


def embedding_seed(fingerprint: str) -> int:
    """Where the checksums of a model's embeddings start: a vector of another model never fits."""
    return zlib.crc32(fingerprint.encode())


def embedding_checksum(seed: int, content_hash: bytes, vector: bytes) -> int:
    """CRC-32 over model fingerprint, content hash and vector: a swapped row never fits."""
    return zlib.crc32(vector, zlib.crc32(content_hash, seed))


def to_signed(value: int) -> int:
    """A number of up to 64 bits as SQLite can hold it."""
    value &= _64_BITS
    return value - _64_BITS - 1 if value >> 63 else value


def to_unsigned(value: int) -> int:
    """The inverse of `to_signed`, for numbers that are not negative."""
    return value & _64_BITS
