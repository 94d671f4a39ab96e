"""The photos to classify, as vectors: stored ones where they are still true, others encoded."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from clipsearch.errors import ModelMismatchError, NotPhoto, UsageError
from clipsearch.library import Library
from clipsearch.photos.files import file_stat
from clipsearch.photos.formats import claims_photo
from clipsearch.photos.ignore import IgnoreRules
from clipsearch.photos.reading import PhotoReader, nothing_known
from clipsearch.photos.walk import walk
from clipsearch.types import (
    FileStat,
    Floats,
    ImageEncoder,
    ModelInfo,
    PhotoFilter,
    PhotoProblem,
    PhotoRead,
    same_file,
)

READERS = 2
_FILES_AT_ONCE = 1024
_BATCH = 32


@dataclass(frozen=True, slots=True, eq=False)
class PhotoBlock:
    """Some photos: row i of `vectors` (n, dim), a unit row, belongs to every path in `paths[i]`."""

    paths: tuple[tuple[bytes, ...], ...]
    vectors: Floats


@dataclass(frozen=True, slots=True)
class _File:
    """A file to classify. `named` files were asked for by name, others found in a folder."""

    path: bytes
    stat: FileStat
    named: bool


def indexed_photos(
    library: Library, model: ModelInfo, wanted: PhotoFilter | None = None
) -> Iterator[PhotoBlock]:
    """Every photo of the library that passes the filter, from its stored embeddings.

    Raises StorageError for a library without photos, ModelMismatchError when its model is another.
    """
    _, active = library.require_model()
    if active.fingerprint != model.fingerprint:
        raise ModelMismatchError(
            f"the library was made with {active.name}, the labels with {model.name}",
            f"Use {active.name}, or run: clipsearch index --model {model.name}",
        )
    ids = library.catalogue.live_contents(wanted)
    for content_ids, vectors in library.vector_blocks(ids):
        photos = library.catalogue.paths_of_all(content_ids, wanted)
        paths = tuple(tuple(photos.get(content_id, ())) for content_id in content_ids.tolist())
        yield PhotoBlock(paths, vectors)


def photos_at(
    targets: Sequence[bytes],
    library: Library | None,
    model: ModelInfo,
    load_encoder: Callable[[int], ImageEncoder],
    *,
    rules: IgnoreRules | None = None,
    readers: int = READERS,
) -> Iterator[PhotoBlock | PhotoProblem]:
    """The photos that `targets` name, and those in the folders they name, in blocks.

    Photos that `library` has embedded with this model and that did not change since are not read.
    `load_encoder(n)` is called at most once, with the number of photos that are to be encoded soon.
    Files in folders that are no photos are passed over; everything else that cannot be used comes
    as a PhotoProblem. Raises UsageError at once when a target does not exist.
    """
    absolute = [_existing(target) for target in targets]
    return _blocks(
        _files(absolute, rules or IgnoreRules()), _Source(library, model, load_encoder, readers)
    )


def indexed_folders(library: Library) -> set[bytes]:
    """The absolute folders that hold indexed photos."""
    return {
        os.path.join(root.path, folder).rstrip(os.sep.encode())
        for root in library.catalogue.roots()
        for folder in library.catalogue.folders(root.root_id)
    }


def photo_folders(targets: Sequence[bytes], rules: IgnoreRules | None = None) -> set[bytes]:
    """The absolute folders that hold files named like photos, at and below `targets`.

    Raises UsageError when a target does not exist.
    """
    absolute = [_existing(target) for target in targets]
    return {
        os.path.dirname(item.path)
        for item in _files(absolute, rules or IgnoreRules())
        if isinstance(item, _File) and claims_photo(item.path)
    }


class _Source:
    """Where vectors come from: the library, and the image tower once it is needed."""

    def __init__(
        self,
        library: Library | None,
        model: ModelInfo,
        load_encoder: Callable[[int], ImageEncoder],
        readers: int,
    ) -> None:
        active = library.model if library else None
        same = active is not None and active.fingerprint == model.fingerprint
        self._library = library if same else None
        self._model = model
        self._load_encoder = load_encoder
        self._readers = readers
        self._encoder: ImageEncoder | None = None

    def stored(self, files: list[_File]) -> tuple[list[PhotoBlock], list[_File]]:
        """A block of what the library has, and the files it does not have."""
        if self._library is None:
            return [], files
        catalogue, model_id = self._library.catalogue, self._library.catalogue.active_model_id()
        paths: list[tuple[bytes]] = []
        ids: list[int] = []
        others: list[_File] = []
        for file in files:
            row = catalogue.photo_at(file.path)
            if (
                row is not None
                and same_file(row.stat, file.stat)
                and model_id is not None
                and catalogue.has_embedding(model_id, row.content_hash)
            ):
                paths.append((file.path,))
                ids.append(row.content_id)
            else:
                others.append(file)
        if not ids:
            return [], others
        vectors = self._library.vectors_of(np.array(ids, np.int64))
        return [PhotoBlock(tuple(paths), vectors)], others

    def encoded(self, files: list[_File]) -> Iterator[PhotoBlock | PhotoProblem]:
        """Read, decode and encode; what is no photo is a problem only when asked for by name."""
        if not files:
            return
        if self._encoder is None:
            self._encoder = self._load_encoder(len(files))
        named = {file.path for file in files if file.named}
        batch: list[PhotoRead] = []
        with PhotoReader(self._model.preprocess, min(self._readers, len(files))) as reader:
            for outcome in reader.read([file.path for file in files], nothing_known):
                if isinstance(outcome, PhotoRead):
                    batch.append(outcome)
                elif outcome.kind != NotPhoto.kind or outcome.path in named:
                    yield outcome
                if len(batch) == _BATCH:
                    yield from _encode(self._encoder, batch)
                    batch = []
        if batch:
            yield from _encode(self._encoder, batch)


def _blocks(
    files: Iterator[_File | PhotoProblem], source: _Source
) -> Iterator[PhotoBlock | PhotoProblem]:
    while some := list(islice(files, _FILES_AT_ONCE)):
        yield from (item for item in some if isinstance(item, PhotoProblem))
        stored, others = source.stored([item for item in some if isinstance(item, _File)])
        yield from stored
        yield from source.encoded(others)


def _encode(encoder: ImageEncoder, batch: list[PhotoRead]) -> Iterator[PhotoBlock | PhotoProblem]:
    """Vectors of a batch; a photo for which the model gives none is a problem of its own."""
    pixels = [read.pixels for read in batch if read.pixels is not None]
    rows = encoder.encode_image(np.stack(pixels))  # (batch, dim)
    usable = np.isfinite(rows).all(axis=1) & (np.abs(np.linalg.norm(rows, axis=1) - 1) < 1e-2)
    good = tuple((read.path,) for read, ok in zip(batch, usable, strict=True) if ok)
    yield PhotoBlock(good, rows[usable])
    for read, ok in zip(batch, usable, strict=True):
        if not ok:
            reason = "the model gave no usable embedding for it"
            yield PhotoProblem(read.path, read.stat, "refused", reason)


def _existing(target: bytes) -> bytes:
    # A library knows photos by their real path.
    path = os.path.realpath(target)
    if not os.path.lexists(path):
        raise UsageError(f"there is no {os.fsdecode(target)}", "Check the path")
    return path


def _files(targets: Iterable[bytes], rules: IgnoreRules) -> Iterator[_File | PhotoProblem]:
    """Every file once, however often the targets name it."""
    seen: set[bytes] = set()
    for target in targets:
        for item in _files_at(target, rules):
            if isinstance(item, PhotoProblem):
                yield item
            elif item.path not in seen:
                seen.add(item.path)
                yield item


def _files_at(target: bytes, rules: IgnoreRules) -> Iterator[_File | PhotoProblem]:
    if not os.path.isdir(target):
        try:
            yield _File(target, file_stat(os.lstat(target)), named=True)
        except OSError as error:
            reason = error.strerror or "it cannot be read"
            yield PhotoProblem(target, None, "unreadable", reason)
        return
    for folder in walk(target, b"", rules):
        yield from folder.problems
        for file in folder.files:
            yield _File(os.path.join(target, folder.path, file.name), file.stat, named=False)
