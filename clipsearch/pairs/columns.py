"""Which column of a table is what."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from clipsearch.errors import UsageError
from clipsearch.pairs.sources import looks_like_photo

PHOTO_NAMES = [
    "image",
    "photo",
    "file",
    "filename",
    "file_name",
    "path",
    "filepath",
    "file_path",
    "image_path",
    "image_name",
    "img",
    "photo_path",
    "picture",
]
CAPTION_NAMES = [
    "caption",
    "captions",
    "text",
    "title",
    "description",
    "sentence",
    "sentences",
    "raw",
]
LABEL_NAMES = ["label", "class", "category"]

_MAX_COLUMNS = 1_000
# Flickr8k's own list numbers the captions of a photo: `1000268201.jpg#3`.
_NUMBERED = re.compile(r"#[0-9]+$")


@dataclass(frozen=True, slots=True)
class Columns:
    """Places of the columns, counted from 0, in rows of `width` cells."""

    photo: int
    caption: int | None
    label: int | None
    width: int


def guess_delimiter(first_line: str, ending: str, wanted: Sequence[str] = ()) -> str:
    """The character between the cells of a table, from its first line.

    `wanted`: names that are known to be in a header, besides the usual ones.
    """
    preferred: Sequence[str] = ("\t", ",") if ending == ".tsv" else (",", ";", "\t")
    known = {*PHOTO_NAMES, *CAPTION_NAMES, *LABEL_NAMES, *map(plain_name, wanted)}
    for delimiter in preferred:
        cells = _cells(first_line, delimiter)
        if len(cells) > 1 and known.intersection(plain_name(cell) for cell in cells):
            return delimiter
    for delimiter in ("\t", *preferred):
        cells = _cells(first_line, delimiter)
        if len(cells) > 1 and any(names_photo(cell) for cell in cells):
            return delimiter
    return preferred[0]


def find_columns(
    first: Sequence[str], wanted: tuple[str, str] | None, where: str
) -> tuple[Columns, bool]:
    """(the columns, whether the row `first` is a header).

    `wanted` names the columns of photos and captions. Without it they are found by their usual
    names, and in a table without a header by which cell names a photo. Raises UsageError.
    """
    if len(first) > _MAX_COLUMNS:
        raise UsageError(
            f"{where}: {len(first):,} columns", "Is this a table of photos and captions?"
        )
    names = [plain_name(cell) for cell in first]
    if wanted is not None:
        places = [_named(names, column, where) for column in wanted]
        return Columns(places[0], places[1], None, len(first)), True
    photos = [i for name in PHOTO_NAMES for i, cell in enumerate(names) if cell == name]
    captions = [i for name in CAPTION_NAMES for i, cell in enumerate(names) if cell == name]
    labels = [i for name in LABEL_NAMES for i, cell in enumerate(names) if cell == name]
    if photos and (captions or labels):
        caption = captions[0] if captions else None
        return Columns(photos[0], caption, labels[0] if labels else None, len(first)), True
    paths = [i for i, cell in enumerate(first) if names_photo(cell)]
    if len(first) == 2 and len(paths) == 1:
        return Columns(paths[0], 1 - paths[0], None, 2), False
    shown = ", ".join(repr(cell[:30]) for cell in first[:8])
    raise UsageError(
        f"{where}: no columns of photos and captions among {shown}",
        "Begin the table with a line that names them: image,caption",
    )


def names_photo(cell: str) -> bool:
    """Whether a cell reads like the path of a photo."""
    return looks_like_photo(without_number(cell.strip()))


def without_number(cell: str) -> str:
    """The path in a cell, without the number that Flickr8k's list puts behind it."""
    bare = _NUMBERED.sub("", cell)
    return bare if looks_like_photo(bare) else cell


def _named(names: Sequence[str], column: str, where: str) -> int:
    if plain_name(column) not in names:
        shown = ", ".join(name[:30] for name in names[:8])
        raise UsageError(f"{where}: there is no column {column!r}", f"There are {shown}")
    return names.index(plain_name(column))


def plain_name(cell: str) -> str:
    """A column's name as it is compared: `Image Path` is image_path."""
    return cell.strip().lower().replace(" ", "_")


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])
    except csv.Error:
        return []
