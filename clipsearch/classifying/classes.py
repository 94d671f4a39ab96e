"""Labels as vectors: the zero-shot classifier's weights (Radford et al. 2021, section 3.1.4)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipsearch.encoders import Towers
from clipsearch.errors import UsageError
from clipsearch.labels import Label
from clipsearch.prompts import TemplateSet, class_embeddings, neutral_prompts
from clipsearch.storage.label_vectors import LabelVectors
from clipsearch.types import Floats, ModelInfo, Progress

_NAMED = 10


@dataclass(frozen=True, slots=True, eq=False)
class Odds:
    """Which labels were taught with photos (`taught`, (labels,) bool), and what that says of them.

    The log odds of a taught label, against everything else, are scales * cosine + biases, both
    (labels,). The values of labels that are words are 0 and mean nothing.
    """

    taught: NDArray[np.bool_]
    scales: Floats
    biases: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """Labels with their embeddings by one model.

    `embeddings` is (labels, dim), `neutral` (dim,): both unit rows. `neutral` stands for a photo of
    anything, against which "none of these" is decided. `warnings` are for the person. `odds` is
    None when all labels are words.
    """

    model: ModelInfo
    labels: tuple[Label, ...]
    embeddings: Floats
    neutral: Floats
    warnings: tuple[str, ...] = ()
    odds: Odds | None = None


def embed_labels(
    towers: Towers,
    labels: Sequence[Label],
    templates: TemplateSet,
    progress: Progress | None = None,
    *,
    kept: LabelVectors | None = None,
) -> Classes:
    """Encode every label in every template; average the unit vectors and normalise the mean.

    `progress` is called with the stage "labels". What `kept` has is not encoded again, what it
    lacks it is given. Raises UsageError without labels.
    """
    if not labels:
        raise UsageError("there are no labels", "Give some: --labels cat,dog")

    def told(done: int) -> None:
        if progress is not None:
            progress("labels", done, len(labels))

    prompts = [templates.prompts(label.words) for label in labels]
    # All sentences, those of the neutral row too, are what the rows are found by.
    sentences = [*prompts, neutral_prompts()]
    info = towers.info
    rows = kept.load(info.fingerprint, sentences, info.embed_dim) if kept is not None else None
    if rows is None:
        embeddings = class_embeddings(towers.text.encode_text, prompts, told)
        rows = np.concatenate([embeddings, neutral_embedding(towers)[None]])
        if kept is not None:
            kept.keep(info.fingerprint, sentences, rows)
    else:
        told(len(labels))
    return Classes(
        model=info,
        labels=tuple(labels),
        embeddings=rows[:-1],
        neutral=rows[-1],
        warnings=tuple(_warnings(towers, labels, templates)),
    )


def neutral_embedding(towers: Towers) -> Floats:
    """(dim,) the unit mean of sentences that say nothing of what is on a photo."""
    neutral: Floats = class_embeddings(towers.text.encode_text, [neutral_prompts()])[0]
    return neutral


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
