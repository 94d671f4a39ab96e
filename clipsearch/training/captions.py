"""Captions from labels: a concept's names put into everyday wordings."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from clipsearch.training.concepts import Concept, Name

# {} takes the name with its article ("a dog"). No wording claims more than the label says.
TRAINING_TEMPLATES = (
    "a photo of {}",
    "a picture of {}",
    "an image of {}",
    "{} in a photo",
    "a close-up photo of {}",
    "a small photo of {}",
    "this is {}",
    "{}.",
    "a photo of {}.",
)
# As `classify` asks: with the bare name, whatever it is, and a full stop, which is a token too.
LABEL_TEMPLATES = (
    "a photo of a {}.",
    "a photo of the {}.",
    "a close-up of a {}.",
    "a snapshot with a {} in it.",
    "a blurry photo of a {}.",
    "a photo of one small {}.",
    "a photo of a big {}.",
)
ZERO_SHOT_TEMPLATES = ("{}", "a photo of {}", "a picture of {}", "an image of {}")

# What says that a photo is a photo and nothing about what is on it.
ANYTHING = Concept(
    "anything",
    (
        Name("something", False),
        Name("photo", True),
        Name("picture", True),
        Name("image", True),
        Name("snapshot", True),
        Name("anything", False),
    ),
    (),
    (),
)

_BARE = 0.5
_PLURAL = 0.1
_AS_LABEL = 0.3
_IRREGULAR_PLURALS = {
    "child": "children",
    "goose": "geese",
    "man": "men",
    "mouse": "mice",
    "woman": "women",
}


def with_article(name: Name) -> str:
    """Put "a" or "an" before a countable name: "an owl", but "milk"."""
    if not name.countable:
        return name.words
    return f"{'an' if name.words[0].lower() in 'aeiou' else 'a'} {name.words}"


def plural(words: str) -> str:
    """The English plural: "street sign" -> "street signs", "man" -> "men", "ear of corn" -> "ears
    of corn"."""
    one, of, rest = words.partition(" of ")
    if of:
        return plural(one) + of + rest
    *before, last = words.split(" ")
    if last in _IRREGULAR_PLURALS:
        return " ".join([*before, _IRREGULAR_PLURALS[last]])
    if re.search(r"(s|x|z|ch|sh)$", words):
        return words + "es"
    if re.search(r"[^aeiou]y$", words):
        return words[:-1] + "ies"
    return words + "s"


def draw_caption(concept: Concept, rng: np.random.Generator) -> str:
    """One random caption: the usual name half of the time, bare or in a template."""
    first = len(concept.names) == 1 or rng.random() < 0.5
    name = concept.names[0 if first else int(rng.integers(1, len(concept.names)))]
    if rng.random() < _BARE:
        if name.countable and rng.random() < _PLURAL:
            return plural(name.words)
        return name.words if rng.random() < 0.7 else with_article(name)
    if rng.random() < _AS_LABEL:
        return LABEL_TEMPLATES[int(rng.integers(len(LABEL_TEMPLATES)))].format(name.words)
    template = TRAINING_TEMPLATES[int(rng.integers(len(TRAINING_TEMPLATES)))]
    return template.format(with_article(name))


def all_captions(concepts: Iterable[Concept]) -> list[str]:
    """Every caption that draw_caption can return, sorted: what the model will have read."""
    captions: set[str] = set()
    for concept in concepts:
        for name in concept.names:
            captions |= {name.words, with_article(name)}
            if name.countable:
                captions.add(plural(name.words))
            captions |= {template.format(with_article(name)) for template in TRAINING_TEMPLATES}
            captions |= {template.format(name.words) for template in LABEL_TEMPLATES}
    return sorted(captions)


def all_names(concepts: Iterable[Concept]) -> list[str]:
    """Every name, alone and in the plural, sorted: what the captions are about."""
    names = [name for concept in concepts for name in concept.names]
    return sorted(
        {name.words for name in names} | {plural(name.words) for name in names if name.countable}
    )


def zero_shot_prompts(concept: Concept) -> list[str]:
    """The wordings averaged into one class embedding: the two usual names in each template."""
    return [
        template.format(name.words if template == "{}" else with_article(name))
        for name in concept.names[:2]
        for template in ZERO_SHOT_TEMPLATES
    ]


def words_of(captions: Sequence[str]) -> list[str]:
    """The sorted lower-case words that occur in the captions, for `vocabulary.txt`."""
    found = (re.findall(r"[\w'-]+", caption.lower()) for caption in captions)
    return sorted({word for words in found for word in words})
