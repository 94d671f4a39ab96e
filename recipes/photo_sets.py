"""The photo sets the starter is trained and measured on: decoding, and near-duplicates."""

import io
import itertools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

# Two thumbnails whose correlation is above this show the same photo: resized, re-encoded or
# squashed differently. Set from how the number of matches grows below it; pairs were not looked at.
NEAR_DUPLICATE = 0.95
_THUMBNAIL = 16


@dataclass(frozen=True)
class PhotoSet:
    """One set: `photos` uint8 [n, side, side, 3]; `labels` int [n], positions in `names`."""

    name: str
    photos: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...]


def read_set(data: Path, split: str, name: str, cache: Path) -> PhotoSet:
    """Read `<split>-<name>.npz`; decoded pixels are kept in `cache` and mapped, not loaded.

    Raises FileNotFoundError when the set is not in the data folder.
    """
    with np.load(data / f"{split}-{name}.npz") as packed:
        names = tuple(str(n) for n in packed["names"])
        labels = packed["label"].astype(np.int64)
        decoded = cache / f"{split}-{name}.npy"
        if not decoded.exists():
            _decode(packed["blob"], packed["offset"], decoded)
    return PhotoSet(name, np.load(decoded, mmap_mode="r"), labels, names)


def _decode(blob: NDArray[np.uint8], offset: NDArray[np.int64], target: Path) -> None:
    """Write all photos of a set as one uint8 array; whole, or not at all."""
    opened = [
        Image.open(io.BytesIO(blob[start:end].tobytes())).convert("RGB")
        for start, end in itertools.pairwise(offset)
    ]
    # A few photos are smaller than the rest of their set; one array wants one size.
    side = Counter(photo.size for photo in opened).most_common(1)[0][0]
    photos = [np.asarray(photo if photo.size == side else photo.resize(side)) for photo in opened]
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".unfinished.npy")
    np.save(unfinished, np.stack(photos))
    unfinished.rename(target)


def thumbnails(photos: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Unit vectors [n, 768]: each photo shrunk to 16x16, mean removed, so that a dot product is
    the correlation of two photos. A photo of one colour becomes zeros and matches nothing."""
    small = np.stack(
        [
            np.asarray(
                Image.fromarray(photo).resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)
            )
            for photo in photos
        ]
    )
    flat = small.reshape(len(small), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(length, 1e-6), dtype=np.float32)


def near_duplicates(train: NDArray[np.float32], held_out: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which training thumbnails [n, d] match any held-out thumbnail [m, d], or its mirror image."""
    mirrored = held_out.reshape(-1, _THUMBNAIL, _THUMBNAIL, 3)[:, :, ::-1].reshape(held_out.shape)
    both = np.concatenate([held_out, mirrored]).T.copy()  # [d, 2m]
    found = np.zeros(len(train), dtype=np.bool_)
    for start in range(0, len(train), 4096):
        block = train[start : start + 4096] @ both  # [4096, 2m]
        found[start : start + 4096] = block.max(axis=1) > NEAR_DUPLICATE
    return found


def album_photos(data: Path, side: int = 96) -> NDArray[np.uint8]:
    """The album twice, side x side: squashed, and cropped to its middle. Training photos were made
    square in one way or the other."""
    paths = sorted((data / "album").rglob("*.jpg"))
    photos = [Image.open(path).convert("RGB") for path in paths]
    square = (side, side)
    squashed = [np.asarray(photo.resize(square, Image.Resampling.BOX)) for photo in photos]
    cropped = [np.asarray(ImageOps.fit(photo, square, Image.Resampling.BOX)) for photo in photos]
    return np.stack(squashed + cropped)
