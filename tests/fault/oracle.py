"""What a library must hold, found out without the program.

Reads a copy of the catalogue with plain SQLite, and computes every vector again from the bytes of
the photo at the path. A lost, doubled, shifted, stale or half-written row is an AssertionError.
"""

import hashlib
import io
import os
import shutil
import sqlite3
import struct
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from clipsearch.encoders.fake import FAKE

# A float16 is this close to what it stands for; the colours of `palette` are ten times as far apart
# from each other.
TOLERANCE = 2e-3

_PHOTOS = """SELECT r.path, f.path, p.name, p.content_id, p.problem_kind, p.missing_since, c.hash
    FROM photos p JOIN folders f ON f.id = p.folder_id JOIN roots r ON r.id = f.root_id
    LEFT JOIN contents c ON c.id = p.content_id"""
_VECTORS = """SELECT c.hash, e.vector FROM embeddings e JOIN contents c ON c.id = e.content_id
    JOIN models m ON m.id = e.model_id WHERE m.fingerprint = ?"""


@dataclass(frozen=True)
class Holding:
    """What a library holds, proved against the photos: paths as bytes."""

    good: frozenset[bytes]
    failed: dict[bytes, str]
    missing: frozenset[bytes]


def palette(count: int) -> list[tuple[int, int, int]]:
    """Colours whose vectors are all far apart (see test_oracle)."""
    steps = range(0, 256, 36)
    grid = [(r, g, b) for r in steps for g in steps for b in steps]
    return [grid[i * 97 % len(grid)] for i in range(count)]


def expected_vector(data: bytes) -> np.ndarray:
    """The fake model's vector of a one-coloured photo, from its bytes."""
    with Image.open(io.BytesIO(data)) as image:
        colours = image.convert("RGB").getcolors()
    assert colours is not None
    assert len(colours) == 1, "the oracle knows one-coloured photos only"
    r, g, b = (channel / 255 for channel in colours[0][1])  # type: ignore[union-attr]
    vector = np.array([r, g, b, 1 - max(r, g, b)])
    unit: np.ndarray = vector / np.linalg.norm(vector)
    return unit


def examine(library: Path, scratch: Path) -> Holding:
    """Prove every row of the library in `library`; an empty Holding when there is no catalogue.

    The library itself is not touched: what a killed run left is for the next run to deal with.
    """
    catalogue = library / "catalogue.sqlite"
    if not catalogue.exists():
        return Holding(frozenset(), {}, frozenset())
    copy = scratch / f"examined-{os.urandom(4).hex()}"
    copy.mkdir()
    try:
        for name in ("catalogue.sqlite", "catalogue.sqlite-wal", "catalogue.sqlite-journal"):
            if (library / name).exists():
                shutil.copyfile(library / name, copy / name)
        with closing(sqlite3.connect(copy / "catalogue.sqlite")) as database:
            return _prove(database)
    finally:
        shutil.rmtree(copy)


def _prove(database: sqlite3.Connection) -> Holding:
    database.text_factory = bytes
    assert database.execute("PRAGMA integrity_check").fetchone()[0] == b"ok"
    vectors = dict(database.execute(_VECTORS, (FAKE.fingerprint,)))
    good, missing, failed = set(), set(), {}
    seen: set[bytes] = set()
    for root, folder, name, content_id, problem, since, content_hash in database.execute(_PHOTOS):
        path = b"/".join(part for part in (root, folder, name) if part)
        assert path not in seen, f"two rows for {path!r}"
        seen.add(path)
        if since is not None:
            missing.add(path)
        elif content_id is None:
            assert problem, f"{path!r} has neither content nor problem"
            failed[path] = problem.decode()
        else:
            _prove_photo(path, content_hash, vectors)
            good.add(path)
    _prove_counts(database)
    return Holding(frozenset(good), failed, frozenset(missing))


def _prove_photo(path: bytes, content_hash: bytes, vectors: dict[bytes, bytes]) -> None:
    with open(path, "rb") as file:
        data = file.read()
    assert hashlib.sha256(data).digest() == content_hash, f"another content for {path!r}"
    assert content_hash in vectors, f"{path!r} has no embedding"
    packed = vectors[content_hash]
    stored = np.array(struct.unpack(f"<{len(packed) // 2}e", packed))
    assert stored.shape == (FAKE.embed_dim,), f"a vector of {stored.shape} for {path!r}"
    off = float(np.abs(stored - expected_vector(data)).max())
    assert off < TOLERANCE, f"the vector of another photo for {path!r} (off by {off:.3f})"


def _prove_counts(database: sqlite3.Connection) -> None:
    """What is found is kept as a count beside each content: it must be what the rows say."""
    wrong = database.execute(
        """SELECT count(*) FROM contents c WHERE live_photos != (SELECT count(*) FROM photos
        WHERE content_id = c.id AND missing_since IS NULL)"""
    ).fetchone()[0]
    assert wrong == 0, f"{wrong} contents with a wrong count of live photos"
