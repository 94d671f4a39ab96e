"""What an index run with the fake model writes, written at once: without processes, in a moment."""

import hashlib
import os
from pathlib import Path

import numpy as np
from PIL import Image

from clipsearch.encoders.fake import FAKE, FakeImageEncoder
from clipsearch.library import Library
from clipsearch.photos.files import file_stat
from clipsearch.storage.catalogue import IndexedPhoto
from clipsearch.types import PhotoFacts, PhotoRead


def write_library(directory: Path, photos: Path) -> None:
    """A library of the one-coloured photos at and below a folder."""
    with Library.open(directory, create=True) as library:
        catalogue = library.catalogue
        model_id = catalogue.register_model(FAKE)
        catalogue.activate_model(model_id)
        found = os.stat(photos)
        root = catalogue.add_root(bytes(photos), found.st_dev, found.st_ino)
        read = [_read(path) for path in sorted(photos.rglob("*.png"))]
        rows = [
            IndexedPhoto(root.root_id, *os.path.split(os.path.relpath(one.path, root.path)), one)
            for one in read
        ]
        pixels = {one.content_hash: _pixels(one.path) for one in read}
        vectors = FakeImageEncoder().encode_image(np.stack(list(pixels.values())))
        catalogue.write_batch(model_id, rows, dict(zip(pixels, vectors, strict=True)))
        catalogue.touch_root(root, 1.0)


def _read(path: Path) -> PhotoRead:
    with Image.open(path) as image:
        facts = PhotoFacts("PNG", image.width, image.height)
    content_hash = hashlib.sha256(path.read_bytes()).digest()
    return PhotoRead(bytes(path), file_stat(path.stat()), content_hash, facts, None)


def _pixels(path: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(os.fsdecode(path)) as image:
        return np.asarray(image.convert("RGB").resize(FAKE.preprocess.size[::-1]))
