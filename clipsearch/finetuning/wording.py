"""Whether a run's captions have words that teach more than the captions do."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clipsearch.finetuning.preparing import Prepared
from clipsearch.percent import percent
from clipsearch.types import CaptionedPhoto

if TYPE_CHECKING:
    from clipsearch.training.objective import TextTerm
    from clipsearch.training.pair_batches import PairBatches
    from clipsearch.training.stored_views import StoredPairs
    from clipsearch.training.word_teacher import WordsFound


def learned_words(
    prepared: Prepared, batches: "PairBatches | StoredPairs"
) -> "tuple[WordsFound | None, list[TextTerm]]":
    """What the words of the captions find by themselves, and the loss that teaches them.

    There is no such loss where the model's own texts, as they are now, rank better, where it was
    not asked for, or where photos are seen anew in each step.
    """
    from clipsearch.training.encoding import encode_texts
    from clipsearch.training.objective import TextTerm
    from clipsearch.training.processes import first_says
    from clipsearch.training.stored_views import StoredPairs
    from clipsearch.training.word_regression import fit_words
    from clipsearch.training.word_teacher import (
        DRAWN,
        FEWEST_PHOTOS,
        WordTeacher,
        compare_words,
    )

    settings, tokenize = prepared.settings, prepared.seeing.tokenize
    photos = prepared.parts.of(prepared.parts.learned)
    captioned = [number for number, photo in enumerate(photos) if photo.captions]
    if not settings.words or not isinstance(batches, StoredPairs) or len(captioned) < FEWEST_PHOTOS:
        return None, []
    captions = [caption for number in captioned for caption in photos[number].captions]
    owner = np.repeat(np.arange(len(captioned)), [len(photos[i].captions) for i in captioned])
    rows = batches.mean_rows()[captioned]  # [photos, dim]
    compared: WordsFound | None = None
    if prepared.leads:
        texts = encode_texts(prepared.loaded.model, tokenize, captions)
        compared = compare_words(captions, owner, texts, rows)
    found = first_says(compared)
    assert found is not None
    if not found.help:
        return found, []
    regression = fit_words(captions, owner, rows, [found.penalty])[0]
    drawn = min(DRAWN, 2 * settings.batch_size)
    teacher = WordTeacher(regression, captions, rows, tokenize, prepared.worker.device, drawn)
    return found, [TextTerm(teacher, settings.words)]


def pairs_weight(beside_words: float, learned: Sequence[CaptionedPhoto]) -> float:
    """How much the loss between photos and texts counts while words are learned: photos with labels
    have no other."""
    return beside_words if all(photo.captions for photo in learned) else 1.0


def said_of(found: "WordsFound") -> str:
    """One line for people."""
    then = "the model learns from them too" if found.help else "they are not learned from"
    return (
        f"the captions' words alone find photos with a mean recall of {percent(found.words)}, the "
        f"model with {percent(found.model)} (on photos left out in turn): {then}"
    )
