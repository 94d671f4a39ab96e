"""The words a model saw in training, so that a query can be told what it means nothing to.

A model that learnt from a few hundred words answers every other word with noise. When
`vocabulary.txt` (UTF-8, one word a line) lies beside its weights, words that are not in it are
named. English plurals and a few endings count as their base word; nothing cleverer is done.
"""

import re
from pathlib import Path

_ENDINGS = (("ies", "y"), ("ves", "f"), ("es", ""), ("s", ""), ("ing", ""), ("ed", ""))

# Words that carry no picture of their own, which no one needs to be warned about.
_SMALL_WORDS = frozenset(
    {"a", "an", "and", "at", "by", "for", "from", "in", "into", "is", "it", "its", "my", "near"}
    | {"of", "on", "or", "our", "some", "that", "the", "their", "there", "these", "this", "those"}
    | {"to", "with", "without", "photo", "photograph", "picture", "image"}
)


def read_vocabulary(path: Path) -> frozenset[str]:
    """The words of a vocabulary file, in lower case; empty when there is no such file."""
    if not path.is_file():
        return frozenset()
    words = path.read_text(encoding="utf-8").lower().split()
    return frozenset(words)


def words_not_in(vocabulary: frozenset[str], text: str) -> list[str]:
    """Words of `text` that are not in `vocabulary`, in order, each once.

    An empty vocabulary means that nothing is known: the answer is [].
    """
    if not vocabulary:
        return []
    words = dict.fromkeys(re.findall(r"[^\W\d_]+", text.lower()))
    return [word for word in words if not _known(vocabulary, word)]


def _known(vocabulary: frozenset[str], word: str) -> bool:
    if word in _SMALL_WORDS or not vocabulary.isdisjoint(_forms(word)):
        return True
    # The other way round: "shoe" is known where only "shoes" was a caption.
    return f"{word}s" in vocabulary or f"{word}es" in vocabulary


def _forms(word: str) -> set[str]:
    forms = {word}
    for ending, base in _ENDINGS:
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= 3:
            forms |= {stem + base, stem + "e"}
    return forms
