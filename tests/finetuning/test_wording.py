"""What is learned of captions' words, and what counts less for it."""

from clipsearch.finetuning.wording import pairs_weight
from clipsearch.pairs.sources import FileSource
from clipsearch.types import CaptionedPhoto

SOURCE = FileSource(b"/a.jpg")
CAPTIONED = CaptionedPhoto(SOURCE, captions=("a dog",))
LABELLED = CaptionedPhoto(SOURCE, label="dog")


def test_pairs_count_less_beside_words_that_are_learned_from() -> None:
    assert pairs_weight(0.1, [CAPTIONED, CAPTIONED]) == 0.1


def test_photos_with_labels_have_no_other_loss() -> None:
    assert pairs_weight(0.1, [CAPTIONED, LABELLED]) == 1
