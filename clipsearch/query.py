"""The query language: what a person types -> a `Query`. Pure: no files, no clock, no model.

    a dog on the beach        plain words together are one phrase, wherever they stand
    ./rex.jpg  ~/a.png        an example photo: starts with ./ ../ / ~/ or a drive, photo:PATH, or
                              a word with a dot or slash in it that names an existing file
    +sunset  +"red car"       adds another term: one word, one quoted text or one photo
    -people  -"many people"   leaves out: the term is subtracted, with weight 0.5 when not given
    beach^2  "red car"^0.5    weight of a term (above 0, at most 100; 1 when not given); after plain
                              words it stands at the end and weighs the whole phrase
    text:./x                  words, even though they look like a photo
    @rex  +@"our kitchen"     what was taught under that name (clipsearch teach): a term of its own
    -@rex  @rex^2             left out, weighted, as any other; "@rex" in quotes is words
    in:2023  -in:Screenshots  only photos in (not in) a folder of that name, `in:2023/summer`, or
                              `in:~/Pictures/2023`; several in: mean any of them
    after:2022-06-01          taken on that day or later;  YYYY, YYYY-MM or YYYY-MM-DD, where
    before:2024               taken before that day: 2024 means 2024-01-01, as `git log --before`
    camera:X100V              part of the camera's name

Double quotes keep words together and take signs, colons and weights inside them literally. A query
of filters only lists photos, newest first. A query that only leaves out is refused: "unlike X" has
no meaning a model could rank by.

One string is read as a whole query. Several shell arguments are read as the words of one, and an
argument with spaces keeps them together when it starts with a sign, a filter or a path (the shell
has taken the quotes away): `-"many people"` means the same in both.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from clipsearch.errors import QueryError
from clipsearch.types import PhotoFilter

MAX_LENGTH = 10_000
MAX_TERMS = 50
MAX_WEIGHT = 100.0
# Subtracting a text in full moves the query away from what is wanted as well: two texts are more
# alike than a text and a photo. Half keeps most of what is wanted and drops most of what is not.
LEFT_OUT_WEIGHT = 0.5

Kind = Literal["text", "photo", "concept"]
IsFile = Callable[[str], bool]
IsConcept = Callable[[str], bool]

_FILTERS = ("in", "after", "before", "camera")
_NAMES = (*_FILTERS, "photo", "text")
_CONCEPT = "@"
_MEANT = {"folder": "in", "since": "after", "until": "before", "year": "in", "date": "after"}

_WORD = re.compile(
    r"""(?P<sign>[+-]?)(?P<name>[A-Za-z]+:|@)?
        (?:"(?P<quoted>[^"]*)"(?P<boost>\^\S*)?(?=\s|\Z)|(?P<plain>\S+))""",
    re.VERBOSE,
)
_ARGUMENT = re.compile(r"(?P<sign>[+-]?)(?P<name>[A-Za-z]+:|@)?(?P<plain>\S.*)", re.DOTALL)
# What is meant for a weight, also when it is none: "x^y" and "^_^" are words, "x^-1" is a slip.
_BOOSTED = re.compile(
    r"(?P<body>.+)\^(?P<boost>[+-]?(?:nan|inf(?:inity)?|\.?[0-9][0-9.,]*(?:e[+-]?[0-9]*)?%?))",
    re.DOTALL | re.IGNORECASE,
)
_PATH = re.compile(r"\.{1,2}[\\/]|~[^\s\\/]*[\\/]|/[^/\s]|\\\\[^\\]|[A-Za-z]:[\\/]")
_WEB = re.compile(r"https?://", re.IGNORECASE)
_DAY = re.compile(r"([0-9]{4})(?:-([0-9]{1,2})(?:-([0-9]{1,2}))?)?")


@dataclass(frozen=True, slots=True)
class Term:
    """One thing to look for: words, the path of an example photo as it was typed, or the name of a
    concept without its @.

    `weight` is negative when the term is to be left out; its size is above 0 and at most 100.
    """

    kind: Kind
    value: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for. Without terms: everything that passes the filter, newest first."""

    terms: tuple[Term, ...]
    filter: PhotoFilter = field(default_factory=PhotoFilter)


@dataclass(frozen=True, slots=True)
class _Word:
    """One word of the query. `name` is a filter, `photo`, `text`, `@`, or "" when there is none.

    `literal` words were quoted; `boost` is the text after a quoted word's `^`.
    """

    sign: str
    name: str
    body: str
    literal: bool
    boost: str = ""


def no_files(_path: str) -> bool:
    """The answer of a world without files."""
    return False


def no_concepts(_name: str) -> bool:
    """The answer of a library that was taught nothing."""
    return False


def parse_query(
    query: str | Sequence[str], is_file: IsFile = no_files, is_concept: IsConcept = no_concepts
) -> Query:
    """Read a query from one string or from shell arguments.

    `is_file` answers whether a path names an existing file (it is asked only about words that
    could be one), `is_concept` whether something of that name was taught (only about an argument
    that is an @name with spaces, whose quotes the shell took away). Raises QueryError when the
    query is empty or cannot be read.
    """
    arguments = [query] if isinstance(query, str) else list(query)
    length = sum(map(len, arguments))
    if length > MAX_LENGTH:
        raise QueryError(
            f"the query is {length:,} characters long",
            f"Use at most {MAX_LENGTH:,}; a model reads only the first few dozen words",
        )
    words = [
        word
        for argument in arguments
        for word in _words(argument, len(arguments), is_file, is_concept)
    ]
    terms = _terms([word for word in words if word.name not in _FILTERS], is_file)
    photo_filter = _filter([word for word in words if word.name in _FILTERS])
    if not terms and photo_filter == PhotoFilter():
        raise QueryError("the query is empty", 'Say what to look for, such as "a dog on the beach"')
    if terms and all(term.weight < 0 for term in terms):
        first = f"{'@' if terms[0].kind == 'concept' else ''}{terms[0].value.split()[0]}"
        raise QueryError(
            "the query only leaves things out",
            f"Say what to look for as well, such as: photo -{first}",
        )
    return Query(terms, photo_filter)


def _words(argument: str, arguments: int, is_file: IsFile, is_concept: IsConcept) -> list[_Word]:
    """The words of one argument; an argument that is one thing with spaces stays one word."""
    if _names_file(argument, is_file):
        return [_Word("", "", argument, literal=True)]
    if (whole := _ARGUMENT.fullmatch(argument.strip())) and whole["name"] == _CONCEPT:
        word = _checked(whole)
        if is_concept(_unweighted(word.body)):
            return [word]
    if arguments > 1 and '"' not in argument and (whole := _ARGUMENT.fullmatch(argument.strip())):
        word = _checked(whole)
        if word.sign or word.name or _PATH.match(word.body):
            return [word]
    return [_checked(match) for match in _WORD.finditer(argument)]


def _checked(match: re.Match[str]) -> _Word:
    found = match.groupdict()
    quoted, name = found.get("quoted"), (found["name"] or "").removesuffix(":")
    body = found["plain"] if quoted is None else quoted
    if name == _CONCEPT:
        return _Word(found["sign"], name, body, quoted is not None, found.get("boost") or "")
    if name.lower() not in _NAMES:  # "3:2", "C:\\photos": the colon is an ordinary character
        body, name = f"{name}:{body}" if name else body, ""
        if quoted is None:
            _refuse_slips(found["sign"], body)
    return _Word(found["sign"], name.lower(), body, quoted is not None, found.get("boost") or "")


def _refuse_slips(sign: str, plain: str) -> None:
    """Refuse what is almost certainly a slip, rather than search for its letters."""
    if sign and plain == _CONCEPT:
        raise QueryError(f"nothing follows {sign}{plain}", f"Write {sign}@rex")
    if plain.startswith('"'):
        raise QueryError(f"the quote in {plain[:40]} is not closed", 'Write it as "several words"')
    if plain[-1] == ":" and plain[:-1].lower() in _NAMES:
        raise QueryError(f"nothing follows {plain}", "Write the value without a space: in:2023")
    if _WEB.match(plain):
        raise QueryError("photos are not fetched from the web", "Save it and give its path")
    name = plain.partition(":")[0].lower() if ":" in plain else ""
    meant = _MEANT.get(name) or next((real for real in _NAMES if _one_slip(name, real)), None)
    if meant:
        raise QueryError(
            f"there is no filter {name}:",
            f'Did you mean {meant}: ? To search for the words, quote them: "{plain[:40]}"',
        )


def _one_slip(name: str, real: str) -> bool:
    """Whether one letter was left out, added, replaced or swapped with its neighbour."""
    if len(real) < 5 or not name:
        return False  # "on:" and "it:" are one letter from "in:", and ordinary
    while name and real and name[0] == real[0]:
        name, real = name[1:], real[1:]
    while name and real and name[-1] == real[-1]:
        name, real = name[:-1], real[:-1]
    return max(len(name), len(real)) == 1 or (len(name) == 2 and name == real[::-1])


def _terms(words: list[_Word], is_file: IsFile) -> tuple[Term, ...]:
    """Signed words, photos and concepts are terms; all others are one phrase, which comes first."""
    phrase: list[str] = []
    phrase_weight: float | None = None
    others: list[Term] = []
    for word in words:
        kind, value, weight = _read(word, is_file)
        if word.sign or kind != "text":
            if not value.strip():
                begun = f"{word.sign}{word.name}{'' if word.name in ('', _CONCEPT) else ':'}"
                raise QueryError(f"nothing follows {begun}", "Write -people")
            others.append(Term(kind, value, _signed(word.sign, weight)))
        elif value:
            if phrase_weight is not None:
                raise QueryError(
                    "a weight stands inside a phrase",
                    "Put it at the end of the phrase, or write two terms: beach^2 +sunset",
                )
            phrase.append(value)
            phrase_weight = weight
    if phrase:
        others.insert(0, Term("text", " ".join(phrase), phrase_weight or 1.0))
    if len(others) > MAX_TERMS:
        raise QueryError(f"the query has {len(others)} terms", f"Use at most {MAX_TERMS}")
    return tuple(others)


def _read(word: _Word, is_file: IsFile) -> tuple[Kind, str, float | None]:
    """Kind, value and weight (None when not given) of a word that is no filter."""
    body, weight = word.body, None
    if word.boost:
        weight = _weight(word.boost.removeprefix("^"))
    elif not word.literal and not _names_file(body, is_file):
        boosted = _BOOSTED.fullmatch(body)
        if boosted:
            body, weight = boosted["body"], _weight(boosted["boost"])
    if word.name == _CONCEPT:
        return "concept", _readable(body), weight
    if word.name == "photo" or (
        word.name != "text" and (_PATH.match(body) or _names_file(body, is_file))
    ):
        return "photo", _without_nul(body), weight
    return "text", _readable(body), weight


def _unweighted(body: str) -> str:
    boosted = _BOOSTED.fullmatch(body)
    return boosted["body"] if boosted else body


def _signed(sign: str, weight: float | None) -> float:
    return -(weight or LEFT_OUT_WEIGHT) if sign == "-" else weight or 1.0


def _weight(typed: str) -> float:
    try:
        weight = float(typed)
    except ValueError:
        weight = 0.0
    if not 0 < weight <= MAX_WEIGHT:  # NaN fails too
        raise QueryError(
            f"{typed[:40]} is no weight", f"Write a number above 0 and at most {MAX_WEIGHT:g}"
        )
    return weight


def _names_file(word: str, is_file: IsFile) -> bool:
    # A file called "dog" beside the person must not take over the word "dog".
    return any(mark in word for mark in "./\\") and "\0" not in word and is_file(word)


def _readable(text: str) -> str:
    """Text as a tokenizer takes it: composed, no control characters, no lone surrogates."""
    kept = (
        " " if (category := unicodedata.category(c)) == "Cc" else "�" if category == "Cs" else c
        for c in unicodedata.normalize("NFC", text)
    )
    return " ".join("".join(kept).split())


def _without_nul(path: str) -> str:
    if "\0" in path:
        raise QueryError("a path holds a NUL character", "No file or folder can have such a name")
    return path


def _filter(words: list[_Word]) -> PhotoFilter:
    folders: dict[str, list[str]] = {"": [], "-": []}
    single: dict[str, str] = {}
    for word in words:
        if not word.body.strip():
            raise QueryError(f"nothing follows {word.name}:", "Write the value: in:2023")
        if word.name == "in" and word.sign in folders:
            folders[word.sign].append(_without_nul(word.body))
        elif word.sign:
            raise QueryError(f"{word.name}: takes no {word.sign}", "Only in: can be left out: -in:")
        elif word.name in single:
            raise QueryError(f"{word.name}: is given twice", "Give it once")
        else:
            single[word.name] = word.body
    after, before = (_day(name, single.get(name)) for name in ("after", "before"))
    if after and before and after >= before:
        raise QueryError(
            f"no day is both after:{single['after']} and before:{single['before']}",
            "after: is the first day wanted, before: the first day no longer wanted",
        )
    camera = _readable(single["camera"]) if "camera" in single else None
    return PhotoFilter(tuple(folders[""]), tuple(folders["-"]), after, before, camera)


def _day(name: str, typed: str | None) -> date | None:
    """The first day of a year, a month or a day."""
    if typed is None:
        return None
    match = _DAY.fullmatch(typed)
    try:
        return (
            date(*(int(part or 1) for part in match.groups())) if match else _no_date(name, typed)
        )
    except ValueError:
        return _no_date(name, typed)


def _no_date(name: str, typed: str) -> date:
    raise QueryError(f"{name}:{typed[:40]} is no date", "Write YYYY, YYYY-MM or YYYY-MM-DD")
