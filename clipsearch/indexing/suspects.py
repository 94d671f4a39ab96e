"""Photos that were in hand when a run died: whom to read alone, and whom not any more."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clipsearch.errors import RefusedPhoto
from clipsearch.indexing.scan import PendingFile
from clipsearch.photos.files import file_stat
from clipsearch.photos.in_hand import DEATHS
from clipsearch.types import FileStat, PhotoProblem


@dataclass(slots=True)
class Suspects:
    """`alone` are to be read one by one, `refused` not at all; each with its reason."""

    alone: list[PendingFile] = field(default_factory=list)
    refused: list[tuple[PendingFile, PhotoProblem]] = field(default_factory=list)


def divide(
    pending: Sequence[PendingFile], roots: Mapping[int, bytes], left: Mapping[bytes, int]
) -> tuple[Suspects, list[PendingFile]]:
    """The pending files that a dead run had in hand, by its record `left`, and all others."""
    suspects = Suspects()
    if not left:
        return suspects, list(pending)
    others = []
    for file in pending:
        path = os.path.join(roots[file.root_id], file.folder, file.name)
        deaths = left.get(path, 0)
        if deaths >= DEATHS:
            suspects.refused.append((file, _problem(path, deaths)))
        elif deaths:
            suspects.alone.append(file)
        else:
            others.append(file)
    return suspects, others


def _problem(path: bytes, deaths: int) -> PhotoProblem:
    reason = f"reading it was the last that {deaths} runs did, one after the other"
    return PhotoProblem(path, _stat(path), RefusedPhoto.kind, reason)


def _stat(path: bytes) -> FileStat | None:
    try:
        return file_stat(os.lstat(path))
    except OSError:
        return None
