"""Which photos a run learned from: written beside it, and asked when a model is measured."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clipsearch.errors import DamageError

NAME = "photos.tsv"
_TITLES = "part\tsha256\tphoto\n"

PartName = Literal["learned", "validation", "test"]


@dataclass(frozen=True, slots=True)
class PartOf:
    """One photo of a run by the SHA-256 of its content, and the part that it belongs to."""

    part: PartName
    content_hash: bytes
    name: str


def as_lines(photos: Iterable[PartOf]) -> Iterator[str]:
    """The lines of a run's photos.tsv. Names are for people: line breaks and tabs become spaces."""
    yield _TITLES
    for photo in photos:
        yield f"{photo.part}\t{photo.content_hash.hex()}\t{' '.join(photo.name.split())}\n"


def contents_with_a_say(run: Path) -> frozenset[bytes]:
    """The contents (SHA-256) that the run in a directory learned from or chose its weights by.

    Empty when no such thing is written there, and when the run came to keep the original. Raises
    DamageError when it cannot be read.
    """
    path = run / NAME
    if not path.is_file() or _kept_the_original(run):
        return frozenset()
    found: set[bytes] = set()
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            next(file, None)
            for line in file:
                part, content_hash, _ = line.split("\t", 2)
                if part != "test":
                    found.add(bytes.fromhex(content_hash))
    except (OSError, ValueError) as error:
        raise DamageError(
            f"{path} cannot be read: {error}", "Delete it: nothing else needs it"
        ) from error
    return frozenset(found)


def _kept_the_original(run: Path) -> bool:
    try:
        word = json.loads((run / "report.json").read_text(encoding="utf-8"))["word"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(word == "kept")
