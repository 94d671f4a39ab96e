"""Read the pending files, encode each content once, commit batch by batch."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
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
LARGEST_BATCH = 64


class Encoding:
    """The second half of an index run: from pending files to rows with embeddings."""

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
        self._batch_size = 8
        self._photos: list[tuple[PendingFile, PhotoRead]] = []
        self._failed: list[tuple[PendingFile, PhotoProblem]] = []
        self._pixels: dict[bytes, Pixels] = {}
        self._committed_at = time.monotonic()
        self.finished = 0

    def run(
        self, reader: PhotoReader, pending: Sequence[PendingFile], roots: dict[int, bytes]
    ) -> None:
        """Read, encode and commit every pending file. `roots` maps root ids to their paths."""
        by_path = {
            os.path.join(roots[file.root_id], file.folder, file.name): file for file in pending
        }
        total = self._done + self.finished + len(pending)
        for outcome in reader.read(_keys(by_path), self._is_known):
            file = by_path.pop(outcome.path)
            if isinstance(outcome, PhotoProblem):
                self._fail(file, outcome)
            else:
                self._add(file, outcome)
            if self._is_due():
                self._commit()
                self._progress("encode", self._done + self.finished, total)
        self._commit()
        self._progress("encode", self._done + self.finished, total)

    def refuse(self, file: PendingFile, problem: PhotoProblem) -> None:
        """Record a file as failed at once, without reading it."""
        self._fail(file, problem)
        self._commit()

    @cached_property
    def _encoder(self) -> ImageEncoder:
        # Loaded when the first photos are there: the reader goes on with the next meanwhile.
        return self._load_encoder()

    def _is_known(self, content_hash: bytes) -> bool:
        return self._catalogue.has_embedding(self._model_id, content_hash)

    def _add(self, file: PendingFile, read: PhotoRead) -> None:
        self._photos.append((file, read))
        # A copy that was decoded while its twin was being encoded needs no second encoding.
        if read.pixels is not None and not self._is_known(read.content_hash):
            self._pixels[read.content_hash] = read.pixels

    def _fail(self, file: PendingFile, problem: PhotoProblem) -> None:
        """A problem becomes the file's row, unless it says nothing about the photo itself.

        A disk that goes away while it is read must not cost what is known of its photos.
        """
        if problem.kind == GONE or (problem.kind == UNREADABLE and file.has_content):
            self._count_problem(problem)
            self.finished += 1
        else:
            self._failed.append((file, problem))

    def _is_due(self) -> bool:
        return (
            len(self._pixels) >= self._batch_size
            or len(self._photos) + len(self._failed) >= COMMIT_PHOTOS
            or time.monotonic() - self._committed_at > COMMIT_SECONDS
        )

    def _commit(self) -> None:
        vectors, rejected = self._encode()
        photos = []
        failed = [FailedPhoto(f.root_id, f.folder, f.name, problem) for f, problem in self._failed]
        for file, read in self._photos:
            if read.content_hash in rejected:
                problem = PhotoProblem(
                    read.path, read.stat, "refused", "the model gave no usable embedding for it"
                )
                failed.append(FailedPhoto(file.root_id, file.folder, file.name, problem))
            else:
                photos.append(IndexedPhoto(file.root_id, file.folder, file.name, read))
        if photos or failed:
            self._catalogue.write_batch(self._model_id, photos, vectors, failed)
        self._count(failed, rejected, len(vectors))
        self._photos.clear()
        self._failed.clear()
        self._pixels.clear()
        self._committed_at = time.monotonic()

    def _encode(self) -> tuple[dict[bytes, Floats], set[bytes]]:
        """Vectors by content hash, and the hashes for which the model gave nothing finite."""
        if not self._pixels:
            return {}, set()
        encoder = self._encoder
        started = time.monotonic()
        rows = encoder.encode_image(np.stack(list(self._pixels.values())))  # (batch, dim)
        self._adapt(len(rows), time.monotonic() - started)
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.linalg.norm(rows, axis=1)
            usable = np.isfinite(rows).all(axis=1) & (np.abs(lengths - 1) < 1e-2)
        vectors = {h: row for h, row, ok in zip(self._pixels, rows, usable, strict=True) if ok}
        return vectors, self._pixels.keys() - vectors.keys()

    def _adapt(self, encoded: int, seconds: float) -> None:
        """Choose the next batch so that it takes about SECONDS_PER_BATCH."""
        fitting = int(encoded * SECONDS_PER_BATCH / max(seconds, 1e-3))
        self._batch_size = max(1, min(fitting, self._batch_size * 2, LARGEST_BATCH))

    def _count(self, failed: list[FailedPhoto], rejected: set[bytes], encoded: int) -> None:
        self._tally.encoded += encoded
        for row in failed:
            self._count_problem(row.problem)
        for file, read in self._photos:
            if read.content_hash in rejected:
                continue
            if file.why == "new":
                self._tally.new += 1
            elif file.why == "changed":
                self._tally.changed += 1
            else:
                self._tally.reencoded += 1
        self.finished += len(self._photos) + len(self._failed)

    def _count_problem(self, problem: PhotoProblem) -> None:
        self._tally.problems[problem.kind] += 1
        self._tally.fresh_problems.append(problem)


def _keys(by_path: dict[bytes, PendingFile]) -> Iterator[bytes]:
    # A list of the keys: entries leave the dict while the reader still takes paths from it.
    yield from list(by_path)
