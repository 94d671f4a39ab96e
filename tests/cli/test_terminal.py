"""On a terminal: nothing but what clipsearch itself draws, at any width."""

import os
import pty
import re
import struct
import subprocess
import termios
from fcntl import ioctl

import pytest

from tests.cli.program import Program

# What rich writes of its own: colours and weight, cursor visibility and moves, erased lines.
DRAWN = re.compile(rb"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[[0-9]*[A-D]|\x1b\[2?K|\r|\n")
EVIL = [
    "\x1b]52;c;ZXZpbA==\x07.png",
    "\x1b[2J\x1b[31m.png",
    "a\rb\x08\x7f.png",
    "\u009b31mc1.png",
    "rtl\u202egnp.exe.png",
    "zero\u200bwidth\ufeff.png",
    "line\nbreak\u2028.png",
]


def on_terminal(program: Program, *arguments: str, columns: int = 80) -> tuple[int, bytes]:
    """Run on a terminal of that width; exit code and every byte the terminal got."""
    leader, follower = pty.openpty()
    ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = program.environment(TERM="xterm-256color")
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        environment.pop(name, None)
    process = subprocess.Popen(
        program.command(*arguments),
        cwd=program.folder,
        env=environment,
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    got = b""
    while True:
        try:
            block = os.read(leader, 65536)
        except OSError:  # Linux answers so when the other end is closed
            break
        if not block:
            break
        got += block
    os.close(leader)
    return process.wait(timeout=60), got


def foreign_controls(got: bytes) -> list[str]:
    text = DRAWN.sub(b"", got).decode("utf-8")
    return [c for c in text if not c.isprintable()]


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Program:
    program = Program(tmp_path_factory.mktemp("evil"))
    for number, name in enumerate(EVIL):
        program.add(name, (200 + number, 0, 0))
    program.add(b"bytes\xff\x9b.png", "red")
    (program.album / "cut\x1b[2J.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    # Progress, problems and summary all go to the terminal too.
    code, got = on_terminal(program, "index", "album", "--model", "fake")
    assert code == 3
    assert foreign_controls(got) == []
    assert b"cut\\x1b[2J.jpg" in got
    return program


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "red"],
        ["search", "red", "--json"],
        ["search", "\x1b[2J", "-k1"],
        ["classify", "album", "--labels", "red,e\x1b[2Jvil=green"],
        ["classify", "album", "--labels", "red,green", "--csv"],
        ["library"],
        ["library", "roots"],
        ["library", "problems"],
        ["models"],
        ["index", "no\x1b[2Jwhere"],
        ["search", "red", "--no\x1b[2Jwhere"],
        ["serch\x1b[2J"],
    ],
    ids=lambda arguments: " ".join(arguments).replace("\x1b", "ESC"),
)
@pytest.mark.row("H1")
def test_no_control_byte_gets_through(arguments: list[str], evil: Program) -> None:
    _, got = on_terminal(evil, *arguments)
    assert got
    assert foreign_controls(got) == []


@pytest.mark.parametrize("columns", [1, 20, 300])
@pytest.mark.row("H5")
def test_paths_are_whole_at_any_width(columns: int, colours: Program) -> None:
    code, got = on_terminal(colours, "search", "red", "-k1", columns=columns)
    assert code == 0
    # The terminal may wrap the line; clipsearch must not, or the path could not be copied.
    title, line = DRAWN.sub(lambda m: m.group() if m.group() == b"\n" else b"", got).splitlines()
    assert title.split() == [b"score", b"taken", b"photo"]
    assert line.split() == [b"1.000", os.fsencode(colours.album / "red.png")]


def test_a_terminal_gets_titles_and_a_pipe_gets_tabs(colours: Program) -> None:
    _, got = on_terminal(colours, "search", "red", "-k1")
    assert b"score" in got
    assert colours.run("search", "red", "-k1").out.startswith("1.000\t")
