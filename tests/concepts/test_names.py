import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipsearch.concepts.names import MAX_NAME, as_typed, concept_name, unknown_concept
from clipsearch.errors import UsageError
from clipsearch.query import Term, parse_query


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("rex", "rex"),
        ("@rex", "rex"),
        ("  our   kitchen ", "our kitchen"),
        ("Tom & Jerry's", "Tom & Jerry's"),
        ("zoe\u0308", "zoë"),
        ("狗 2", "狗 2"),
        ("2024-trip_1", "2024-trip_1"),
        ("नमस्ते", "नमस्ते"),
    ],
)
def test_names(typed: str, name: str) -> None:
    assert concept_name(typed) == name


@pytest.mark.parametrize(
    "typed",
    ["", " ", "@", "-rex", "'rex", "a\x1b[2J", "a\nb\x00", 'a"b', "a^2", "a,b", "a=b", "a/b", "a.b",
     "a:b", "a\u202eb", "a\u200bb", "a\ud800", "@@a", "a" * (MAX_NAME + 1)],
)  # fmt: skip
def test_names_that_cannot_be_typed_or_shown_are_refused(typed: str) -> None:
    with pytest.raises(UsageError):
        concept_name(typed)


@given(st.text(max_size=MAX_NAME + 5))
def test_every_name_that_is_kept_can_be_searched_for(typed: str) -> None:
    try:
        name = concept_name(typed)
    except UsageError:
        return
    assert name.isprintable()
    assert parse_query(as_typed(name)).terms == (Term("concept", name),)
    assert parse_query(f"x -{as_typed(name)}^2").terms[1] == Term("concept", name, -2)
    assert unicodedata.is_normalized("NFC", name)


def test_near_names_are_told() -> None:
    said = str(unknown_concept("rax", ["Rex", "our kitchen", "piano"]))
    assert "@rax" in said
    assert "@Rex" in said
    assert "piano" not in said
    assert '@"our kitchen"' in str(unknown_concept("our", ["our kitchen"]))
    assert "teach --list" in str(unknown_concept("xyz", ["our kitchen"]))
    assert "teach xyz PHOTO" in str(unknown_concept("xyz", []))
