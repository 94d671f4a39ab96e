"""Labels to classify into: from a list on the command line, a file, or the names of folders.

A label has the name that the person sees and the words that the model reads: `Red-Bell-Pepper` is
read as "Red Bell Pepper". `name=words` gives other words: `me=a bearded man with glasses`. A label
`@rex`, or the words `@rex`, is the concept of that name, taught with photos: `dog=@rex`.
"""

import csv
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from clipsearch.errors import UsageError

MAX_LABELS = 100_000
MAX_LINE_BYTES = 1_000_000
MAX_NAME = 1_000

_NAME_COLUMNS = frozenset({"label", "name", "class"})
_WORDS_COLUMNS = frozenset({"words", "prompt", "text"})
_NUMBERED = re.compile(r"^[0-9]{2,}[._](?=[^\W\d])")  # "012.binoculars", as datasets number folders
_CAMEL = re.compile(r"(?<=[a-z]{2})(?=[A-Z])")  # "StopSign", not "iPhone" or "McDonald"
_BREAKS = re.compile(r"_+|(?<=\w\w)-+(?=\w\w)")  # "Red-Bell-Pepper", not "T-Shirt"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Label:
    """`name` is shown and written; `words` go into the prompt templates."""

    name: str
    words: str


def concept_of(label: Label) -> str | None:
    """The name of the concept that a label stands for; None for one that is words."""
    if not label.words.startswith("@") or len(label.words) < 2:
        return None
    return label.words[1:].strip('"').strip() or None


def labels_from_text(text: str) -> tuple[Label, ...]:
    """Labels from "cat, dog, stop_sign, me=a bearded man". Raises UsageError: none, or twice."""
    parts = ((f"label {i}", part) for i, part in enumerate(text.split(","), 1) if part.strip())
    return _distinct(((where, _label(*_halves(part), where)) for where, part in parts), "--labels")


def labels_from_file(path: str) -> tuple[Label, ...]:
    """Labels from a text file (one a line, `#` comments, `name=words`) or a CSV/TSV file.

    A CSV file (by its name: .csv, .tsv) has its labels in the column `label`, `name` or `class`,
    the first one when there is no such header, and optionally words in `words`, `prompt` or `text`.
    UTF-8, with or without BOM. Read as a stream; lines of over 1 MB, over 100,000 labels, bad
    bytes, repeated and empty labels raise UsageError with the line's number.
    """
    name = os.fsdecode(os.path.basename(path))
    delimiter = {".csv": ",", ".tsv": "\t"}.get(os.path.splitext(name)[1].lower())
    try:
        with open(path, "rb") as file:
            lines = _decoded(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), name)
            rows = _table(lines, name, delimiter) if delimiter else _list(lines, name)
            return _distinct(rows, name)
    except OSError as error:
        remedy = "Name a file with one label a line" if os.path.isdir(path) else "Check the path"
        raise UsageError(f"cannot read {path}: {error.strerror}", remedy) from error


def labels_from_folders(folders: Iterable[bytes]) -> tuple[Label, ...]:
    """One label per folder name, the last part of each path; see `labels_from_names`."""
    return labels_from_names((folder_label(folder) for folder in folders), "the folders")


def labels_from_names(names: Iterable[str], source: str) -> tuple[Label, ...]:
    """One label per meaning, sorted by name; `source` is what gave them, for the error.

    Names that differ only in case or separators are one label, named after the first.
    """
    names = sorted(set(names), reverse=True)
    by_meaning = {meaning_of(name): Label(name, words_of(name)) for name in names}
    labels = sorted(by_meaning.values(), key=lambda label: label.name)
    return _distinct(((f"'{label.name}'", label) for label in labels), source)


def folder_label(folder: bytes) -> str:
    """The label name of a photo's folder: its last part."""
    return os.fsdecode(os.path.basename(folder.rstrip(os.sep.encode())))


def words_of(name: str) -> str:
    """A name as words: `stop_sign`, `StopSign`, `stop-sign` and `012.stop-sign` -> "stop sign".

    The case of letters is kept (CLIP's tokenizer lowers it). A name with spaces is words already.
    Bytes that are no UTF-8 become question marks: a model reads text.
    """
    return _in_words(name.encode("utf-8", "replace").decode())


def meaning_of(name: str) -> str:
    """What names have in common that differ only in case and separators.

    It keeps bytes that are no UTF-8, which `words_of` cannot: names that differ in one are two.
    """
    return _in_words(name).replace("-", " ").casefold()


def _in_words(name: str) -> str:
    readable = _CONTROL.sub(" ", name).strip()
    if " " not in readable:
        readable = _BREAKS.sub(" ", _CAMEL.sub(" ", _NUMBERED.sub("", readable)))
    return " ".join(readable.split()) or name


def _halves(text: str) -> tuple[str, str]:
    name, _, words = text.partition("=")
    return name.strip(), words.strip()


def _label(name: str, words: str, where: str) -> Label:
    """A checked label; without words of its own it is read as its name."""
    if len(name) > MAX_NAME or len(words) > MAX_NAME:
        raise UsageError(f"{where}: the label is too long", f"Use at most {MAX_NAME} characters")
    if _CONTROL.search(name + words):
        raise UsageError(f"{where}: the label holds a control character", "Is this a text file?")
    if not name:
        raise UsageError(f"{where}: there is no label before the words", "Write name=words")
    if not words and name.startswith("@"):
        words = name  # the name of a concept is no words: its dashes and underscores stay
    return Label(name, words or words_of(name))


def _distinct(labels: Iterable[tuple[str, Label]], source: str) -> tuple[Label, ...]:
    """All labels; a repeated one would share its probability with itself, so it is refused."""
    seen: dict[str, str] = {}
    found: list[Label] = []
    for where, label in labels:
        key = label.name.casefold()
        if key in seen:
            raise UsageError(
                f"{where}: '{label.name}' is there already, as {seen[key]}", "Give each label once"
            )
        if len(found) == MAX_LABELS:
            raise UsageError(f"{where}: over {MAX_LABELS:,} labels", "Use fewer")
        seen[key] = where
        found.append(label)
    if not found:
        raise UsageError(f"{source} gives no labels", "Write them like this: --labels cat,dog")
    return tuple(found)


def _decoded(lines: Iterable[bytes], name: str) -> Iterator[str]:
    """Lines of text; refuses what is too long or not UTF-8, by line number."""
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE_BYTES:
            raise UsageError(f"{name}, line {number}: over 1 MB long", "Is this a list of labels?")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{name}, line {number}: not UTF-8 text", "Save the file as UTF-8"
            ) from error


def _list(lines: Iterable[str], name: str) -> Iterator[tuple[str, Label]]:
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            where = f"{name}, line {number}"
            yield where, _label(*_halves(text), where)


def _table(lines: Iterable[str], name: str, delimiter: str) -> Iterator[tuple[str, Label]]:
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    name_column, words_column = 0, None
    first = True
    try:
        for row in rows:
            if first and (named := _columns(row)):
                name_column, words_column = named
            elif any(cell.strip() for cell in row):
                where = f"{name}, line {rows.line_num}"
                yield where, _label(_cell(row, name_column), _cell(row, words_column), where)
            first = False
    except csv.Error as error:
        where = f"{name}, line {rows.line_num}"
        raise UsageError(f"{where}: {error}", "Check the quotes") from error


def _columns(header: list[str]) -> tuple[int, int | None] | None:
    """Columns of names and words when this row is a header, else None."""
    cells = [cell.strip().lower() for cell in header]
    names = [i for i, cell in enumerate(cells) if cell in _NAME_COLUMNS]
    words = [i for i, cell in enumerate(cells) if cell in _WORDS_COLUMNS]
    return (names[0], words[0] if words else None) if names else None


def _cell(row: list[str], column: int | None) -> str:
    return row[column].strip() if column is not None and column < len(row) else ""
