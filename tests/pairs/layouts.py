"""Small data sets made on the spot."""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from clipsearch.pairs.sources import FileSource
from clipsearch.types import CaptionedPhoto


def png(number: int = 0) -> bytes:
    """A small photo; another one for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write(path: Path, content: bytes | str = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_tar(
    path: Path, members: Iterable[tuple[str, bytes]], format: int = tarfile.USTAR_FORMAT
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def said(photos: Iterable[CaptionedPhoto], below: Path) -> list[tuple[str, tuple[str, ...]]]:
    """(path relative to `below`, captions) of photos that are files."""
    found = []
    for photo in photos:
        assert isinstance(photo.source, FileSource)
        found.append((Path(photo.source.name).relative_to(below).as_posix(), photo.captions))
    return found
