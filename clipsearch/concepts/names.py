"""What a concept can be called, so that `@name` can be typed in a query and in a list of labels."""

import difflib
import unicodedata
from collections.abc import Iterable

from clipsearch.errors import UsageError

MAX_NAME = 60
# Besides letters, marks and digits of every script. Not among them: what ends or changes an @name
# in a query or a list of labels (" ^ , = @ : / \ .), and what a terminal does not draw.
_ALSO = frozenset(" -_'&")
_NEAR = 5


def concept_name(typed: str) -> str:
    """The name to keep: composed (NFC), its spaces single. An @ in front is not part of it.

    Raises UsageError for a name that is empty, longer than 60 characters, does not begin with a
    letter or a digit, or has other characters than letters, digits, spaces and - _ ' &.
    """
    name = " ".join(unicodedata.normalize("NFC", typed).removeprefix("@").split())
    if not name:
        raise UsageError("the concept's name is empty", "Call it something: clipsearch teach rex")
    if len(name) > MAX_NAME:
        raise UsageError(
            f"the name {name[:20]}... is too long", f"Use at most {MAX_NAME} characters"
        )
    wrong = next(
        (c for c in name if c not in _ALSO and unicodedata.category(c)[0] not in "LMN"), ""
    )
    if wrong or unicodedata.category(name[0])[0] not in "LN":
        raise UsageError(
            f"{name!r} cannot be the name of a concept",
            "Use letters, digits, spaces and - _ ' &, with a letter or a digit first",
        )
    return name


def as_typed(name: str) -> str:
    """A concept as it stands in a query: @rex, @"our kitchen"."""
    return f'@"{name}"' if " " in name else f"@{name}"


def unknown_concept(name: str, names: Iterable[str]) -> UsageError:
    """The error for an @name that nothing is called, with the names that are near."""
    known = {each.casefold(): each for each in names}
    near = difflib.get_close_matches(name.casefold(), known, n=_NEAR, cutoff=0.5)
    near += [each for each in known if name.casefold() in each.split() and each not in near]
    if near:
        meant = " or ".join(as_typed(known[each]) for each in near[:_NEAR])
        remedy = f"Did you mean {meant}? See: clipsearch teach --list"
    elif known:
        remedy = "See what was taught: clipsearch teach --list"
    else:
        remedy = (
            f"Teach it: clipsearch teach {name.split()[0] if name.split() else 'NAME'} PHOTO..."
        )
    return UsageError(f"there is no concept {as_typed(name)}", remedy)
