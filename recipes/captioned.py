"""Photos with captions written by people: what the words of their captions say of them.

`read_captioned` keeps apart the photos of `captioned_held_out.txt`: no starter was trained on them.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from clipsearch.training.concepts import Concept

HELD_OUT = Path(__file__).parent / "captioned_held_out.txt"
_LABEL = "captioned:"
# People disagree about what is worth telling: two of five must have said it.
_SAID = 2


@dataclass(frozen=True)
class Captioned:
    """Files of photos, and the captions of each in lower case."""

    paths: tuple[Path, ...]
    captions: tuple[tuple[str, ...], ...]

    def pixels(self, side: int) -> NDArray[np.uint8]:
        """The middle squares of the photos [n, side, side, 3]."""
        photos = (Image.open(path).convert("RGB") for path in self.paths)
        bilinear = Image.Resampling.BILINEAR
        return np.stack([np.asarray(ImageOps.fit(p, (side, side), bilinear)) for p in photos])

    def said(self, words: Sequence[str]) -> NDArray[np.int8]:
        """For each photo [n], whether its captions hold one of the words: 1 yes, 0 no, -1 hard to
        tell, as only one of them does."""
        any_word = re.compile(rf"\b({'|'.join(map(re.escape, words))})\b")
        counts = [sum(bool(any_word.search(c)) for c in captions) for captions in self.captions]
        return np.array([1 if n >= _SAID else -n for n in counts], dtype=np.int8)


def read_captioned(data: Path) -> tuple[Captioned, Captioned]:
    """The photos to learn from and those that are held out, of `captioned/` in the data folder."""
    captions: dict[str, list[str]] = {}
    with open(data / "captioned" / "captions.csv", encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table):
            captions.setdefault(row["image"], []).append(row["caption"].lower())
    held_out = set(HELD_OUT.read_text(encoding="utf-8").split())
    if missing := held_out - captions.keys():
        raise ValueError(f"{HELD_OUT} names photos that are not there: {sorted(missing)[:3]}")

    def part(names: Sequence[str]) -> Captioned:
        folder = data / "captioned" / "photos"
        return Captioned(
            tuple(folder / name for name in names), tuple(tuple(captions[name]) for name in names)
        )

    ordered = sorted(captions)
    return (
        part([name for name in ordered if name not in held_out]),
        part([name for name in ordered if name in held_out]),
    )


def caption_words(concept: Concept) -> tuple[str, ...]:
    """The words that name a concept in captions; none for one that is learned from labels."""
    if not all(label.startswith(_LABEL) for label in concept.photos):
        return ()
    labels = (label.removeprefix(_LABEL) for label in concept.photos)
    return tuple(word for label in labels for word in label.split(","))
