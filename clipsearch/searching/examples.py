"""Example photos in a query: their stored vectors where these are still true, else encoded now."""

import os
from collections.abc import Iterator

import numpy as np

from clipsearch.encoders import Towers
from clipsearch.errors import QueryError
from clipsearch.library import Library
from clipsearch.photos.files import file_stat
from clipsearch.photos.reading import PhotoReader, nothing_known
from clipsearch.ranking import unit
from clipsearch.storage.records import PhotoRow
from clipsearch.types import FileStat, Floats, PhotoProblem, Pixels, same_file


def photo_vectors(library: Library, towers: Towers, typed: list[str]) -> tuple[Floats, list[str]]:
    """(len(typed), dim) unit rows of example photos, and warnings about them.

    Raises QueryError for an example that is no photo.
    """
    vectors = np.empty((len(typed), towers.info.embed_dim), np.float32)
    unread: dict[bytes, list[int]] = {}
    warnings = []
    for i, path_typed in enumerate(typed):
        path = _absolute(path_typed)
        row = _stored(library, path, _stat(path, path_typed))
        if row is None:
            unread.setdefault(path, []).append(i)
            continue
        ids = np.array([row.content_id], np.int64)
        vectors[i] = library.vectors_of(ids)[0]
        copies = len(library.catalogue.photos_of(ids).get(row.content_id, []))
        if copies > 1:
            warnings.append(f"{path_typed} is in the library {copies} times")
    for path, pixels in _decoded(towers, list(unread)):
        vectors[unread[path]] = unit(towers.image.encode_image(pixels[None]))[0]
    return vectors, warnings


def _decoded(towers: Towers, paths: list[bytes]) -> Iterator[tuple[bytes, Pixels]]:
    """The pixels of photos that are not indexed. Raises QueryError for what is no photo."""
    if not paths:
        return
    with PhotoReader(towers.info.preprocess, 1) as reader:
        for outcome in reader.read(paths, nothing_known):
            if isinstance(outcome, PhotoProblem):
                reason = f"{os.fsdecode(outcome.path)} cannot be an example: {outcome.reason}"
                raise QueryError(reason, "Give a photo")
            assert outcome.pixels is not None  # nothing was declared known
            yield outcome.path, outcome.pixels


def _absolute(typed: str) -> bytes:
    # A library knows photos by their real path; a link to one is followed on request.
    return os.path.realpath(os.fsencode(os.path.expanduser(typed)))


def _stat(path: bytes, typed: str) -> FileStat | None:
    """The file's facts, or None when it cannot be reached. Raises QueryError for a folder."""
    if os.path.isdir(path):
        raise QueryError(
            f"{typed} is a folder", f"Give a photo; for photos inside it write in:{typed}"
        )
    try:
        return file_stat(os.lstat(path))
    except OSError:
        return None


def _stored(library: Library, path: bytes, stat: FileStat | None) -> PhotoRow | None:
    """The photo's row when its stored embedding can be used.

    A file that changed since it was indexed is read again; one that cannot be reached (a drive that
    is not there) still is what it was. Raises QueryError when there is neither file nor row.
    """
    row = library.catalogue.photo_at(path)
    model_id = library.catalogue.active_model_id()
    usable = (
        row is not None
        and model_id is not None
        and (stat is None or same_file(stat, row.stat))
        and library.catalogue.has_embedding(model_id, row.content_hash)
    )
    if not usable and stat is None:
        raise QueryError(
            f"there is no photo {os.fsdecode(path)}",
            "Check the path; if you meant the words, write text: before them",
        )
    return row if usable else None
