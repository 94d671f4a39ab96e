"""What commands write: lines, JSON lines, raw paths, and tables that suit where they go.

Results go to standard output, everything else to standard error. Text that came from photos, file
names or labels must have gone through `escape` before it is handed to `say` or `note`; tables and
JSON lines do that themselves.
"""

import codecs
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TextIO

from clipsearch.cli.escape import csv_cell, json_line, visible

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. Numbers are best aligned to the right, where they are never wrapped.

    A path is `whole`: broken over lines of a table it could not be copied. Such a column is the
    last one.
    """

    title: str
    align: Literal["left", "right"] = "left"
    whole: bool = False


def prepare_streams() -> None:
    """Let both streams write any character, escaped where their encoding has none for it."""
    _open_closed_streams()
    codecs.register_error("visible", _escape_unencodable)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="visible")  # type: ignore[union-attr]  # text files both


def _open_closed_streams() -> None:
    """Open what was closed before the program began: a file must never get one of these numbers."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is given, and those below are taken by now. Results that have
            # nowhere to go must not pass for delivered: standard output cannot be written.
            os.open(os.devnull, os.O_RDONLY if descriptor == 1 else os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (it stays open)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _escape_unencodable(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    escapes = (
        f"\\u{ord(character):04x}" if ord(character) <= 0xFFFF else f"\\U{ord(character):08x}"
        for character in characters
    )
    return "".join(escapes), error.end


def say(line: str = "") -> None:
    """One line of result."""
    with _named():
        sys.stdout.write(line + "\n")


def flush() -> None:
    """Write what was said and still waits."""
    with _named():
        sys.stdout.flush()


@contextmanager
def _named() -> Iterator[None]:
    """A failed write says where to: the system's error names no file."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or "standard output"
        raise


def note(line: str) -> None:
    """One line beside the result, on standard error; results written before it appear before it."""
    flush()
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def counted(count: int, noun: str) -> str:
    """A number with its noun: "1 photo", "2,000 photos"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def say_json(record: Mapping[str, object]) -> None:
    """One JSON object as a line of result: UTF-8 whatever the terminal's encoding is."""
    write_bytes(json_line(record).encode("utf-8") + b"\n")


def note_json(record: Mapping[str, object]) -> None:
    """One JSON object as a line on standard error, for programs that follow what happens."""
    note(json_line(record))


def write_bytes(data: bytes) -> None:
    """Raw bytes of result, such as paths for `xargs -0`."""
    with _named():
        sys.stdout.flush()
        sys.stdout.buffer.write(data)


def say_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """A table: with titles and aligned on a terminal, otherwise one tab between two columns."""
    shown = [[visible(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in shown:
            say("\t".join(row))
    elif columns[-1].whole:
        _draw_lines(columns, shown, sys.stdout)
    else:
        _draw_table(columns, shown, sys.stdout)


def say_csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """CSV with a header line; cells are made safe for spreadsheets."""
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    with _named():
        writer.writerow(columns)
        for row in rows:
            writer.writerow([csv_cell(cell) for cell in row])


def _draw_table(columns: Sequence[Column], rows: list[list[str]], stream: TextIO) -> None:
    # Imported here: rich takes longer to import than everything else in this room together.
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(
            column.title, justify=column.align, no_wrap=column.align == "right", overflow="fold"
        )
    for row in rows:
        # Text, not strings: rich would take brackets in file names for its markup.
        table.add_row(*map(Text, row))
    _console(stream).print(table)


def _draw_lines(columns: Sequence[Column], rows: list[list[str]], stream: TextIO) -> None:
    """Aligned columns, but lines as long as they are: the terminal itself may wrap them."""
    from rich.cells import cell_len
    from rich.text import Text

    titles = [column.title for column in columns]
    widths = [max(map(cell_len, cells)) for cells in zip(titles, *rows, strict=True)]
    console = _console(stream)
    for row, style in ((titles, "bold"), *((row, "") for row in rows)):
        padded = [
            " " * (width - cell_len(cell)) + cell
            if column.align == "right"
            else cell + " " * (width - cell_len(cell))
            for cell, width, column in zip(row, widths, columns, strict=True)
        ]
        console.print(Text("  ".join(padded).rstrip(), style), soft_wrap=True)


def _console(stream: TextIO) -> "Console":
    from rich.console import Console

    console = Console(file=stream, highlight=False)
    # COLUMNS=0 says that nobody knows; rich would draw nothing at all.
    console.width = console.width or 80
    return console
