"""Tables of photos and captions: CSV, TSV and JSON lines, read as a stream."""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from clipsearch.errors import UsageError
from clipsearch.pairs.columns import (
    CAPTION_NAMES,
    LABEL_NAMES,
    PHOTO_NAMES,
    Columns,
    find_columns,
    guess_delimiter,
    plain_name,
    without_number,
)
from clipsearch.pairs.lines import open_text, short_name, text_lines
from clipsearch.pairs.sources import BadRow, FileSource, NoSource
from clipsearch.types import CaptionedPhoto, PhotoSource

TABLE_ENDINGS = frozenset({".csv", ".tsv", ".txt", ".jsonl", ".ndjson"})
MAX_ROWS = 5_000_000

# Where photos lie that a table names without a folder, beside the table itself.
PHOTO_FOLDERS = ("images", "photos", "Images", "Photos", "img", "Flicker8k_Dataset")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the path as written, what is said of the photo, and where the row stands."""

    photo: str
    captions: tuple[str, ...]
    label: str | None
    where: str


@dataclass(slots=True)
class _Gathered:
    """What all rows of one photo say."""

    captions: list[str] = field(default_factory=list)
    label: str | None = None


def read_table(
    path: str, photo_root: str | None = None, columns: tuple[str, str] | None = None
) -> list[CaptionedPhoto]:
    """The photos of a table, in order of their first row, each with the captions of all its rows.

    `path` ends in .csv, .tsv, .txt (either of them) or .jsonl. `columns` are the names of the
    photo's and the caption's column; without them they are guessed, also where there is no header.
    A caption may be a JSON list of captions. A photo's path is looked for in `photo_root`, the
    table's folder, and a folder beside it called `images` or alike; what is nowhere is reported by
    the inspection, as are empty captions and repeated rows, which are kept here, and rows that
    cannot be understood (a wrong number of cells, broken JSON), each a photo that cannot be read.

    Raises UsageError with the line's number for a table that cannot be read: over 1 MB a line or
    131,072 characters a cell, NUL bytes, not UTF-8, quotes that never end, 5 million rows, one
    photo with two labels.
    """
    rows = (_json_rows if _is_json(path) else _csv_rows)(path, columns)
    places = _Places(path, photo_root)
    photos: dict[PhotoSource, _Gathered] = {}
    for number, row in enumerate(rows, 1):
        where = row.name if isinstance(row, BadRow) else row.where
        if number > MAX_ROWS:
            raise UsageError(f"{where}: over {MAX_ROWS:,} rows", "Split the table")
        if isinstance(row, BadRow):
            photos[row] = _Gathered()
            continue
        source = places.source(row.photo) if row.photo else NoSource(row.where)
        gathered = photos.setdefault(source, _Gathered())
        gathered.captions += row.captions
        if row.label and gathered.label and row.label != gathered.label:
            raise UsageError(
                f"{row.where}: {row.photo} is {row.label!r} here and {gathered.label!r} before",
                "Give each photo one label",
            )
        gathered.label = gathered.label or row.label
    if not photos:
        raise UsageError(f"{short_name(path)} holds no photos", "Write rows of photo and caption")
    return [
        CaptionedPhoto(source, tuple(gathered.captions), gathered.label)
        for source, gathered in photos.items()
    ]


class _Places:
    """Finds the files that a table names."""

    def __init__(self, table: str, photo_root: str | None) -> None:
        folder = os.path.dirname(os.path.abspath(table))
        beside = [os.path.join(folder, name) for name in PHOTO_FOLDERS]
        given = [os.path.abspath(photo_root)] if photo_root else []
        self._roots = [*given, folder, *(path for path in beside if os.path.isdir(path))]
        self._found: dict[str, FileSource] = {}

    def source(self, cell: str) -> FileSource:
        """The first of the places where the file is; the first place when it is in none."""
        if cell not in self._found:
            self._found[cell] = self._find(cell)
        return self._found[cell]

    def _find(self, cell: str) -> FileSource:
        if os.sep != "/":
            cell = cell.replace("/", os.sep)
        bare = without_number(cell)
        # Last, a table from Windows on other systems, where a name may hold a backslash too.
        names = dict.fromkeys((cell, bare, bare.replace("\\", "/")))
        paths = [os.path.join(root, name) for name in names for root in self._roots]
        found = (path for path in paths if "\0" not in path and os.path.lexists(path))
        return FileSource(os.fsencode(next(found, paths[-len(self._roots)])))


def _is_json(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in {".jsonl", ".ndjson"}


def _csv_rows(path: str, wanted: tuple[str, str] | None) -> Iterator[Row | BadRow]:
    name = short_name(path)
    with open_text(path) as file:
        lines = text_lines(file, name)
        first_line = next(lines, "")
        delimiter = guess_delimiter(first_line, os.path.splitext(path)[1].lower(), wanted or ())
        columns: Columns | None = None
        for where, cells in _cells_of(chain([first_line], lines), delimiter, name):
            if columns is None:
                columns, is_header = find_columns(cells, wanted, where)
                if is_header:
                    continue
            yield _row(cells, columns, where)


def _cells_of(lines: Iterable[str], delimiter: str, name: str) -> Iterator[tuple[str, list[str]]]:
    """Rows that hold something, each with the number of the line it begins on."""
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        where = f"{name}, line {rows.line_num + 1}"
        try:
            cells = next(rows, None)
        except csv.Error as error:
            # Python adds how a programmer should have opened the file.
            reason = str(error).partition(" - ")[0]
            raise UsageError(f"{where}: {reason}", "Check the quotes and line ends") from error
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield where, cells


def _row(cells: Sequence[str], columns: Columns, where: str) -> Row | BadRow:
    if len(cells) > columns.width:
        many = f"{len(cells):,} cells where there should be {columns.width}"
        return BadRow(where, f'{many}; put a caption that holds commas in quotes: "like, this"')
    if len(cells) < columns.width:
        return BadRow(where, f"{len(cells):,} of {columns.width} cells")
    caption = () if columns.caption is None else _captions(cells[columns.caption])
    label = None if columns.label is None else cells[columns.label].strip() or None
    return Row(cells[columns.photo].strip(), caption, label, where)


def _captions(cell: str) -> tuple[str, ...]:
    """The captions in a cell: one, or a JSON list of them."""
    text = cell.strip()
    if text.startswith("[") and text.endswith("]"):
        try:
            listed = json.loads(text)
        except (ValueError, RecursionError):
            return (text,)
        if isinstance(listed, list) and all(isinstance(caption, str) for caption in listed):
            return tuple(listed)
    return (text,)


def _json_rows(path: str, wanted: tuple[str, str] | None) -> Iterator[Row | BadRow]:
    name = short_name(path)
    with open_text(path) as file:
        for number, line in enumerate(text_lines(file, name), 1):
            if not line.strip():
                continue
            where = f"{name}, line {number}"
            try:
                yield _json_row(line, wanted, where)
            except _RowError as error:
                yield BadRow(where, str(error))


class _RowError(ValueError):
    """Why a line of JSON is no row."""


def _json_row(line: str, wanted: tuple[str, str] | None, where: str) -> Row:
    photo_names, caption_names = ([plain_name(name)] for name in wanted) if wanted else (None, None)
    fields = {plain_name(key): value for key, value in _json_object(line).items()}
    photo = _first(fields, photo_names or PHOTO_NAMES)
    caption = _first(fields, caption_names or CAPTION_NAMES)
    label = _first(fields, LABEL_NAMES)
    if photo is None or (caption is None and label is None):
        shown = ", ".join(repr(key[:30]) for key in list(fields)[:8])
        raise _RowError(
            f"no photo with a caption among {shown}; "
            'write lines like {"image": "a.jpg", "caption": "a dog"}'
        )
    spoken = None if label is None else str(label).strip() or None
    return Row(_text(photo).strip(), _texts(caption), spoken, where)


def _json_object(line: str) -> dict[str, object]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _RowError("not JSON; write one object on each line") from error
    if not isinstance(fields, dict):
        raise _RowError("not a JSON object; write one on each line")
    return fields


def _first(fields: dict[str, object], names: Sequence[str]) -> object:
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _texts(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    listed = value if isinstance(value, list) else [value]
    return tuple(_text(item).strip() for item in listed)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _RowError(f"{str(value)[:40]!r} is not a text; put it in quotes")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _RowError("holds half a character") from error
    if "\0" in value:
        raise _RowError("holds a NUL byte")
    return value
