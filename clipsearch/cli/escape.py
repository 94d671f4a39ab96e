"""Text from photos, file names and labels, made safe for where it is shown.

A file name may hold anything: escape sequences that rewrite the terminal's title, characters that
turn the direction of the text, a formula for a spreadsheet. Each place it is written to has its own
escaper, and each escaper is injective: two names never come out the same.
"""

import base64
import json
import re
from collections.abc import Mapping

# Characters that `str.isprintable` accepts although nothing, or only blank space, is drawn:
# combining grapheme joiner, Hangul fillers, Khmer inherent vowels, Mongolian and other variation
# selectors, the empty Braille pattern. (Controls, bidi marks, zero-width spaces, surrogates and
# unassigned characters are not printable to begin with.)
_DRAWS_NOTHING = frozenset(
    map(
        chr,
        [
            0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800,
            0x3164, 0xFFA0, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0),
        ],
    )
)  # fmt: skip
_SHORT = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
# What makes a spreadsheet take a cell for a formula; also its full-width forms. The apostrophe is
# here because it is the mark that is put in front: otherwise "'=1" and "=1" would look the same.
_FORMULA_START = frozenset("=+-@\t\r\n'＝＋－＠")


def visible(text: str) -> str:
    """`text` with everything that is not drawn as itself written as a backslash escape.

    Bytes that are not UTF-8 (surrogate escapes) become `\\xff`, a backslash becomes two.
    """
    if text.isprintable() and text.isascii() and "\\" not in text:
        return text
    return "".join(map(_visible_character, text))


def visible_path(path: bytes) -> str:
    """A path for people to read: see `visible`."""
    return visible(path.decode("utf-8", "surrogateescape"))


def _visible_character(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if character.isprintable() and character not in _DRAWS_NOTHING:
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:
        # Python's surrogate escape of one byte: the byte itself is what is on the disk.
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def csv_cell(text: str) -> str:
    """`text` for a spreadsheet: visible, and with an apostrophe where it could be a formula."""
    shown = visible(text)
    return f"'{shown}" if shown[:1] in _FORMULA_START and shown else shown


def path_fields(path: bytes) -> dict[str, str]:
    """The fields by which a JSON line names a photo.

    `path` is always valid text; when the name is not UTF-8, `path_bytes` has it in base64.
    """
    try:
        return {"path": path.decode("utf-8")}
    except UnicodeDecodeError:
        return {
            "path": path.decode("utf-8", "replace"),
            "path_bytes": base64.b64encode(path).decode("ascii"),
        }


def json_line(record: Mapping[str, object]) -> str:
    """One JSON object without a line break, in printable characters only."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    # Outside of strings JSON is plain ASCII, so every character found here is inside one.
    return re.sub(r"[^ -~]", _json_escape, text)


def _json_escape(match: re.Match[str]) -> str:
    character = match.group()
    if character.isprintable() and character not in _DRAWS_NOTHING:
        return character
    return json.dumps(character)[1:-1]
