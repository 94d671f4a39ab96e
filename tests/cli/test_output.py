"""What commands write, and where it goes: to files, programs, terminals, and nowhere."""

import csv
import io
import json
import os
import re
import sys
from types import SimpleNamespace

import pytest

from clipsearch.cli import output
from clipsearch.cli.output import (
    Column,
    counted,
    note,
    note_json,
    prepare_streams,
    say,
    say_csv,
    say_json,
    say_table,
    write_bytes,
)


class Stream(io.TextIOWrapper):
    """A standard stream that remembers what it was given, on a terminal or not."""

    def __init__(self, *, terminal: bool = False, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    @property
    def got(self) -> bytes:
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue()

    @property
    def lines(self) -> list[str]:
        """What was written, without the titles' weight and what is blank at the end of a line."""
        text = re.sub(r"\x1b\[[0-9;]*m", "", self.got.decode())
        return [line.rstrip(" ") for line in text.splitlines()]


# Put in place by the tests themselves: pytest puts its own there between a fixture and the test.
def put_in_place(monkeypatch: pytest.MonkeyPatch, name: str, stream: Stream) -> Stream:
    monkeypatch.setattr(sys, name, stream)
    return stream


def test_results_and_notes_go_to_their_own_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    out = put_in_place(monkeypatch, "stdout", Stream())
    errors = put_in_place(monkeypatch, "stderr", Stream())
    say("one")
    say()
    note("beside")
    say_json({"path": "猫\u202e.png"})
    note_json({"done": 1})
    write_bytes(b"\xff\0")
    lines = out.got.split(b"\n")
    assert lines[:2] == [b"one", b""]
    assert json.loads(lines[2]) == {"path": "猫\u202e.png"}
    assert "\u202e" not in lines[2].decode()
    assert lines[3:] == [b"\xff\0"]
    assert errors.lines == ["beside", '{"done": 1}']


def test_json_is_utf_8_whatever_the_terminal_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = put_in_place(monkeypatch, "stdout", Stream(encoding="ascii"))
    say_json({"path": "猫.png"})
    assert json.loads(stream.got) == {"path": "猫.png"}


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [("Zürich", "ascii", b"Z\\u00fcrich"), ("🐈", "latin-1", b"\\U0001f408"), ("é", "utf-8", "é")],
)
def test_what_an_encoding_has_no_character_for_is_escaped(
    monkeypatch: pytest.MonkeyPatch, text: str, encoding: str, shown: bytes | str
) -> None:
    stream = put_in_place(monkeypatch, "stdout", Stream(encoding=encoding))
    put_in_place(monkeypatch, "stderr", Stream(encoding=encoding))
    prepare_streams()
    say(text)
    assert stream.got == (shown.encode() if isinstance(shown, str) else shown) + b"\n"


def test_bytes_that_are_no_text_are_not_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(monkeypatch, "stdout", Stream())
    put_in_place(monkeypatch, "stderr", Stream())
    prepare_streams()
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("utf-8", "visible")


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_stream_that_was_closed_before_the_program_began_is_opened_again(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Results that have nowhere to go must not pass for delivered; messages may be lost."""
    put_in_place(monkeypatch, "stdout", Stream())
    put_in_place(monkeypatch, "stderr", Stream())
    descriptor = {"stdout": 1, "stderr": 2}[name]
    opened = []

    def closed(number: int) -> os.stat_result:
        if number == descriptor:
            raise OSError(9, "Bad file descriptor")
        return os.fstat(number)

    def open_next(path: str, flags: int) -> int:
        opened.append((path, flags))
        return descriptor

    stand_in = SimpleNamespace(**{**vars(os), "fstat": closed, "open": open_next})
    monkeypatch.setattr(output, "os", stand_in)
    monkeypatch.setattr(sys, name, None)
    prepare_streams()
    assert opened == [(os.devnull, os.O_RDONLY if name == "stdout" else os.O_RDWR)]
    assert getattr(sys, name).fileno() == descriptor


def test_a_number_with_its_noun() -> None:
    assert [counted(n, "photo") for n in (0, 1, 2000)] == ["0 photos", "1 photo", "2,000 photos"]


def test_a_table_for_a_program_is_tabs(monkeypatch: pytest.MonkeyPatch) -> None:
    out = put_in_place(monkeypatch, "stdout", Stream())
    say_table([Column("a"), Column("path", whole=True)], [("1", "x\ty"), ("2", "z\n")])
    assert out.lines == ["1\tx\\ty", "2\tz\\n"]


def test_a_table_on_a_terminal_is_aligned_and_takes_no_markup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = put_in_place(monkeypatch, "stdout", Stream(terminal=True))
    monkeypatch.setenv("COLUMNS", "40")
    say_table(
        [Column("name"), Column("n", "right")], [("[bold]x[/bold]", "1"), ("猫\x1b[2J", "20")]
    )
    assert terminal.lines == [
        "name             n",
        "[bold]x[/bold]   1",
        "猫\\x1b[2J       20",
    ]


def test_a_path_on_a_narrow_terminal_stays_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = put_in_place(monkeypatch, "stdout", Stream(terminal=True))
    monkeypatch.setenv("COLUMNS", "40")
    path = "/photos/" + "long/" * 20 + "猫.jpg"
    say_table(
        [Column("score", "right"), Column("label"), Column("path", whole=True)],
        [("0.5", "猫", path), ("10.25", "a cat", "b.jpg")],
    )
    assert terminal.lines == [
        "score  label  path",
        f"  0.5  猫     {path}",
        "10.25  a cat  b.jpg",
    ]


@pytest.mark.parametrize("whole", [True, False])
def test_a_terminal_of_no_width_gets_its_table(
    monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """COLUMNS=0 once left nothing of a table, and exit code 0."""
    terminal = put_in_place(monkeypatch, "stdout", Stream(terminal=True))
    monkeypatch.setenv("COLUMNS", "0")
    say_table([Column("name", whole=whole)], [("a.jpg",)])
    assert terminal.lines == ["name", "a.jpg"]


def test_csv_reads_back_and_starts_no_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    out = put_in_place(monkeypatch, "stdout", Stream())
    rows = [("=1+1", 'a "quoted", name'), ("+猫", "line\nbreak"), ("plain", "")]
    say_csv(["label", "path"], rows)
    assert list(csv.reader(io.StringIO(out.got.decode()))) == [
        ["label", "path"],
        ["'=1+1", 'a "quoted", name'],
        ["'+猫", "line\\nbreak"],
        ["plain", ""],
    ]
