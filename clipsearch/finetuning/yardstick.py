"""What a trained model has to be better than: photos kept for judging, and the original on them."""

from dataclasses import dataclass
from typing import Any

from clipsearch.errors import UsageError
from clipsearch.finetuning.gathering import gather_retained, words_of_photos
from clipsearch.finetuning.measuring import Part, Results, forgetting, general_labels, lost_labels
from clipsearch.finetuning.preparing import Prepared, pixels_of


@dataclass(frozen=True, slots=True)
class Kept:
    """Photos kept for judging, and what the original makes of them."""

    part: Part
    before: Results


@dataclass(frozen=True, slots=True)
class Yardstick:
    """`validation` chooses between weights; `test` has no say and judges the result; forgetting is
    measured on `retained` if a person gave photos for that, else estimated on the part at hand."""

    validation: Kept
    test: Kept
    retained: Kept | None

    def forgotten(self, model: Any, kept: Kept, after: Results) -> float | None:
        """The share lost of what the data does not cover; None when that cannot be said.

        `after` is what `model` makes of `kept`, outlook included.
        """
        if self.retained is None:
            return forgetting(kept.before, after)
        return lost_labels(self.retained.before, self.retained.part.measure(model, outlook=False))


def yardstick_of(prepared: Prepared, model: Any) -> Yardstick:
    """Measure the original `model`, before anything of it is changed.

    Raises UsageError when forgetting is to be measured on photos that do not serve for it.
    """
    parts, seeing = prepared.parts, prepared.seeing
    labels = sorted({photo.label for photo in parts.photos if photo.label is not None})
    general = general_labels(words_of_photos(parts.photos))
    validation, test = (
        Part(
            parts.of(numbers), labels, general, seeing, pixels_of(seeing),
            prepared.request.workers,
        )
        for numbers in (parts.validation, parts.test)
    )  # fmt: skip
    return Yardstick(
        Kept(validation, validation.measure(model, outlook=True)),
        Kept(test, test.measure(model, outlook=True)),
        _retained(prepared, model),
    )


def _retained(prepared: Prepared, model: Any) -> Kept | None:
    """The photos on which forgetting is measured, if a person gave any."""
    folder = prepared.request.retain
    if folder is None:
        return None
    photos = gather_retained(folder)
    labels = sorted({photo.label for photo in photos if photo.label is not None})
    seeing = prepared.seeing
    part = Part(photos, labels, [], seeing, pixels_of(seeing), prepared.request.workers)
    before = part.measure(model, outlook=False)
    if not len(before.per_photo):
        raise UsageError(f"not one photo in {folder} can be read", "Give --retain other photos")
    return Kept(part, before)
