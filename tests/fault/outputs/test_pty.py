"""H1: a terminal gets no control byte but those that clipsearch draws with itself."""

import os
import random

import pytest

from clipsearch.cli.escape import visible_path
from tests.cli.program import Program
from tests.cli.test_escape import unescape
from tests.cli.test_terminal import foreign_controls, on_terminal
from tests.fault.outputs.hostile import NAMES, TEXTS

pytestmark = pytest.mark.row("H1")
ONE = "album/" + os.fsdecode(NAMES[-3][:-4] + b"/" + NAMES[3])


@pytest.mark.parametrize(
    "arguments",
    [
        ["index", "album", "--model", "fake", "--retry"],
        ["search", "red", "-k", "100"],
        ["search", "in:album", "camera:evil"],
        ["search", "red", "--json", "-k", "100"],
        ["search", "red\x1b[2J", "+./no\x1b]52;c;x\x07where.jpg"],
        ["search", TEXTS[2]],
        ["classify", "album", "--labels-file", "labels.csv", "-n", "3"],
        ["classify", "album", "--labels-file", "labels.csv", "--csv"],
        ["classify", "album", "--truth-from-folders"],
        ["why", "album"],
        ["why", f"./{ONE}"],
        ["library", "problems"],
        ["library", "check", "--read-data"],
        ["library", "forget", "no\x1b[2Jroot"],
        ["library", "--library", "no\x1b[2Jlibrary"],
        ["evaluate", "no\x9btable.csv", "--model", "fake"],
        ["models", "show", "\u202eevil"],
        ["teach", "\x1b[2J", "album"],
        ["index", "album", "--exclude", "\x1b[2J["],
    ],
    ids=lambda arguments: " ".join(arguments).encode("ascii", "backslashreplace").decode()[:40],
)
def test_every_command(hostile: Program, arguments: list[str]) -> None:
    code, got = on_terminal(hostile, *arguments)
    assert got
    assert foreign_controls(got) == []
    assert b"Traceback" not in got
    assert code in (0, 1, 2, 3, 4, 5, 6), got


def test_thousands_of_random_names_in_one_go(program: Program) -> None:
    dice = random.Random(8)
    names = {random_name(dice) for _ in range(400)}
    for name in names:
        with open(os.path.join(os.fsencode(program.album), name + b".jpg"), "wb") as file:
            file.write(b"\xff\xd8\xff cut" + name)
    code, got = on_terminal(program, "index", "album", "--model", "fake", columns=300)
    assert code == 3
    assert foreign_controls(got) == []
    code, got = on_terminal(program, "library", "problems", columns=2000)
    assert code == 0
    assert foreign_controls(got) == []
    shown = got.decode().replace("\r", "").replace("\n", "")
    for name in names:
        assert visible_path(name) in shown


@pytest.mark.nightly
def test_a_million_random_names() -> None:
    dice = random.Random(9)
    for _ in range(1_000_000):
        name = random_name(dice)
        shown = visible_path(name)
        assert shown.isprintable()
        assert unescape(shown).encode("utf-8", "surrogateescape") == name


def random_name(dice: random.Random) -> bytes:
    """A name of a few pieces, most of them hostile; never with what a file system refuses."""
    pieces = [*(text.encode() for text in TEXTS), b"a", b".", b" ", b"\xff", dice.randbytes(3)]
    name = b"".join(dice.choices(pieces, k=dice.randint(1, 4)))
    kept = name.replace(b"/", b"").replace(b"\0", b"")[:200]
    # A name that begins with a dot is hidden.
    return b"x" + kept + b"%x" % dice.getrandbits(32)


@pytest.fixture
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return Program(tmp_path_factory.mktemp("names"))
