"""Every photo read and decoded once before the first step, to know which can be used."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from clipsearch.errors import PhotoError, PhotoGone
from clipsearch.pairs.sources import FileSource
from clipsearch.types import CaptionedPhoto, PhotoProblem, PhotoRead, PhotoSource

ReadFiles = Callable[[Iterable[bytes]], Iterator[PhotoRead | PhotoProblem]]
Decode = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class PhotoCheck:
    """What reading photo `number` gave: the SHA-256 of its bytes, or why it cannot be used."""

    number: int
    content_hash: bytes | None
    fault: Literal["missing", "unreadable"] | None = None
    reason: str = ""


def check_photos(
    photos: Sequence[CaptionedPhoto], read_files: ReadFiles, decode: Decode
) -> Iterator[PhotoCheck]:
    """One check for each photo, in any order.

    `read_files` reads and decodes files at absolute paths where they can do no harm (PhotoReader);
    links are resolved first, since it follows none. Photos inside archives are read here and given
    to `decode`, which raises PhotoError for a photo that cannot be used.
    """
    by_path: dict[bytes, list[int]] = defaultdict(list)
    for number, photo in enumerate(photos):
        if isinstance(photo.source, FileSource) and b"\0" not in photo.source.path:
            by_path[os.path.realpath(photo.source.path)].append(number)
        else:
            yield _check_here(number, photo.source, decode)
    for found in read_files(list(by_path)):
        for number in by_path[found.path]:
            yield _from_reader(number, found)


def _from_reader(number: int, found: PhotoRead | PhotoProblem) -> PhotoCheck:
    if isinstance(found, PhotoRead):
        return PhotoCheck(number, found.content_hash)
    if found.kind == PhotoGone.kind:
        return PhotoCheck(number, None, "missing", "there is no such file")
    return PhotoCheck(number, None, "unreadable", found.reason)


def _check_here(number: int, source: PhotoSource, decode: Decode) -> PhotoCheck:
    try:
        data = source.read()
        decode(data)
    except FileNotFoundError as error:
        return PhotoCheck(number, None, "missing", error.strerror or "there is none")
    except OSError as error:
        return PhotoCheck(number, None, "unreadable", error.strerror or str(error))
    except PhotoError as error:
        return PhotoCheck(number, None, "unreadable", error.message)
    return PhotoCheck(number, hashlib.sha256(data).digest())
