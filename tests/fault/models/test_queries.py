"""G9: any text that can be typed is a query with an answer, or exit code 2 with a line."""

import resource
import subprocess
from pathlib import Path

import pytest

from tests.cli.program import Program

pytestmark = pytest.mark.row("G9")
# One argument of a program may be 128 kB long on Linux; files of arguments are not read.
LONG = "a" * 100_000


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    program = Program(tmp_path_factory.mktemp("queries"))
    program.add_colours()
    program.index()
    return program


@pytest.mark.parametrize(
    "query",
    [
        "",
        LONG,
        "red " * 2_400,
        "🐶🏖️" * 200,
        b"red \x80\xff",
        "<|endoftext|><start_of_text>",
        "\x1b[2J\x01\u202e",
        "red^1e309",
        "@",
        '"',
        "in:" + "../" * 300,
        "photo:/dev/zero",
        "photo:/proc/self/mem",
        "file:///etc/passwd",
        "+a " * 60,
        "--help",
    ],
    ids=lambda query: repr(query)[:30].encode("ascii", "backslashreplace").decode(),
)
def test_a_query_is_answered_or_refused(program: Program, query: str | bytes) -> None:
    answer = program.run("search", "--json", "--", query)
    assert answer.code in (0, 1, 2), answer
    if answer.code == 2:
        lines = [line for line in answer.errors.splitlines() if not line.startswith("{")]
        assert len(lines) == 1, answer.errors
        assert lines[0].startswith("clipsearch: ")
        assert len(lines[0]) < 1000


def test_a_megabyte_is_refused_by_the_language_itself() -> None:
    from clipsearch.errors import QueryError
    from clipsearch.query import parse_query

    for text in ("a" * 1_000_000, "a " * 500_000, '"' * 1_000_000, "+" * 1_000_000):
        with pytest.raises(QueryError, match="1,000,000 characters"):
            parse_query(text)


def test_no_query_needs_more_time_than_it_has(program: Program) -> None:
    """The longest queries there may be, in 10 seconds of processor time with the start-up."""
    for query in ("+" * 9_999, '"a" ' * 2_499, "-@a^" * 2_499):
        done = subprocess.run(
            program.command("search", "--", query),
            env=program.environment(),
            cwd=program.folder,
            capture_output=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (10, 10)),
            check=False,
        )
        assert done.returncode in (0, 1, 2), done.stderr


def test_a_tokenizer_takes_what_the_language_lets_through(tmp_path: Path) -> None:
    open_clip = pytest.importorskip("open_clip")
    from clipsearch.encoders.token_rows import TokenRows
    from clipsearch.encoders.tokenizing import copy_tokenizer
    from tests.fuzz.query import SEEDS

    original = open_clip.get_tokenizer("ViT-B-32")
    facts = copy_tokenizer(original, 77, tmp_path / "tokenizer.json")
    tokens = TokenRows(tmp_path / "tokenizer.json", facts)
    texts = [seed.decode("utf-8", "surrogateescape") for seed in SEEDS] + ["a" * 9_999]
    rows = tokens.full_rows(texts)
    assert rows.shape == (len(texts), 77)
    assert (rows >= 0).all()
    assert (rows < 49408).all()
    # A special token that is typed must not end the text before its end.
    assert tokens.rows(["<end_of_text> dog"])[0][-2] == tokens.rows(["dog"])[0][-2]
