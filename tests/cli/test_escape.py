"""No name may reach the terminal raw, and no two names may come out the same."""

import base64
import csv
import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipsearch.cli.escape import csv_cell, json_line, path_fields, visible, visible_path

HARMLESS = ["photo.jpg", "my photo (1).jpg", "Zürich", "猫.png", "عربى", "🐈.webp", "a'b\"c", ""]
HARMFUL = {
    "\x1b[2J": "\\x1b[2J",
    "\x1b]0;title\x07": "\\x1b]0;title\\x07",
    "a\nb": "a\\nb",
    "a\rb": "a\\rb",
    "tab\t": "tab\\t",
    "\x7f": "\\x7f",
    "\x9b31m": "\\u009b31m",
    "abc\u202egpj.exe": "abc\\u202egpj.exe",
    "\u2066x\u2069": "\\u2066x\\u2069",
    "a\u200bb": "a\\u200bb",
    "a\u00a0b": "a\\u00a0b",
    "line\u2028end": "line\\u2028end",
    "\ufeff": "\\ufeff",
    "\u3164": "\\u3164",
    "\ufe0f": "\\ufe0f",
    "\U000e0001": "\\U000e0001",
    "back\\slash": "back\\\\slash",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_names_stay_as_they_are(name: str) -> None:
    assert visible(name) == name


@pytest.mark.parametrize("name", HARMFUL)
def test_what_is_not_drawn_is_escaped(name: str) -> None:
    assert visible(name) == HARMFUL[name]


def test_bytes_and_halves_of_characters_are_escaped() -> None:
    assert visible(b"\xff".decode("utf-8", "surrogateescape")) == "\\xff"
    assert visible(chr(0xD800)) == "\\ud800"


def test_a_byte_and_the_character_of_the_same_number_differ() -> None:
    assert visible_path(b"\x85.jpg") == "\\x85.jpg"
    assert visible_path("\x85.jpg".encode()) == "\\u0085.jpg"
    assert visible_path(b"\\x85.jpg") == "\\\\x85.jpg"


def unescape(text: str) -> str:
    """The inverse of `visible`, written apart from it: it exists only if nothing was lost."""
    out, position = [], 0
    short = {"\\": "\\", "n": "\n", "r": "\r", "t": "\t"}
    while position < len(text):
        character = text[position]
        position += 1
        if character != "\\":
            out.append(character)
            continue
        kind = text[position]
        position += 1
        if kind in short:
            out.append(short[kind])
            continue
        digits = {"x": 2, "u": 4, "U": 8}[kind]
        code = int(text[position : position + digits], 16)
        position += digits
        out.append(chr(code + 0xDC00) if kind == "x" and code >= 0x80 else chr(code))
    return "".join(out)


@given(st.text(st.characters(codec=None)))
@pytest.mark.row("H1")
def test_visible_loses_nothing_and_lets_nothing_through(name: str) -> None:
    shown = visible(name)
    assert unescape(shown) == name
    assert all(unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in shown)


@given(st.binary())
def test_paths_of_any_bytes_come_back(path: bytes) -> None:
    assert unescape(visible_path(path)).encode("utf-8", "surrogateescape") == path


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)", "＝1", "'=1"])
@pytest.mark.row("H2")
def test_formulas_are_neutralised(start: str) -> None:
    assert csv_cell(start) == "'" + start


def test_cells_that_begin_with_control_characters_are_no_formula() -> None:
    assert csv_cell("\t=1") == "\\t=1"
    assert csv_cell("\r=1") == "\\r=1"
    assert csv_cell("1=1") == "1=1"


@given(st.lists(st.text(st.characters(codec=None)), min_size=1))
@pytest.mark.row("H2")
def test_csv_rows_come_back_and_cells_are_injective(cells: list[str]) -> None:
    file = io.StringIO()
    csv.writer(file).writerow([csv_cell(cell) for cell in cells])
    (row,) = csv.reader(io.StringIO(file.getvalue()))
    assert [unescape(cell.removeprefix("'")) for cell in row] == cells
    assert all(cell[:1] not in set("=+-@\t\r") for cell in row if cell)


@given(st.binary(), st.text(st.characters(codec=None)))
@pytest.mark.row("H4")
def test_json_lines_are_printable_utf8_and_come_back(path: bytes, label: str) -> None:
    line = json_line({**path_fields(path), "label": label})
    assert line.isprintable()
    line.encode("utf-8")
    record = json.loads(line)
    exact = base64.b64decode(record["path_bytes"]) if "path_bytes" in record else None
    assert (exact if exact is not None else record["path"].encode()) == path
    assert record["label"] == label


def test_json_line_refuses_what_is_no_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_line({"score": float("nan")})
