"""The photos to learn from, as vectors by content hash: stored ones where they exist."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from clipsearch.encoders import Towers
from clipsearch.errors import NotPhoto, UsageError
from clipsearch.library import Library
from clipsearch.photos.files import file_stat
from clipsearch.photos.ignore import IgnoreRules
from clipsearch.photos.reading import PhotoReader
from clipsearch.photos.walk import walk
from clipsearch.ranking import unit
from clipsearch.storage.concepts import ConceptPhoto
from clipsearch.types import Floats, PhotoProblem, PhotoRead, Progress, same_file

READERS = 2
_BATCH = 32


@dataclass(frozen=True, slots=True, eq=False)
class ReadPhotos:
    """Photos by content hash: their paths, in the order asked for, and their unit vectors (dim,).

    `encoded` of them went through the image tower; `problems` are files that could not be used.
    """

    paths: dict[bytes, bytes] = field(default_factory=dict)
    vectors: dict[bytes, Floats] = field(default_factory=dict)
    encoded: int = 0
    problems: tuple[PhotoProblem, ...] = ()

    @staticmethod
    def together(parts: Sequence["ReadPhotos"]) -> "ReadPhotos":
        """All of them as one; of a content in several parts the last path counts."""
        whole = ReadPhotos()
        for part in parts:
            whole.paths.update(part.paths)
            whole.vectors.update(part.vectors)
        return ReadPhotos(
            whole.paths,
            whole.vectors,
            sum(part.encoded for part in parts),
            tuple(problem for part in parts for problem in part.problems),
        )


class Source:
    """Where the vectors come from: the library, and the exported image tower for other photos."""

    def __init__(
        self,
        library: Library,
        towers: Towers,
        model_id: int,
        rules: IgnoreRules,
        progress: Progress,
    ) -> None:
        self._catalogue = library.catalogue
        self._towers = towers
        self._model_id = model_id
        self._rules = rules
        self._progress = progress

    def read(self, targets: Sequence[bytes]) -> ReadPhotos:
        """The photos that `targets` name, and those in the folders they name.

        Files in folders that are no photos are passed over. Raises UsageError when a target does
        not exist (one that is indexed, on a drive that is away, does).
        """
        files = list(dict.fromkeys(path for t in targets for path in self._files(t)))
        return self._of(files, named={os.path.realpath(target) for target in targets})

    def kept(self, photos: Iterable[ConceptPhoto]) -> dict[bytes, Floats]:
        """The vectors of photos taught before, where this model has encoded them."""
        return self._catalogue.concepts.vectors(self._model_id, [p.content_hash for p in photos])

    def again(self, photos: Sequence[ConceptPhoto]) -> ReadPhotos:
        """The same photos once more: those this model has not encoded are read where they lay."""
        stored = self.kept(photos)
        rest = {photo.path: photo for photo in photos if photo.content_hash not in stored}
        there = [path for path in rest if os.path.isfile(path)]
        read = self._of(there, named=set(there))
        stored |= read.vectors
        return ReadPhotos({}, stored, read.encoded, read.problems)

    def _files(self, target: bytes) -> Iterator[bytes]:
        path = os.path.realpath(target)
        if not os.path.lexists(path) and self._catalogue.photo_at(path) is None:
            raise UsageError(f"there is no {os.fsdecode(target)}", "Check the path")
        if not os.path.isdir(path):
            yield path
            return
        for folder in walk(path, b"", self._rules):
            for file in sorted(folder.files, key=lambda found: found.name):
                yield os.path.join(path, folder.path, file.name)

    def _of(self, files: Sequence[bytes], named: set[bytes]) -> ReadPhotos:
        hashes = {path: h for path in files if (h := self._indexed_hash(path)) is not None}
        vectors = self._catalogue.concepts.vectors(self._model_id, hashes.values())
        unread = [path for path in files if hashes.get(path) not in vectors]
        problems: list[PhotoProblem] = []
        fresh: list[PhotoRead] = []
        done = encoded = 0
        for outcome in self._decoded(unread):
            done += 1
            self._progress("teach", done, len(unread))
            if isinstance(outcome, PhotoProblem):
                if outcome.kind != NotPhoto.kind or outcome.path in named:
                    problems.append(outcome)
                continue
            hashes[outcome.path] = outcome.content_hash
            if outcome.pixels is not None and outcome.content_hash not in vectors:
                fresh.append(outcome)
            if len(fresh) == _BATCH:
                encoded += self._encode(fresh, vectors, problems)
                fresh = []
        if fresh:
            encoded += self._encode(fresh, vectors, problems)
        known = [h for h in hashes.values() if h not in vectors]
        vectors |= self._catalogue.concepts.vectors(self._model_id, known)
        # In the order asked for: what is learned must not depend on which file was read first.
        order = [path for path in files if hashes.get(path) in vectors]
        paths: dict[bytes, bytes] = {}
        for path in order:
            paths.setdefault(hashes[path], path)
        return ReadPhotos(paths, {h: vectors[h] for h in paths}, encoded, tuple(problems))

    def _indexed_hash(self, path: bytes) -> bytes | None:
        """The content hash of an indexed file that did not change since, or that is away."""
        row = self._catalogue.photo_at(path)
        if row is None:
            return None
        try:
            stat = file_stat(os.lstat(path))
        except OSError:
            return row.content_hash
        return row.content_hash if same_file(stat, row.stat) else None

    def _decoded(self, paths: Sequence[bytes]) -> Iterator[PhotoRead | PhotoProblem]:
        if not paths:
            return
        with PhotoReader(self._towers.info.preprocess, min(READERS, len(paths))) as reader:
            yield from reader.read(paths, self._is_indexed)

    def _is_indexed(self, content_hash: bytes) -> bool:
        return self._catalogue.has_embedding(self._model_id, content_hash)

    def _encode(
        self, batch: list[PhotoRead], vectors: dict[bytes, Floats], problems: list[PhotoProblem]
    ) -> int:
        pixels = np.stack([read.pixels for read in batch if read.pixels is not None])
        rows = self._towers.image.encode_image(pixels)  # (batch, dim)
        for read, row in zip(batch, rows, strict=True):
            if np.isfinite(row).all() and np.linalg.norm(row) > 0.5:
                vectors[read.content_hash] = unit(row)
            else:
                reason = "the model gave no usable embedding for it"
                problems.append(PhotoProblem(read.path, read.stat, "refused", reason))
        return len(batch)


def existing_folder(target: bytes) -> bytes:
    """The real path of a folder. Raises UsageError for anything else."""
    path = os.path.realpath(target)
    if not os.path.isdir(path):
        raise UsageError(f"{os.fsdecode(target)} is no folder", "Give a folder of photos")
    return path


def subfolders(folder: bytes) -> list[bytes]:
    """The folders in a folder, hidden ones left out, sorted."""
    with os.scandir(folder) as entries:
        found = [os.path.join(folder, e.name) for e in entries if e.is_dir(follow_symlinks=False)]
    return sorted(path for path in found if not os.path.basename(path).startswith(b"."))
