"""Prompt templates: the sentences a label is put into before the text tower reads it.

A set is a text file in `data/templates/`, one template a line, `{}` where the label goes, `#` for
comments. Several templates are averaged into one embedding per label (prompt ensembling, Radford
et al. 2021, section 3.1.4).
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from clipsearch.errors import UsageError
from clipsearch.ranking import unit
from clipsearch.storage.layout import data_dir
from clipsearch.types import Floats

DEFAULT_SET = "general"
PLACE = "{}"
_NEUTRAL = "neutral"
_PROMPTS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class TemplateSet:
    """Templates under a name; every one holds `{}` exactly once."""

    name: str
    templates: tuple[str, ...]

    def prompts(self, words: str) -> list[str]:
        """The sentences for one label."""
        return [template.replace(PLACE, words) for template in self.templates]


def template_set_names() -> list[str]:
    """The names `template_set` knows, sorted."""
    files = sorted(os.listdir(_folder()))
    names = [name.removesuffix(".txt") for name in files if name.endswith(".txt")]
    return [name for name in names if name != _NEUTRAL]


def template_set(name: str = DEFAULT_SET) -> TemplateSet:
    """The set of that name. Raises UsageError naming the sets there are."""
    names = template_set_names()
    if name not in names:
        raise UsageError(
            f"there is no template set {name!r}",
            f"There are {', '.join(names)}; or write a sentence with {PLACE} in it",
        )
    return own_templates(_lines(name), name)


def own_templates(sentences: list[str], name: str = "own") -> TemplateSet:
    """A set from sentences a person wrote. Raises UsageError when one has no place for a label."""
    wrong = next((text for text in sentences if text.count(PLACE) != 1), None)
    if wrong is not None:
        raise UsageError(
            f"the template {wrong!r} must hold {PLACE} once, where the label goes",
            'Write it like this: "a photo of a {}."',
        )
    if not sentences:
        raise UsageError("no template is given", 'Write one like this: "a photo of a {}."')
    return TemplateSet(name, tuple(sentences))


def class_embeddings(
    encode_text: Callable[[Sequence[str]], Floats],
    prompts: Sequence[Sequence[str]],
    told: Callable[[int], None] | None = None,
) -> Floats:
    """The zero-shot classifier's weights (labels, dim), unit rows.

    `prompts` are the sentences of each label, equally many for each: their unit vectors are
    averaged, and the mean is normalised. `told` is called with the number of labels done so far.
    """
    at_once = max(1, _PROMPTS_AT_ONCE // len(prompts[0]))
    means: list[Floats] = []
    for start in range(0, len(prompts), at_once):
        block = prompts[start : start + at_once]
        rows = encode_text([text for texts in block for text in texts])  # (block * templates, dim)
        means.append(unit(rows.reshape(len(block), -1, rows.shape[1]).mean(axis=1)))
        if told is not None:
            told(start + len(block))
    return np.concatenate(means)


def neutral_prompts() -> list[str]:
    """Sentences that say a photo is a photo and nothing about what is on it."""
    return _lines(_NEUTRAL)


def _lines(name: str) -> list[str]:
    with open(os.path.join(_folder(), f"{name}.txt"), encoding="utf-8") as lines:
        stripped = [line.strip() for line in lines]
    return [line for line in stripped if line and not line.startswith("#")]


def _folder() -> str:
    return os.path.join(data_dir(), "templates")
