"""Embeddings of label sets, kept so that the text tower reads the same sentences once.

Disposable: a file in the library's folder `labels` for each set, found by a hash of the model's
fingerprint and every sentence, and led by a SHA-256 of that and the rows. What is not exactly what
was written is not there. Anyone may write, at any time: a file gets its name when it is whole.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from clipsearch.storage.layout import TEMPORARY_SUFFIX, make_private_dir, open_private
from clipsearch.types import Floats

FOLDER = "labels"
SUFFIX = ".labels"
# Of the folder; a thousand labels by ViT-B/32 are 2 MB.
MOST_BYTES = 64_000_000
_DIGEST_BYTES = 32

Sentences = Sequence[Sequence[str]]


class LabelVectors:
    """The label sets that one library keeps."""

    def __init__(self, library: Path) -> None:
        self._folder = library / FOLDER

    def load(self, fingerprint: str, sentences: Sentences, dim: int) -> Floats | None:
        """The rows (labels, dim) that were kept for these sentences, one list a label, or None."""
        key = _key(fingerprint, sentences)
        path = self._path(key)
        expected = _DIGEST_BYTES + 4 * dim * len(sentences)
        try:
            if path.stat().st_size != expected:
                return None
            content = path.read_bytes()
            # The sets that are asked for last are the last to go.
            with suppress(OSError):
                os.utime(path)
        except OSError:
            return None
        digest, data = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(key + data).digest() != digest:
            return None
        return np.frombuffer(data, "<f4").reshape(-1, dim).astype(np.float32)

    def keep(self, fingerprint: str, sentences: Sentences, rows: Floats) -> None:
        """Keep the rows for these sentences. Without room or permission nothing is kept."""
        key = _key(fingerprint, sentences)
        data = rows.astype("<f4").tobytes()
        if _DIGEST_BYTES + len(data) > MOST_BYTES:
            return
        temporary = self._folder / f"{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
        with suppress(OSError):
            make_private_dir(self._folder)
            self._make_room(_DIGEST_BYTES + len(data))
            try:
                with os.fdopen(open_private(temporary, exclusive=True), "wb") as file:
                    file.write(hashlib.sha256(key + data).digest() + data)
                temporary.replace(self._path(key))
            finally:
                temporary.unlink(missing_ok=True)

    def _path(self, key: bytes) -> Path:
        return self._folder / f"{key.hex()}{SUFFIX}"

    def _make_room(self, needed: int) -> None:
        """Remove what was not used longest, unfinished files too, until `needed` bytes fit."""
        files = [p for p in self._folder.iterdir() if p.suffix in (SUFFIX, TEMPORARY_SUFFIX)]
        aged = sorted(((path.stat(), path) for path in files), key=lambda each: each[0].st_mtime_ns)
        used = sum(stat.st_size for stat, _ in aged)
        for stat, path in aged:
            if used + needed <= MOST_BYTES:
                return
            path.unlink(missing_ok=True)
            used -= stat.st_size


def _key(fingerprint: str, sentences: Sentences) -> bytes:
    text = json.dumps([fingerprint, [list(each) for each in sentences]])
    return hashlib.sha256(text.encode("ascii")).digest()
