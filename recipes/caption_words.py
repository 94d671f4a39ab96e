"""Which words of captions can be learned from photos, and which the model has learned.

    python recipes/caption_words.py --model data/starter --data ../shared/data

For each word that captions agree on for enough photos: how often a photo that shows it comes
before one that does not (the area under the ROC curve, in percent; 50 is chance), for photos left
out in turn and scored by what the others teach. Then, for the concepts of the table that are named
by captions: the same for what the model's text tower makes of their names, on photos held out.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from captioned import Captioned, caption_words, read_captioned
from evaluate_starter import CONCEPTS, Model
from numpy.typing import NDArray
from PIL import Image

from clipsearch.concepts.learning import Background, learn
from clipsearch.training.captions import words_of
from clipsearch.training.concepts import read_concepts

FOLDS = 4


def share_in_order(scores: NDArray[np.float32], said: NDArray[np.int8]) -> float:
    """The share of pairs, in percent, in which what is said (1) scores above what is not (0)."""
    higher = scores[said == 1][:, None] - scores[said == 0][None]
    return 100 * float((higher > 0).mean() + (higher == 0).mean() / 2)


def learnable(photos: NDArray[np.float32], said: NDArray[np.int8]) -> float:
    """`share_in_order` of all photos [n, d], each scored by what those of the other folds teach."""
    fold = np.arange(len(photos)) % FOLDS
    scores = np.zeros(len(photos), dtype=np.float32)
    for left_out in range(FOLDS):
        others = photos[fold != left_out]
        examples = photos[(fold != left_out) & (said == 1)]
        scores[fold == left_out] = (
            photos[fold == left_out] @ learn(examples, Background(others)).weights
        )
    return share_in_order(scores, said)


def show_words(captioned: Captioned, photos: NDArray[np.float32], fewest: int) -> None:
    """Every word that is said of at least so many photos."""
    in_photos = Counter(word for said in captioned.captions for word in words_of(said))
    rows = []
    for word in (word for word, count in in_photos.items() if count >= fewest):
        said = captioned.said([word])
        if (said == 1).sum() >= fewest:
            rows.append((learnable(photos, said), word, int((said == 1).sum())))
    for share, word, count in sorted(rows, reverse=True):
        print(f"{word}: {share:.0f} % in order, {count} photos")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="Which words of captions can be learned.")
    parser.add_argument("--model", type=Path, required=True, help="open_clip folder")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fewest", type=int, default=15, help="photos that show a word")
    given = parser.parse_args()
    model = Model(given.model)
    to_learn, held_out = read_captioned(given.data)
    photos, others = (
        model.encode_photos([Image.open(path).convert("RGB") for path in part.paths])
        for part in (to_learn, held_out)
    )
    print("words, photos left out in turn:")
    show_words(to_learn, photos, given.fewest)
    print("concepts: left out in turn; by name, held out:")
    for concept in (c for c in read_concepts(CONCEPTS) if caption_words(c)):
        said, said_of_others = (part.said(caption_words(concept)) for part in (to_learn, held_out))
        named = others @ model.encode_classes([concept])[0]
        print(
            f"{concept.concept_id}: {learnable(photos, said):.0f} % in order, "
            f"{(said == 1).sum()} photos; {share_in_order(named, said_of_others):.0f} %, "
            f"{(said_of_others == 1).sum()} photos"
        )


if __name__ == "__main__":
    main()
