"""The catalogue of a library, its pages overwritten: an error of ours, or rows that are right."""

import os
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np

from clipsearch.errors import DamageError, StorageError
from clipsearch.storage.catalogue import Catalogue
from clipsearch.storage.layout import CATALOGUE_NAME
from tests.fuzz.driving import main
from tests.storage.small_library import MODEL, ROOT, add, failure, new_catalogue, photo

_FAST = "/dev/shm" if os.path.isdir("/dev/shm") else None
Pairs = dict[bytes, bytes]


@cache
def _good() -> tuple[bytes, Pairs]:
    """A catalogue and its paths with their vectors."""
    with tempfile.TemporaryDirectory(dir=_FAST) as folder:
        catalogue = new_catalogue(Path(folder))
        catalogue.activate_model(catalogue.register_model(MODEL))
        root = catalogue.add_root(ROOT, 1, 2)
        photos = [photo(root, f"{i % 3}/{i}.jpg", f"{i // 2}", camera="X") for i in range(20)]
        add(catalogue, photos)
        catalogue.write_batch(1, [], {}, [failure(root, "bad.jpg")])
        pairs = _pairs(catalogue)
        catalogue.close()
        return (Path(folder) / CATALOGUE_NAME).read_bytes(), pairs


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Where one catalogue after another lies."""
    return tempfile.TemporaryDirectory(dir=_FAST)


def _pairs(catalogue: Catalogue) -> Pairs:
    found: Pairs = {}
    for block in catalogue.embeddings(1):
        assert np.isfinite(block.vectors).all()
        assert (np.abs(np.linalg.norm(block.vectors, axis=1) - 1) <= 1e-3).all()
        photos = catalogue.photos_of(block.content_ids)
        for content_id, vector in zip(block.content_ids.tolist(), block.vectors, strict=True):
            for row in photos.get(content_id, []):
                found[row.path] = vector.tobytes()
    return found


def _edits() -> list[bytes]:
    """Seeds: at which byte (2 bytes), and what stands there then."""
    data = _good()[0]
    places = range(0, min(len(data), 1 << 16), 1371)
    return [place.to_bytes(2, "big") + data[place + 7 : place + 23] for place in places]


SEEDS = _edits()


def fuzz_one(data: bytes) -> None:
    """Raises when an edited catalogue gives a wrong pair, or fails in another way than with ours.

    `data` is a list of edits of up to 64 bytes: place / 2 (2 bytes), then what to write there.
    """
    good, right = _good()
    edited = bytearray(good)
    for start in range(0, min(len(data), 640), 64):
        edit = data[start : start + 64]
        place = 2 * int.from_bytes(edit[:2], "big") % len(good)
        edited[place : place + len(edit) - 2] = edit[2:]
    folder = Path(_folder().name)
    path = folder / CATALOGUE_NAME
    path.write_bytes(edited)
    try:
        catalogue = Catalogue(path)
    except (DamageError, StorageError):
        return
    else:
        try:
            _ask(catalogue, right)
        finally:
            catalogue.close()
    finally:
        # A log that was left would belong to the next one.
        for left in folder.iterdir():
            left.unlink()


def _ask(catalogue: Catalogue, right: Pairs) -> None:
    with suppress(DamageError):
        assert _pairs(catalogue).items() <= right.items()
    with suppress(DamageError):
        for root in catalogue.roots():
            for folder in catalogue.folders(root.root_id):
                catalogue.photos_in_folder(root.root_id, folder, 1)
    for ask in (
        catalogue.counts, catalogue.models, catalogue.active_model, catalogue.library_id,
        catalogue.history.generation, catalogue.history.last_erasure, catalogue.last_photo_id,
        catalogue.live_contents, catalogue.dead_contents, catalogue.concepts.all,
        lambda: list(catalogue.problems()), lambda: catalogue.photo_at(ROOT + b"/0/0.jpg"),
        lambda: list(catalogue.row_faults()), lambda: list(catalogue.structure_faults()),
    ):  # fmt: skip
        with suppress(DamageError):
            ask()


if __name__ == "__main__":
    main(fuzz_one, SEEDS)
