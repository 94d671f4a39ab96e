from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clipsearch.errors import ClipsearchError, DamagedPhoto
from clipsearch.training.encoding import (
    HeldOut,
    encode_pairs,
    encode_photos,
    encode_texts,
    normalised,
)
from clipsearch.types import CaptionedPhoto, Pixels, Preprocess

PREPROCESS = Preprocess(size=(2, 2), mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))


@dataclass
class Grey:
    """A photo whose one byte is its brightness."""

    name: str
    data: bytes

    def read(self) -> bytes:
        if not self.data:
            raise FileNotFoundError(2, "No such file or directory")
        return self.data


def pixels_of(data: bytes) -> Pixels:
    if data == b"bad":
        raise DamagedPhoto("damaged JPEG: nothing in it")
    return np.full((2, 2, 3), data[0], np.uint8)


def photo(brightness: int, *captions: str) -> CaptionedPhoto:
    return CaptionedPhoto(Grey(f"{brightness}.jpg", bytes([brightness])), captions)


class TwoNumbers(nn.Module):
    """Photos by brightness and texts by length, as directions; dropout that would show."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.locked = nn.Dropout(0.5).eval()
        self.dropout = nn.Dropout(0.5)
        self.batches: list[int] = []

    def encode_image(self, images: Tensor, normalize: bool) -> Tensor:
        assert normalize
        self.batches.append(len(images))
        assert images.shape[1:] == (3, 2, 2)
        return self._direction(images[:, 0, 0, 0])

    def encode_text(self, tokens: Tensor, normalize: bool) -> Tensor:
        assert normalize
        self.batches.append(len(tokens))
        return self._direction(tokens[:, 0].float())

    def _direction(self, number: Tensor) -> Tensor:
        number = self.dropout(number * self.scale)
        return nn.functional.normalize(torch.stack([number, torch.ones_like(number)], 1), dim=1)


def tokenize(texts: Sequence[str]) -> Tensor:
    return torch.tensor([[len(text)] for text in texts])


def direction(number: float) -> list[float]:
    return [number / np.hypot(number, 1), 1 / np.hypot(number, 1)]


def test_pairs_know_their_photos() -> None:
    photos = [photo(0, "a", "bb"), photo(255), photo(51, "ccc")]
    found = encode_pairs(TwoNumbers(), tokenize, PREPROCESS, HeldOut(photos, pixels_of))
    # The first channel: (brightness / 255 - 0.5) / 0.5.
    np.testing.assert_allclose(
        found.image, [direction(-1), direction(1), direction(-0.6)], atol=1e-6
    )
    np.testing.assert_allclose(found.text, [direction(1), direction(2), direction(3)], atol=1e-6)
    assert found.owner.tolist() == [0, 0, 2]
    assert found.photos.tolist() == [0, 1, 2]


def test_what_cannot_be_read_is_named_and_left_out() -> None:
    photos = [
        CaptionedPhoto(Grey("gone.jpg", b""), ("gone",)),
        photo(255, "here"),
        CaptionedPhoto(Grey("bad.jpg", b"bad"), ("bad", "worse")),
        photo(0, "there", "too"),
    ]
    held_out = HeldOut(photos, pixels_of)
    found = encode_pairs(TwoNumbers(), tokenize, PREPROCESS, held_out)
    assert found.photos.tolist() == [1, 3]
    assert found.owner.tolist() == [0, 1, 1]
    assert len(found.text) == 3
    assert [(each.number, each.name, each.reason) for each in held_out.unreadable] == [
        (0, "gone.jpg", "No such file or directory"),
        (2, "bad.jpg", "damaged JPEG: nothing in it"),
    ]


@pytest.mark.parametrize("keep_bytes", [0, 24, 1000])
def test_memory_changes_nothing(keep_bytes: int) -> None:
    photos = [photo(brightness, "x") for brightness in range(0, 200, 2)]
    held_out = HeldOut(photos, pixels_of, keep_bytes=keep_bytes)
    model = TwoNumbers()
    once, _ = encode_photos(model, PREPROCESS, held_out, batch_size=7)
    again, _ = encode_photos(model, PREPROCESS, held_out, batch_size=7)
    assert once.tobytes() == again.tobytes()
    assert max(model.batches) == 7
    assert sum(model.batches) == 200


def test_kept_photos_are_read_once() -> None:
    source = Grey("7.jpg", bytes([7]))
    held_out = HeldOut([CaptionedPhoto(source)], pixels_of)
    once = encode_photos(TwoNumbers(), PREPROCESS, held_out)[0]
    source.data = bytes([250])
    assert encode_photos(TwoNumbers(), PREPROCESS, held_out)[0].tolist() == once.tolist()


def test_a_photo_that_vanishes_between_two_models_stops() -> None:
    source = Grey("7.jpg", bytes([7]))
    held_out = HeldOut([CaptionedPhoto(source), photo(1)], pixels_of, keep_bytes=0)
    encode_photos(TwoNumbers(), PREPROCESS, held_out)
    source.data = b""
    with pytest.raises(ClipsearchError, match=r"7\.jpg cannot be read any more: No such file"):
        encode_photos(TwoNumbers(), PREPROCESS, held_out)


def test_the_model_is_left_as_it_was() -> None:
    model = TwoNumbers().train()
    model.locked.eval()
    state = torch.get_rng_state()
    found = encode_texts(model, tokenize, ["a", "bb"])
    np.testing.assert_allclose(found, [direction(1), direction(2)], atol=1e-6)  # no dropout
    assert (model.training, model.dropout.training, model.locked.training) == (True, True, False)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.scale.grad is None


def test_equal_captions_are_one() -> None:
    model = TwoNumbers()
    found = encode_texts(model, tokenize, ["aa", "b", "aa"], batch_size=1)
    assert found[0].tobytes() == found[2].tobytes()
    assert model.batches == [1, 1]
    assert len(encode_texts(model, tokenize, [])) == 0


def test_normalised_pixels() -> None:
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(1, 2, 2, 3)
    found = normalised(pixels, PREPROCESS)
    assert found.shape == (1, 3, 2, 2)
    np.testing.assert_allclose(found[0, :, 1, 1], [-1, -0.2, 1], atol=1e-6)
    assert found.is_contiguous(memory_format=torch.channels_last)
