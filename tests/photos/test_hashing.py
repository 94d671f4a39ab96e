"""The hash of a file is of one whole reading of it, or there is none."""

import hashlib
import os
from pathlib import Path

import pytest

from clipsearch.errors import NotPhoto, PhotoError, PhotoGone
from clipsearch.photos import hashing
from clipsearch.photos.hashing import hash_file


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_the_hash_is_that_of_all_bytes(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    found = hash_file(bytes(path))
    assert found.content_hash == hashlib.sha256(content).digest()
    assert found.stat.size == size
    assert found.stat.mtime_ns == path.stat().st_mtime_ns


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.jpg"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        (tmp_path / "target").write_text("x")
        path.symlink_to(tmp_path / "target")
    with pytest.raises(PhotoError) as caught:
        hash_file(bytes(path))
    assert isinstance(caught.value, NotPhoto)


def test_what_is_gone_is_gone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for name in (b"none.jpg", b"file/none.jpg"):
        with pytest.raises(PhotoGone):
            hash_file(bytes(tmp_path) + b"/" + name)


def test_a_file_that_changes_meanwhile_has_no_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"before")
    real = os.read

    def read(descriptor: int, size: int) -> bytes:
        path.write_bytes(b"after that")
        return real(descriptor, size)

    monkeypatch.setattr(hashing.os, "read", read)
    with pytest.raises(PhotoError, match="changed while reading"):
        hash_file(bytes(path))


def test_a_disk_error_is_told_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="file name too long"):
        hash_file(bytes(tmp_path) + b"/" + b"x" * 300)
