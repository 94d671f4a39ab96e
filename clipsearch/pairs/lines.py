"""Lines of a text file that may be anything: bounded, and refused by number."""

import os
from collections.abc import Iterator
from typing import BinaryIO

from clipsearch.errors import UsageError

MAX_LINE_BYTES = 1_000_000


def text_lines(file: BinaryIO, name: str) -> Iterator[str]:
    """Each line of UTF-8 text, with its line end; a byte order mark is left out.

    Raises UsageError with the line's number for over 1 MB, a NUL byte, or what is not UTF-8.
    """
    lines = iter(lambda: file.readline(MAX_LINE_BYTES + 1), b"")
    for number, line in enumerate(lines, 1):
        where = f"{name}, line {number}"
        if len(line) > MAX_LINE_BYTES:
            raise UsageError(f"{where}: over 1 MB long", "Is this a list of photos and captions?")
        if b"\0" in line:
            raise UsageError(f"{where}: holds a NUL byte", "Save the file as UTF-8 text")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(f"{where}: not UTF-8 text", "Save the file as UTF-8") from error


def open_text(path: str) -> BinaryIO:
    """A file to read lines from. Raises UsageError when it cannot be opened."""
    try:
        return open(path, "rb")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "Check the path") from error


def caption_lines(text: str) -> tuple[str, ...]:
    """The captions of a text that has one a line."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def short_name(path: str) -> str:
    """The last part of a path, for messages."""
    return os.path.basename(path) or path
