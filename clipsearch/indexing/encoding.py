"""Read the pending files, encode each content once, commit batch by batch."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from clipsearch.indexing.scan import PendingFile
from clipsearch.indexing.summary import GONE, UNREADABLE, Tally
from clipsearch.photos.reading import PhotoReader
from clipsearch.storage.catalogue import Catalogue
from clipsearch.storage.records import FailedPhoto, IndexedPhoto
from clipsearch.types import Floats, ImageEncoder, PhotoProblem, PhotoRead, Pixels, Progress

# One call of the tower should stay under this, so that Ctrl-C is answered and a kill costs little.
SECONDS_PER_BATCH = 0.5
COMMIT_SECONDS = 2.0
COMMIT_PHOTOS = 256
FIRST_BATCH = 8
LARGEST_BATCH = 64


@dataclass(slots=True)
class _Batch:
    """What goes into one transaction: photos, files that failed, and what is to be encoded."""

    photos: list[tuple[PendingFile, PhotoRead]] = field(default_factory=list)
    failed: list[tuple[PendingFile, PhotoProblem]] = field(default_factory=list)
    pixels: dict[bytes, Pixels] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.photos) + len(self.failed)


@dataclass(frozen=True, slots=True)
class _Encoded:
    """Rows of the contents that had pixels, and the seconds they took."""

    rows: Floats  # (contents, dim)
    seconds: float


class Encoding:
    """The second half of an index run: from pending files to rows with embeddings.

    While one batch is encoded the next is collected and the one before is committed: the encoder
    waits for neither.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        model_id: int,
        load_encoder: Callable[[], ImageEncoder],
        tally: Tally,
        progress: Progress,
        already_done: int,
    ) -> None:
        self._catalogue = catalogue
        self._model_id = model_id
        self._load_encoder = load_encoder
        self._tally = tally
        self._progress = progress
        self._done = already_done
        self._total = already_done
        self._batch_size = FIRST_BATCH
        self._batch = _Batch()
        self._running: tuple[_Batch, Future[_Encoded]] | None = None
        # Contents for which the model gave nothing usable.
        self._rejected: set[bytes] = set()
        self._handed_over_at = time.monotonic()
        self.finished = 0

    def run(
        self, reader: PhotoReader, pending: Sequence[PendingFile], roots: dict[int, bytes]
    ) -> None:
        """Read, encode and commit every pending file. `roots` maps root ids to their paths."""
        by_path = {
            os.path.join(roots[file.root_id], file.folder, file.name): file for file in pending
        }
        self._total = self._done + self.finished + len(pending)
        with ThreadPoolExecutor(1, "clipsearch-encoder") as encoder_thread:
            for outcome in reader.read(_keys(by_path), self._is_known):
                file = by_path.pop(outcome.path)
                if isinstance(outcome, PhotoProblem):
                    self._fail(file, outcome)
                else:
                    self._add(file, outcome)
                if self._is_due():
                    self._hand_over(encoder_thread)
                elif self._running is not None and self._running[1].done():
                    self._finish_running()
            self._hand_over(encoder_thread)
            self._finish_running()

    def refuse(self, file: PendingFile, problem: PhotoProblem) -> None:
        """Record a file as failed at once, without reading it."""
        self._fail(file, problem)
        batch, self._batch = self._batch, _Batch()
        self._commit(batch, None)

    @cached_property
    def _encoder(self) -> ImageEncoder:
        # Loaded when the first photos are there: the reader goes on with the next meanwhile.
        return self._load_encoder()

    def _is_known(self, content_hash: bytes) -> bool:
        return self._catalogue.has_embedding(self._model_id, content_hash)

    def _add(self, file: PendingFile, read: PhotoRead) -> None:
        self._batch.photos.append((file, read))
        if read.pixels is not None and not self._is_in_hand(read.content_hash):
            self._batch.pixels[read.content_hash] = read.pixels

    def _is_in_hand(self, content_hash: bytes) -> bool:
        """Whether a copy of a content that is decoded already needs no second encoding."""
        running = self._running is not None and content_hash in self._running[0].pixels
        return running or content_hash in self._rejected or self._is_known(content_hash)

    def _fail(self, file: PendingFile, problem: PhotoProblem) -> None:
        """A problem becomes the file's row, unless it says nothing about the photo itself.

        A disk that goes away while it is read must not cost what is known of its photos.
        """
        if problem.kind == GONE or (problem.kind == UNREADABLE and file.has_content):
            self._count_problem(problem)
            self.finished += 1
        else:
            self._batch.failed.append((file, problem))

    def _is_due(self) -> bool:
        return (
            len(self._batch.pixels) >= self._batch_size
            or len(self._batch) >= COMMIT_PHOTOS
            or time.monotonic() - self._handed_over_at > COMMIT_SECONDS
        )

    def _hand_over(self, encoder_thread: ThreadPoolExecutor) -> None:
        """Have the collected batch encoded, and commit the one before beside it."""
        batch, self._batch = self._batch, _Batch()
        self._handed_over_at = time.monotonic()
        if not batch.pixels:
            self._finish_running()
            self._finish(batch, None)
            return
        encoder, before = self._encoder, self._running
        encoded = before[1].result() if before is not None else None
        future = encoder_thread.submit(_encode, encoder, list(batch.pixels.values()))
        self._running = (batch, future)
        if before is not None:
            self._finish(before[0], encoded)

    def _finish_running(self) -> None:
        """Commit the batch that the encoder has, once it is done. Raises what the encoder does."""
        if self._running is not None:
            batch, future = self._running
            encoded, self._running = future.result(), None
            self._finish(batch, encoded)

    def _finish(self, batch: _Batch, encoded: _Encoded | None) -> None:
        self._commit(batch, encoded)
        self._progress("encode", self._done + self.finished, self._total)

    def _commit(self, batch: _Batch, encoded: _Encoded | None) -> None:
        vectors = {} if encoded is None else self._usable(batch.pixels, encoded.rows)
        if encoded is not None:
            self._adapt(len(encoded.rows), encoded.seconds)
        photos = []
        failed = [FailedPhoto(f.root_id, f.folder, f.name, problem) for f, problem in batch.failed]
        for file, read in batch.photos:
            if read.content_hash in self._rejected:
                problem = PhotoProblem(
                    read.path, read.stat, "refused", "the model gave no usable embedding for it"
                )
                failed.append(FailedPhoto(file.root_id, file.folder, file.name, problem))
            else:
                photos.append(IndexedPhoto(file.root_id, file.folder, file.name, read))
        if photos or failed:
            self._catalogue.write_batch(self._model_id, photos, vectors, failed)
        self._count(batch, failed, len(vectors))

    def _usable(self, pixels: dict[bytes, Pixels], rows: Floats) -> dict[bytes, Floats]:
        """Vectors by content hash; what the model gave nothing finite for is rejected."""
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.linalg.norm(rows, axis=1)
            usable = np.isfinite(rows).all(axis=1) & (np.abs(lengths - 1) < 1e-2)
        vectors = {h: row for h, row, ok in zip(pixels, rows, usable, strict=True) if ok}
        self._rejected |= pixels.keys() - vectors.keys()
        return vectors

    def _adapt(self, encoded: int, seconds: float) -> None:
        """Choose the next batch so that it takes about SECONDS_PER_BATCH."""
        fitting = int(encoded * SECONDS_PER_BATCH / max(seconds, 1e-3))
        self._batch_size = max(1, min(fitting, self._batch_size * 2, LARGEST_BATCH))

    def _count(self, batch: _Batch, failed: list[FailedPhoto], encoded: int) -> None:
        self._tally.encoded += encoded
        for row in failed:
            self._count_problem(row.problem)
        for file, read in batch.photos:
            if read.content_hash in self._rejected:
                continue
            if file.why == "new":
                self._tally.new += 1
            elif file.why == "changed":
                self._tally.changed += 1
            else:
                self._tally.reencoded += 1
        self.finished += len(batch)

    def _count_problem(self, problem: PhotoProblem) -> None:
        self._tally.problems[problem.kind] += 1
        self._tally.fresh_problems.append(problem)


def _encode(encoder: ImageEncoder, pixels: list[Pixels]) -> _Encoded:
    started = time.monotonic()
    rows = encoder.encode_image(np.stack(pixels))  # (batch, dim)
    return _Encoded(rows, time.monotonic() - started)


def _keys(by_path: dict[bytes, PendingFile]) -> Iterator[bytes]:
    # A list of the keys: entries leave the dict while the reader still takes paths from it.
    yield from list(by_path)
