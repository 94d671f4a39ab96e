"""A folder of one-coloured photos, and a library that indexes it with the fake model.

The vector of every photo can be computed by hand (encoders/fake.py), so a shifted, stale or
swapped vector is always visible.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image

from clipsearch.encoders.fake import FAKE, FakeImageEncoder
from clipsearch.indexing import IndexSummary, index
from clipsearch.library import Library
from clipsearch.types import Floats, ImageEncoder, ModelInfo, Pixels, Progress, no_progress

Colour = tuple[int, int, int]


def write_photo(path: Path, colour: Colour) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 40), colour).save(path, "PNG")
    return path


def vector_of(colour: Colour) -> Floats:
    """What the fake model gives for a photo of one colour."""
    r, g, b = (channel / 255 for channel in colour)
    vector = np.array([r, g, b, 1 - max(r, g, b)], np.float32)
    unit: Floats = vector / np.linalg.norm(vector)
    return unit


class CountingEncoder:
    """The fake image tower, remembering how many photos it was given."""

    def __init__(self) -> None:
        self.info: ModelInfo = FAKE
        self.encoded = 0

    def encode_image(self, pixels: Pixels) -> Floats:
        self.encoded += len(pixels)
        return FakeImageEncoder().encode_image(pixels)


class Album:
    """A photo folder and its library."""

    def __init__(self, folder: Path) -> None:
        self.photos = folder / "photos"
        self.photos.mkdir(parents=True)
        self.library = folder / "library"
        self.encoder = CountingEncoder()

    def add(self, name: str, colour: Colour) -> Path:
        return write_photo(self.photos / name, colour)

    def index(
        self,
        *folders: Path,
        model: ModelInfo = FAKE,
        load_encoder: Callable[[int], ImageEncoder] | None = None,
        retry: bool = False,
        confirm_missing: bool = False,
        progress: Progress = no_progress,
    ) -> IndexSummary:
        with Library.open(self.library, create=True) as library:
            return index(
                library,
                model,
                load_encoder or (lambda expected: self.encoder),
                [os.fsencode(folder) for folder in folders or (self.photos,)],
                retry=retry,
                confirm_missing=confirm_missing,
                progress=progress,
            )

    def stored(self) -> dict[str, Floats]:
        """Every live photo's path (relative to the photo folder) and its stored vector."""
        with Library.open(self.library) as library:
            ids = library.catalogue.live_contents(None)
            vectors = dict(zip(ids.tolist(), library.vectors_of(ids), strict=True))
            rows = library.catalogue.photos_of(ids.tolist(), None)
            return {
                os.path.relpath(os.fsdecode(row.path), self.photos): vectors[content_id]
                for content_id, photos in rows.items()
                for row in photos
            }

    def plug_in_again(self) -> None:
        """The disk gets another device number, as after being unplugged and plugged in again."""
        with closing(sqlite3.connect(self.library / "catalogue.sqlite")) as database:
            database.execute("UPDATE photos SET device = device + 1")
            database.commit()

    def check(self, expected: dict[str, Colour]) -> None:
        """The library holds exactly these photos, each with its own vector."""
        stored = self.stored()
        assert stored.keys() == expected.keys()
        for name, colour in expected.items():
            np.testing.assert_allclose(stored[name], vector_of(colour), atol=2e-3)


def adds_up(summary: IndexSummary) -> bool:
    return summary.found == (
        summary.unchanged
        + summary.restored
        + summary.new
        + summary.changed
        + summary.reencoded
        + summary.moved
        + summary.other_files
        + summary.gone
        + sum(summary.problems.values())
        + summary.remaining
    )
