"""The file of a snapshot: what lies where, and how each byte of it is checked.

    FAISS index | table | header (JSON) | SHA-256 of the header | its length (4) | magic (8)

    FAISS index:  head | list 0: rows, positions | list 1: rows, positions | ...
    table:        rows of each list (int64) | content ids (int64) | row checks (uint64)

The index is an `IndexIVFScalarQuantizer` as FAISS writes it, and comes first, so that FAISS can map
it where it lies. Rows are the float16 values of the catalogue, unchanged; FAISS knows each by its
position, counted through all lists, and the table says which content lies there.

A file of a gigabyte cannot be hashed for every search. So each part is checked before it is used:
header, head and table by SHA-256 when the file is opened; rows when their list is searched for the
first time, each with its content id against the row's own 64-bit check. `verify` checks them all.
"""

import hashlib
import json
import mmap
import os
import re
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from clipsearch.storage.half_floats import Halves
from clipsearch.types import Ids

FORMAT = 2
IndexKind = Literal["exact", "ivf"]
Checks = NDArray[np.uint64]
Bytes = NDArray[np.uint8]

_MAGIC = b"CLIPFAIS"
_TAIL_SIZE = 32 + 4 + len(_MAGIC)
_MOST_HEADER = 65536
# Ids are counted from 1 on; searching keeps four bytes for each up to the highest.
_MOST_CONTENTS = 1 << 31
# Rows copied at once to be checked: 4 MB of a usual model's.
_CHECKED_ROWS = 4096


class UnusableSnapshot(Exception):  # noqa: N818  # never reaches a person: search goes on without
    """Why a snapshot cannot be used. The catalogue answers instead."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How well and how fast an index answered when `probes` of its lists were searched.

    `recall` (0..1) is recall@10: the share of the 10 nearest rows, by exact search, that were
    found. `query_ms` is the median of single queries, wall-clock.
    """

    kind: IndexKind
    probes: int
    recall: float
    query_ms: float


@dataclass(frozen=True, slots=True)
class IndexChoice:
    """Which index was chosen, and what was measured for it on these very rows.

    An "exact" index compares every row. An "ivf" one compares those of the `probes` lists, out of
    `lists`, that are nearest to the query; they were learned when there were `trained_rows` rows.
    `queries` are what was measured with: "text", "photos", or "" when nothing had to be. `reason`
    is for people.
    """

    kind: IndexKind = "exact"
    lists: int = 1
    probes: int = 1
    trained_rows: int = 0
    queries: str = ""
    reason: str = ""
    trials: tuple[Trial, ...] = ()


@dataclass(frozen=True, slots=True)
class SnapshotHeader:
    """What a snapshot says of itself.

    `generation` and `stamp` (hex) name the state of the catalogue it was made from; it holds every
    embedding of the model up to row `last_embedding_id`. `norm_error` is how far the length of a
    stored row is from 1 at most. The two SHA-256 are those of the first `head_size` bytes and of
    the table.
    """

    library_id: str
    fingerprint: str
    generation: int
    stamp: str
    rows: int
    dim: int
    last_embedding_id: int
    norm_error: float
    index: IndexChoice = field(default_factory=IndexChoice)
    head_size: int = 0
    head_sha256: str = ""
    table_sha256: str = ""
    format: int = FORMAT


@dataclass(frozen=True, slots=True, eq=False)
class SnapshotFile:
    """A snapshot whose header, head and table fit their SHA-256. `everything` is the whole file.

    `identity` tells it from a file that took its place (see `identity_of`). `starts` (lists + 1,)
    are the positions at which the lists begin.
    """

    path: Path
    identity: tuple[int, ...]
    header: SnapshotHeader
    everything: Bytes
    starts: Ids
    content_ids: Ids
    checks: Checks

    def rows_at(self, positions: Ids) -> Halves:
        """The rows (n, dim) at some positions. Raises UnusableSnapshot when one is damaged."""
        size = 2 * self.header.dim
        lists = np.searchsorted(self.starts, positions, side="right") - 1
        offsets = self.header.head_size + positions * size + 8 * self.starts[lists]
        # Every run of a row's length in the file, of which those that begin at the offsets are
        # copied.
        runs = np.lib.stride_tricks.sliding_window_view(self.everything, size)
        rows = np.asarray(runs[offsets])  # (n, size)
        self._compare(rows, positions)
        return rows.view("<f2")

    def check_list(self, number: int) -> None:
        """Raises UnusableSnapshot when rows or positions of a list are damaged."""
        start, end = int(self.starts[number]), int(self.starts[number + 1])
        size, count = 2 * self.header.dim, end - start
        offset = self.header.head_size + start * (size + 8)
        rows = self.everything[offset : offset + count * size].reshape(count, size)
        for first in range(0, count, _CHECKED_ROWS):
            some = rows[first : first + _CHECKED_ROWS]
            self._compare(some, np.arange(start + first, start + first + len(some)))
        stored = self.everything[offset + count * size : offset + count * (size + 8)]
        if not np.array_equal(stored.view("<i8"), np.arange(start, end)):
            raise UnusableSnapshot("it is damaged")

    def _compare(self, rows: Bytes, positions: Ids) -> None:
        if not np.array_equal(
            row_checks(rows, self.content_ids[positions]), self.checks[positions]
        ):
            raise UnusableSnapshot("it is damaged")


def row_checks(rows: Bytes, content_ids: Ids) -> Checks:
    """The check of each row (n, bytes) with its content id: sum_j w_j x_j mod 2^64.

    x are the row's bytes as 64-bit words and then the id, w random odd numbers (multilinear
    hashing, Carter and Wegman 1979): damage within one word is always noticed, any other but once
    in about 2^64 times. It guards against accidents: whatever is in a row, computing with it
    does no harm.
    """
    if rows.shape[1] % 8:
        rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 8)))
    words = rows.view("<u8")  # (n, words)
    weights = _weights(words.shape[1] + 1)
    checks: Checks = np.einsum("ij,j->i", words, weights[:-1])
    checks += content_ids.astype(np.uint64) * weights[-1]
    return checks


@cache
def _weights(number: int) -> Checks:
    drawn = hashlib.shake_256(b"clipsearch row check").digest(8 * number)
    return np.frombuffer(drawn, "<u8") | np.uint64(1)


def read_snapshot_file(path: Path, library_id: str, fingerprint: str, dim: int) -> SnapshotFile:
    """Map a snapshot and check all of it but the rows, without FAISS.

    Raises UnusableSnapshot when it is absent, damaged, or another library's or model's.
    """
    mapped, identity = _map(path)
    header, end = _read_header(mapped)
    if header.library_id != library_id:
        raise UnusableSnapshot("it belongs to another library")
    if header.fingerprint != fingerprint or header.dim != dim:
        raise UnusableSnapshot("it belongs to another model")
    everything = np.frombuffer(mapped, np.uint8)
    lists, rows = header.index.lists, header.rows
    table_start = header.head_size + rows * (2 * dim + 8)
    if end - table_start != 8 * lists + 16 * rows:
        raise UnusableSnapshot("its size does not fit its rows")
    table = everything[table_start:end]
    if (
        hashlib.sha256(everything[: header.head_size].data).hexdigest() != header.head_sha256
        or hashlib.sha256(table.data).hexdigest() != header.table_sha256
    ):
        raise UnusableSnapshot("it is damaged")
    # A copy is aligned, wherever the table begins.
    numbers = np.frombuffer(table.tobytes(), "<i8")
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(numbers[:lists])])
    if (numbers[:lists] < 0).any() or starts[-1] != rows:
        raise UnusableSnapshot("its lists do not fit its rows")
    ids, checks = numbers[lists : lists + rows], numbers[lists + rows :].view("<u8")
    if rows and not 0 < ids.min() <= ids.max() < _MOST_CONTENTS:
        raise UnusableSnapshot("its contents cannot be right")
    return SnapshotFile(path, identity, header, everything, starts, ids, checks)


def write_tail(file: BinaryIO, header: SnapshotHeader) -> None:
    """The header and what follows it, at the file's place; it becomes the file's end."""
    text = json.dumps(asdict(header)).encode()
    file.write(text)
    file.write(hashlib.sha256(text).digest())
    file.write(len(text).to_bytes(4, "little"))
    file.write(_MAGIC)
    file.truncate()


def identity_of(path: Path) -> tuple[int, ...]:
    """What tells the file at a path from every other; empty when there is none."""
    try:
        return _identity(os.stat(path))
    except OSError:
        return ()


def _identity(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _map(path: Path) -> tuple[mmap.mmap, tuple[int, ...]]:
    try:
        with path.open("rb") as file:
            stat = os.fstat(file.fileno())
            if stat.st_size < _TAIL_SIZE:
                raise UnusableSnapshot("it is cut short")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), _identity(stat)
    except FileNotFoundError as error:
        raise UnusableSnapshot("there is none") from error
    except (OSError, ValueError) as error:
        raise UnusableSnapshot(f"it cannot be read: {error}") from error


def _read_header(mapped: mmap.mmap) -> tuple[SnapshotHeader, int]:
    """The header and the number of bytes before it."""
    tail = mapped[-_TAIL_SIZE:]
    digest, length, magic = tail[:32], int.from_bytes(tail[32:36], "little"), tail[36:]
    start = len(mapped) - _TAIL_SIZE - length
    if magic != _MAGIC or start < 0 or length > _MOST_HEADER:
        raise UnusableSnapshot("it is damaged or no snapshot")
    text = mapped[start : start + length]
    if hashlib.sha256(text).digest() != digest:
        raise UnusableSnapshot("its header is damaged")
    try:
        header = _header_from(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnusableSnapshot("its header is of another version") from error
    if header.format != FORMAT or not _is_sane(header):
        raise UnusableSnapshot("its header is of another version")
    return header, start


def _header_from(fields: dict[str, Any]) -> SnapshotHeader:
    index = fields.pop("index")
    trials = tuple(Trial(**trial) for trial in index.pop("trials"))
    return SnapshotHeader(index=IndexChoice(trials=trials, **index), **fields)


def _is_sane(header: SnapshotHeader) -> bool:
    """Whether the fields that are computed with have the types and ranges that we write."""
    index = header.index
    counts = (
        header.generation,
        header.rows,
        header.dim,
        header.last_embedding_id,
        header.head_size,
        index.lists,
        index.probes,
        index.trained_rows,
    )
    return (
        all(type(count) is int and 0 <= count < 1 << 48 for count in counts)
        and index.kind in ("exact", "ivf")
        and 1 <= index.probes <= index.lists
        and type(header.norm_error) is float
        and 0.0 <= header.norm_error < 0.1
        and type(header.stamp) is str
        and re.fullmatch("([0-9a-f]{2})*", header.stamp) is not None
    )
