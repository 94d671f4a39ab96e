"""A live photo is a still and a short movie of one name: the still is indexed, the movie is not."""

import struct
from pathlib import Path

import pytest
from PIL import Image

from tests.indexing.album import Album, adds_up, vector_of

RED = (255, 0, 0)


def box(kind: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I", 8 + len(data)) + kind + data


def movie(still: bytes, brand: bytes) -> bytes:
    """A QuickTime or MPEG-4 file as a telephone writes it; its frames are pictures, too."""
    ftyp = box(b"ftyp", brand, bytes(4), brand) if brand else b""
    return ftyp + box(b"wide") + box(b"mdat", still) + box(b"moov", box(b"mvhd", bytes(100)))


@pytest.mark.row("D5")
@pytest.mark.parametrize("brand", [b"qt  ", b"mp42", b""], ids=["qt", "mp42", "old QuickTime"])
@pytest.mark.parametrize(
    ("still", "moving"), [("IMG_1.JPG", "IMG_1.MOV"), ("IMG_1.HEIC", "IMG_1.MOV")]
)
def test_the_still_of_a_live_photo(tmp_path: Path, still: str, moving: str, brand: bytes) -> None:
    album = Album(tmp_path)
    path = album.photos / still
    if path.suffix == ".HEIC":
        pillow_heif = pytest.importorskip("pillow_heif", reason="HEIC needs the heif extra")
        pillow_heif.from_pillow(Image.new("RGB", (64, 64), RED)).save(path, quality=100)
    else:
        Image.new("RGB", (64, 64), RED).save(path, "JPEG", quality=95)
    (album.photos / moving).write_bytes(movie(path.read_bytes(), brand))
    first = album.index()
    assert (first.new, first.other_files, first.problems) == (1, 1, {})
    assert first.complete
    assert adds_up(first)
    stored = album.stored()
    assert stored.keys() == {still}
    assert stored[still] @ vector_of(RED) > 0.999
    again = album.index()
    assert (again.unchanged, again.other_files, again.encoded) == (1, 1, 0)
    # Of a movie alone there is nothing to show.
    path.unlink()
    alone = album.index(confirm_missing=True)
    assert (alone.missing, alone.other_files) == (1, 1)
    assert album.stored() == {}
