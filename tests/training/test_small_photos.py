"""Decoded photos in memory: the same bytes whether kept or not, and never more than allowed."""

import io
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from clipsearch.errors import ClipsearchError, DamagedPhoto
from clipsearch.training.small_photos import SmallPhotos, shrunk
from clipsearch.types import CaptionedPhoto, Preprocess

PREPROCESS = Preprocess((10, 10), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Stored:
    name: str
    data: bytes

    def read(self) -> bytes:
        return self.data


class CountingDecoder:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, data: bytes) -> Image.Image:
        self.calls += 1
        return Image.open(io.BytesIO(data)).convert("RGB")


def photo(number: int) -> CaptionedPhoto:
    pixels = np.random.default_rng(number).integers(0, 256, (26, 26, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return CaptionedPhoto(Stored(f"{number}.png", stream.getvalue()), ("x",))


SMALL_BYTES = 13 * 13 * 3


def test_what_is_kept_is_not_decoded_again_and_is_the_same() -> None:
    decode, again = CountingDecoder(), CountingDecoder()
    kept = SmallPhotos([photo(0)], PREPROCESS, decode, SMALL_BYTES)
    never = SmallPhotos([photo(0)], PREPROCESS, again, 0)
    for _ in range(3):
        assert np.array_equal(kept.photo(0), never.photo(0))
    assert (decode.calls, again.calls) == (1, 3)


def test_no_more_is_kept_than_there_is_room_for() -> None:
    decode = CountingDecoder()
    photos = SmallPhotos([photo(i) for i in range(4)], PREPROCESS, decode, 2 * SMALL_BYTES + 1)
    for _ in range(3):
        for number in range(4):
            photos.photo(number)
    assert decode.calls == 4 + 2 + 2


def test_a_kept_photo_cannot_be_changed_by_accident() -> None:
    pixels = SmallPhotos([photo(0)], PREPROCESS, CountingDecoder(), 10**6).photo(0)
    with pytest.raises(ValueError, match="read-only"):
        pixels[0, 0] = 0


@pytest.mark.parametrize(
    ("mode", "size", "expected"),
    [
        ("shortest", (100, 50), (26, 13)),
        ("squash", (100, 50), (26, 13)),
        ("longest", (100, 50), (13, 6)),
        ("shortest", (40, 12), (40, 12)),  # smaller than 1.3 times the input: never enlarged
    ],
)
def test_the_size_of_a_small_photo(
    mode: str, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    preprocess = Preprocess((10, 10), (0, 0, 0), (1, 1, 1), "bicubic", mode)  # type: ignore[arg-type]
    height, width, _ = shrunk(Image.new("RGB", size), preprocess).shape
    assert (width, height) == expected


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory"), "No such file or directory"),
        (DamagedPhoto("damaged JPEG: truncated"), "damaged JPEG: truncated"),
    ],
)
def test_a_photo_that_is_gone_is_named(error: Exception, reason: str) -> None:
    def decode(_data: bytes) -> Image.Image:
        raise error

    photos = SmallPhotos([photo(0), photo(1)], PREPROCESS, decode, 10**6)
    with pytest.raises(ClipsearchError, match=rf"the photo 1\.png cannot be read .*{reason}"):
        photos.photo(1)
