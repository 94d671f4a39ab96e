"""The file of a snapshot: refused, or what it finds is what was written.

A first byte of 1 makes the rest the text of a header, whose checksum is made to fit.
"""

import hashlib
import json
import os
import tempfile
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np

from clipsearch.storage.snapshot_file import UnusableSnapshot, read_snapshot_file
from clipsearch.storage.snapshot_writing import write_snapshot
from clipsearch.storage.vectors import open_snapshot
from tests.fuzz.driving import main
from tests.storage.test_vectors import EXPECTED, HEADER, block, brute, queries_like

_FAST = "/dev/shm" if os.path.isdir("/dev/shm") else None
_TAIL = 32 + 4 + 8
_STORED = block(24)
_QUERIES = queries_like(2)


@cache
def _good() -> tuple[bytes, bytes]:
    """A snapshot's file up to its header, and the text of the header."""
    with tempfile.TemporaryDirectory(dir=_FAST) as folder:
        path = Path(folder) / "c0.faiss"
        write_snapshot(path, HEADER, [_STORED])
        data = path.read_bytes()
        length = int.from_bytes(data[-12:-8], "little")
        header = read_snapshot_file(path, *EXPECTED).header
    text = data[-_TAIL - length : -_TAIL]
    assert json.loads(text) == json.loads(json.dumps(asdict(header)))
    return data[: -_TAIL - length], text


def _sealed(text: bytes) -> bytes:
    tail = hashlib.sha256(text).digest() + len(text).to_bytes(4, "little") + b"CLIPFAIS"
    return _good()[0] + text + tail


def _fields(**changed: object) -> bytes:
    return b"\1" + json.dumps({**json.loads(_good()[1]), **changed}).encode()


SEEDS = [
    b"\0" + _sealed(_good()[1]),
    b"\1" + _good()[1],
    *(_fields(rows=rows) for rows in (0, 1, 23, 25, -1, 1 << 62, 1 << 70)),
    *(_fields(head_size=size) for size in (0, 1, -8, 1 << 40, "8")),
    *(_fields(norm_error=error) for error in (0.0, -1.0, 1.0, None)),
    _fields(dim=0),
    _fields(index={}),
    _fields(index=None),
    _fields(stamp="zz"),
]


def fuzz_one(data: bytes) -> None:
    """Raises when a snapshot is neither refused nor right; a crash ends the process."""
    sealed = data[:1] == b"\1"
    with tempfile.TemporaryDirectory(dir=_FAST) as folder:
        path = Path(folder) / "c0.faiss"
        path.write_bytes(_sealed(data[1:]) if sealed else data[1:])
        try:
            snapshot = open_snapshot(path, *EXPECTED)
            ids, scores = snapshot.search(_QUERIES, 5)
            snapshot.check_rows()
        except UnusableSnapshot:
            return
    # Who can make checksums fit may lie about how exact rows are, not about what they are.
    for query, found, cosines in zip(_QUERIES, ids, scores, strict=True):
        wanted, exact = brute(_STORED, query, 5, None)
        if not sealed:
            assert found.tolist() == wanted.tolist()
            np.testing.assert_array_equal(cosines, exact)
        assert np.isin(found, _STORED.content_ids).all()


if __name__ == "__main__":
    main(fuzz_one, SEEDS)
