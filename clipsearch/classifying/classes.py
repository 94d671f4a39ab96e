"""Labels as vectors: the zero-shot classifier's weights (Radford et al. 2021, section 3.1.4)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipsearch.encoders import Towers
from clipsearch.errors import UsageError
from clipsearch.labels import Label
from clipsearch.prompts import TemplateSet, neutral_prompts
from clipsearch.ranking import unit
from clipsearch.types import Floats, ModelInfo, Progress

_PROMPTS_AT_ONCE = 256
_NAMED = 10


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """Labels with their embeddings by one model.

    `embeddings` is (labels, dim), `neutral` (dim,): both unit rows. `neutral` stands for a photo of
    anything, against which "none of these" is decided. `warnings` are for the person.
    """

    model: ModelInfo
    labels: tuple[Label, ...]
    embeddings: Floats
    neutral: Floats
    warnings: tuple[str, ...] = ()


def embed_labels(
    towers: Towers,
    labels: Sequence[Label],
    templates: TemplateSet,
    progress: Progress | None = None,
) -> Classes:
    """Encode every label in every template; average the unit vectors and normalise the mean.

    `progress` is called with the stage "labels". Raises UsageError without labels.
    """
    if not labels:
        raise UsageError("there are no labels", "Give some: --labels cat,dog")
    at_once = max(1, _PROMPTS_AT_ONCE // len(templates.templates))
    means: list[Floats] = []
    for start in range(0, len(labels), at_once):
        block = labels[start : start + at_once]
        means.append(_mean_embeddings(towers, [templates.prompts(label.words) for label in block]))
        if progress is not None:
            progress("labels", start + len(block), len(labels))
    return Classes(
        model=towers.info,
        labels=tuple(labels),
        embeddings=np.concatenate(means),
        neutral=_mean_embeddings(towers, [neutral_prompts()])[0],
        warnings=tuple(_warnings(towers, labels, templates)),
    )


def _mean_embeddings(towers: Towers, prompts: list[list[str]]) -> Floats:
    """(labels, templates) sentences -> (labels, dim) unit rows."""
    flat = [sentence for sentences in prompts for sentence in sentences]
    rows = towers.text.encode_text(flat)  # (labels * templates, dim)
    return unit(rows.reshape(len(prompts), -1, rows.shape[1]).mean(axis=1))


def _warnings(towers: Towers, labels: Sequence[Label], templates: TemplateSet) -> list[str]:
    longest = max(templates.templates, key=len)
    cut = towers.text.truncated([longest.replace("{}", label.words) for label in labels])
    too_long = [label.name for label, is_cut in zip(labels, cut, strict=True) if is_cut]
    unknown = [label.name for label in labels if towers.text.unknown_words(label.words)]
    warnings = []
    if too_long:
        warnings.append(f"only the beginning was read of the labels: {_named(too_long)}")
    if unknown:
        warnings.append(
            f"the model {towers.info.name} was never shown words of these labels, expect poor "
            f"results for them: {_named(unknown)}"
        )
    return warnings


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    more = len(names) - _NAMED
    return f"{shown} and {more} more" if more > 0 else shown
