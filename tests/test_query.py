import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipsearch.errors import QueryError
from clipsearch.query import MAX_LENGTH, MAX_TERMS, Query, Term, parse_query
from clipsearch.types import PhotoFilter

FILES = {"rex.jpg", "my dog.jpg", "dog", "odd.v^2", "sub/rex"}


def is_file(path: str) -> bool:
    return path in FILES


def text(value: str, weight: float = 1.0) -> Term:
    return Term("text", value, weight)


def photo(value: str, weight: float = 1.0) -> Term:
    return Term("photo", value, weight)


def concept(value: str, weight: float = 1.0) -> Term:
    return Term("concept", value, weight)


@pytest.mark.parametrize(
    ("typed", "terms"),
    [
        ("a dog on the beach", [text("a dog on the beach")]),
        ("  a\tdog\n", [text("a dog")]),
        ('"a dog" "on the beach"', [text("a dog on the beach")]),
        ("beach +sunset -people", [text("beach"), text("sunset"), text("people", -0.5)]),
        ("-people beach", [text("beach"), text("people", -0.5)]),
        ('beach -"many people"', [text("beach"), text("many people", -0.5)]),
        ("a dog -people on grass", [text("a dog on grass"), text("people", -0.5)]),
        # photos
        ("./rex.jpg", [photo("./rex.jpg")]),
        ("../x", [photo("../x")]),
        ("~/a.png", [photo("~/a.png")]),
        ("~ann/a.png", [photo("~ann/a.png")]),
        ("/photos/a", [photo("/photos/a")]),
        ("C:\\a.jpg", [photo("C:\\a.jpg")]),
        ("c:/a.jpg", [photo("c:/a.jpg")]),
        ("\\\\server\\a.jpg", [photo("\\\\server\\a.jpg")]),
        ("photo:dog", [photo("dog")]),
        ('photo:"my dog"', [photo("my dog")]),
        ("rex.jpg", [photo("rex.jpg")]),
        ("sub/rex", [photo("sub/rex")]),
        ('"my dog.jpg"', [photo("my dog.jpg")]),
        ("dog", [text("dog")]),
        ("other.jpg", [text("other.jpg")]),
        ("beach -./rex.jpg", [text("beach"), photo("./rex.jpg", -0.5)]),
        ("text:./rex.jpg", [text("./rex.jpg")]),
        ("24/7", [text("24/7")]),
        ("this / that", [text("this / that")]),
        # concepts
        ("@rex", [concept("rex")]),
        ("+@rex", [concept("rex")]),
        ("beach @rex at night", [text("beach at night"), concept("rex")]),
        ("beach -@rex", [text("beach"), concept("rex", -0.5)]),
        ("@rex^2 -@max^.5", [concept("rex", 2), concept("max", -0.5)]),
        ('@"our kitchen"^2 -@"the cat"', [concept("our kitchen", 2), concept("the cat", -0.5)]),
        ("@our kitchen", [text("kitchen"), concept("our")]),
        ("@t-shirt", [concept("t-shirt")]),
        ("@cafe\u0301", [concept("café")]),
        ('"@rex" text:@max', [text("@rex @max")]),
        ("me @ home rex@home", [text("me @ home rex@home")]),
        ("./@rex.jpg", [photo("./@rex.jpg")]),
        # weights
        ("beach^2", [text("beach", 2)]),
        ("a red car^.5 +./rex.jpg^0.25", [text("a red car", 0.5), photo("./rex.jpg", 0.25)]),
        ('"a red car"^3', [text("a red car", 3)]),
        ("beach -people^2", [text("beach"), text("people", -2)]),
        ('"x^2"', [text("x^2")]),
        ("x^y x^2y x^ e^nano", [text("x^y x^2y x^ e^nano")]),
        ('"x^-1"', [text("x^-1")]),
        ("beach^1e1", [text("beach", 10)]),
        ("^_^", [text("^_^")]),
        ("see odd.v^2", [text("see"), photo("odd.v^2")]),
        # ordinary words that look like something
        ("ratio 3:2", [text("ratio 3:2")]),
        ("12:30 o'clock", [text("12:30 o'clock")]),
        ("on:off it:is water:blue", [text("on:off it:is water:blue")]),
        ("t-shirt", [text("t-shirt")]),
        ("rock + roll - blues", [text("rock + roll - blues")]),
        ('5" disk', [text('5" disk')]),
        ('"in:2023"', [text("in:2023")]),
        ('"-people"', [text("-people")]),
        ("😀 👨‍👩‍👧", [text("😀 👨‍👩‍👧")]),
        ("cafe\u0301", [text("café")]),
        ("a\0b", [text("a b")]),
        ("a\ud800", [text("a\ufffd")]),
    ],
)
def test_terms(typed: str, terms: list[Term]) -> None:
    assert parse_query(typed, is_file) == Query(tuple(terms))


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("in:2023", PhotoFilter(folders=("2023",))),
        ("in:2023 in:2024", PhotoFilter(folders=("2023", "2024"))),
        ('in:"my folder" -in:Trash', PhotoFilter(("my folder",), ("Trash",))),
        ("in:~/Pictures", PhotoFilter(folders=("~/Pictures",))),
        ("IN:2023", PhotoFilter(folders=("2023",))),
        ("in:2^2", PhotoFilter(folders=("2^2",))),
        ("after:2022", PhotoFilter(after=date(2022, 1, 1))),
        ("after:2022-06", PhotoFilter(after=date(2022, 6, 1))),
        ("before:2022-06-05", PhotoFilter(before=date(2022, 6, 5))),
        ("after:2023 before:2024", PhotoFilter(after=date(2023, 1, 1), before=date(2024, 1, 1))),
        ('camera:"Canon EOS"', PhotoFilter(camera="Canon EOS")),
    ],
)
def test_filters(typed: str, wanted: PhotoFilter) -> None:
    assert parse_query(typed, is_file) == Query((), wanted)
    assert parse_query(f"sea {typed}", is_file) == Query((text("sea"),), wanted)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        ('""', "empty"),
        ("\0", "empty"),
        ("-people", "only leaves things out"),
        ("-people in:2023", "only leaves things out"),
        ('"beach', "not closed"),
        ('"beach"s', "not closed"),
        ("in: 2023", "nothing follows in:"),
        ('in:""', "nothing follows in:"),
        ('sea -""', "nothing follows -"),
        ("sea +@", "nothing follows +@. Write +@rex"),
        ("sea -@", "nothing follows -@. Write -@rex"),
        ("sea photo:", "nothing follows photo:"),
        ('-photo:" "', "nothing follows -"),
        ('sea photo:" "', "nothing follows photo:"),
        ("after:yesterday", "after:yesterday is no date"),
        ("after:2023-02-30", "is no date"),
        ("after:23", "is no date"),
        ("after:0000", "is no date"),
        ("after:２０２３", "is no date"),
        ("after:2024 before:2024", "no day is both"),
        ("after:2023 after:2024", "given twice"),
        ("-after:2023", "takes no -"),
        ("+in:2023", "takes no +"),
        ("befor:2023", "no filter befor:"),
        ("aftre:2023", "no filter aftre:"),
        ("camra:X100", "no filter camra:"),
        ("since:2023", "no filter since:"),
        ("folder:x", "no filter folder:"),
        ("beach^2 sunset", "weight stands inside"),
        ("beach^0", "no weight"),
        ("beach^101", "no weight"),
        ('"beach"^nan', "no weight"),
        ("beach^nan", "nan is no weight"),
        ("beach^NaN", "NaN is no weight"),
        ("beach^inf", "inf is no weight"),
        ("beach^-Infinity", "-Infinity is no weight"),
        ("beach^1e400", "1e400 is no weight"),
        ("beach^1e", "1e is no weight"),
        ("beach^-1", "-1 is no weight"),
        ("beach^1,5", "1,5 is no weight"),
        ("beach^1.2.3", "1.2.3 is no weight"),
        ("beach^50%", "50% is no weight"),
        ("sea ./rex.jpg^-1", "-1 is no weight"),
        ("sea -@rex^nan", "nan is no weight"),
        ("https://example.org/a.jpg", "not fetched"),
        ("in:a\0b", "NUL"),
        ("./a\0b", "NUL"),
        ("a" * (MAX_LENGTH + 1), "10,001 characters"),
        ("+a " * (MAX_TERMS + 1), "51 terms"),
    ],
)
@pytest.mark.row("G9")
def test_refused(typed: str, message: str) -> None:
    with pytest.raises(QueryError, match=re.escape(message)):
        parse_query(typed, is_file)


@pytest.mark.parametrize(
    ("arguments", "typed"),
    [
        (["a", "dog", "on", "the", "beach"], "a dog on the beach"),
        (["a dog on the beach"], "a dog on the beach"),
        (["beach", "+./rex.jpg", "-people", "in:2023"], "beach +./rex.jpg -people in:2023"),
        (["a dog -people in:2023"], "a dog -people in:2023"),
        (["beach", "-many people"], 'beach -"many people"'),
        (["beach", "-many people^0.5"], 'beach -"many people"^0.5'),
        (["a red car^2", "+sunset"], '"a red car"^2 +sunset'),
        (["sea", "in:my folder"], 'sea in:"my folder"'),
        (["sea", "camera:Canon EOS"], 'sea camera:"Canon EOS"'),
        (["sea", "./my dog.jpg"], 'sea photo:"./my dog.jpg"'),
        (["my dog.jpg"], '"my dog.jpg"'),
        (["sea", "my dog.jpg"], 'sea "my dog.jpg"'),
        (['-"many people" sea', "in:2023"], '-"many people" sea in:2023'),
    ],
)
def test_shell_arguments_mean_the_same_as_one_string(arguments: list[str], typed: str) -> None:
    assert parse_query(arguments, is_file) == parse_query(typed, is_file)


MARKS = st.sampled_from(["+", "-", '"', "^", ":", "./", "in:", "after:", "2023", " ", "photo:"])
TYPED = st.lists(MARKS | st.text(max_size=4) | st.characters(), max_size=12).map("".join)


@given(TYPED)
@pytest.mark.row("G9")
def test_anything_typed_is_a_query_or_refused(typed: str) -> None:
    try:
        query = parse_query(typed, is_file)
    except QueryError:
        return
    assert query.terms or query.filter != PhotoFilter()
    assert all(0 < abs(term.weight) <= 100 for term in query.terms)
    assert all("\0" not in term.value and term.value for term in query.terms)
    assert not query.terms or any(term.weight > 0 for term in query.terms)
    for term in query.terms:
        if term.kind == "text":
            term.value.encode("utf-8")  # no lone surrogates reach a tokenizer


WORDS = st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=1, max_size=5)


@given(WORDS, WORDS, WORDS)
def test_terms_come_back_as_they_were_written(
    phrase: list[str], more: list[str], less: list[str]
) -> None:
    signed = [f"+{word}" for word in more] + [f'-"{" ".join(less)}"']
    expected = (text(" ".join(phrase)), *map(text, more), text(" ".join(less), -0.5))
    assert parse_query(" ".join([*phrase, *signed])).terms == expected
    assert parse_query(" ".join([*signed, *phrase])).terms == expected


def is_concept(name: str) -> bool:
    return name == "our kitchen"


@pytest.mark.parametrize(
    ("arguments", "terms"),
    [
        (["@our kitchen"], [concept("our kitchen")]),
        (["@our kitchen^2"], [concept("our kitchen", 2)]),
        (["-@our kitchen", "beach"], [text("beach"), concept("our kitchen", -0.5)]),
        (["@our kitchen", "beach"], [text("beach"), concept("our kitchen")]),
        (["@rex on the beach"], [text("on the beach"), concept("rex")]),
        (["@our kitchen table"], [text("kitchen table"), concept("our")]),
    ],
)
def test_names_with_spaces_whose_quotes_the_shell_took(
    arguments: list[str], terms: list[Term]
) -> None:
    assert parse_query(arguments, is_concept=is_concept).terms == tuple(terms)


def test_a_concept_alone_cannot_be_left_out() -> None:
    with pytest.raises(QueryError, match="photo -@rex"):
        parse_query("-@rex")
    with pytest.raises(QueryError, match="nothing follows"):
        parse_query('beach -@""')
