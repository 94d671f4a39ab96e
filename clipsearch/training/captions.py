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
)
ZERO_SHOT_TEMPLATES = ("{}", "a photo of {}", "a picture of {}", "an image of {}")

_BARE = 0.5
_PLURAL = 0.1


def with_article(name: Name) -> str:
    """Put "a" or "an" before a countable name: "an owl", but "milk"."""
    if not name.countable:
        return name.words
    return f"{'an' if name.words[0].lower() in 'aeiou' else 'a'} {name.words}"


def plural(words: str) -> str:
    """The regular English plural of the last word: "a street sign" -> "street signs"."""
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
    return sorted(captions)


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
