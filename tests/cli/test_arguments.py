"""A query's words and the options are told apart, in every order."""

import pytest

from clipsearch.cli.arguments import options_first
from clipsearch.errors import UsageError

FLAGS = {"--json", "--print0", "-0", "--open", "--help", "-h", "--no-cache"}
WITH_VALUE = {"-k", "--top-k", "--min-score", "--copy-to", "--library"}

TABLE = {
    "dog": ([], ["dog"]),
    "a dog --json": (["--json"], ["a", "dog"]),
    "--json dog": (["--json"], ["dog"]),
    "beach -people": ([], ["beach", "-people"]),
    "-people": ([], ["-people"]),
    "beach +./rex.jpg -people in:2023": ([], ["beach", "+./rex.jpg", "-people", "in:2023"]),
    "-k5 dog": (["-k", "5"], ["dog"]),
    "-k=5 dog": (["-k", "5"], ["dog"]),
    "dog -k 5": (["-k", "5"], ["dog"]),
    "dog -k -5": (["-k", "-5"], ["dog"]),
    "dog -k-5": (["-k", "-5"], ["dog"]),
    "dog --top-k 5 red": (["--top-k", "5"], ["dog", "red"]),
    "dog --top-k=5": (["--top-k=5"], ["dog"]),
    "-kitten dog": ([], ["-kitten", "dog"]),
    "-k9": (["-k", "9"], []),
    "-k9s": ([], ["-k9s"]),
    "-0 dog": (["-0"], ["dog"]),
    "-h": (["-h"], []),
    "-hat": ([], ["-hat"]),
    "-0.5*dog": ([], ["-0.5*dog"]),
    "-./rex.jpg": ([], ["-./rex.jpg"]),
    "-": ([], ["-"]),
    "--jsn dog": (["--jsn"], ["dog"]),
    "--people dog": (["--people"], ["dog"]),
    "--copy-to -x dog": (["--copy-to", "-x"], ["dog"]),
    "-- --json -k 5": ([], ["--json", "-k", "5"]),
    "dog -- -json": ([], ["dog", "-json"]),
    "-K5 dog": ([], ["-K5", "dog"]),
    "-x5 dog": ([], ["-x5", "dog"]),
}


@pytest.mark.parametrize("line", TABLE)
def test_options_and_words(line: str) -> None:
    options, words = TABLE[line]
    ordered = options_first(line.split(), flags=FLAGS, with_value=WITH_VALUE)
    assert ordered == [*options, "--", *words]


def test_the_mark_between_options_and_words_is_never_a_value() -> None:
    with pytest.raises(UsageError, match="--copy-to needs a value"):
        options_first(["dog", "--copy-to"], flags=FLAGS, with_value=WITH_VALUE)


def test_a_phrase_with_a_leading_dash_is_a_word() -> None:
    ordered = options_first(["beach", "-two dogs"], flags=FLAGS, with_value=WITH_VALUE)
    assert ordered == ["--", "beach", "-two dogs"]


@pytest.mark.parametrize("argument", ["-json", "-print0", "-top-k", "-copy-to", "-library"])
def test_an_option_with_one_dash_is_not_guessed_at(argument: str) -> None:
    with pytest.raises(UsageError, match=f"-- {argument}"):
        options_first(["dog", argument], flags=FLAGS, with_value=WITH_VALUE)
