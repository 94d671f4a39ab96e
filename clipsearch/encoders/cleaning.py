"""Text made ready for a tokenizer exactly as open_clip does it, without importing open_clip.

open_clip.tokenizer imports torch; these three functions are its `lower`, `whitespace` and
`canonicalize`, and a test holds them equal.
"""

import html
import string
from collections.abc import Callable

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def clean_whitespace(text: str) -> str:
    """Repaired (mojibake, HTML entities), stripped, runs of white space made one space."""
    return " ".join(_repaired(text).split())


def clean_lower(text: str) -> str:
    """As `clean_whitespace`, in lower case: what CLIP's own tokenizer wants."""
    return clean_whitespace(text).lower()


def clean_canonicalize(text: str) -> str:
    """As `clean_lower`, `_` made a space and ASCII punctuation left out: SigLIP's wish."""
    plain = _repaired(text).replace("_", " ").translate(_NO_PUNCTUATION)
    return " ".join(plain.lower().split())


CLEANERS: dict[str, Callable[[str], str]] = {
    "lower": clean_lower,
    "whitespace": clean_whitespace,
    "canonicalize": clean_canonicalize,
}


def _repaired(text: str) -> str:
    # A lone surrogate (from a file name, say) has no UTF-8 and no tokenizer takes it.
    text = text.encode("utf-8", "replace").decode("utf-8")
    # Printable ASCII without entities is what ftfy leaves alone, and it takes 30 ms to import.
    if text.isascii() and text.isprintable() and "&" not in text:
        return text.strip()
    import ftfy

    return html.unescape(html.unescape(ftfy.fix_text(text))).strip()
