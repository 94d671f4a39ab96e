"""Prompt templates: the sentences a label is put into before the text tower reads it.

A set is a text file in `data/templates/`, one template a line, `{}` where the label goes, `#` for
comments. Several templates are averaged into one embedding per label (prompt ensembling, Radford
et al. 2021, section 3.1.4).
"""

import os
from dataclasses import dataclass

from clipsearch.errors import UsageError
from clipsearch.storage.layout import data_dir

DEFAULT_SET = "general"
PLACE = "{}"
_NEUTRAL = "neutral"


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


def neutral_prompts() -> list[str]:
    """Sentences that say a photo is a photo and nothing about what is on it."""
    return _lines(_NEUTRAL)


def _lines(name: str) -> list[str]:
    with open(os.path.join(_folder(), f"{name}.txt"), encoding="utf-8") as lines:
        stripped = [line.strip() for line in lines]
    return [line for line in stripped if line and not line.startswith("#")]


def _folder() -> str:
    return os.path.join(data_dir(), "templates")
