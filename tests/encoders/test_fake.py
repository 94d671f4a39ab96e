"""The fake model's vectors, computed by hand."""

from pathlib import Path

import numpy as np
import pytest

from clipsearch.encoders import find_installed, install, load_bulk_encoder, load_towers
from clipsearch.encoders.fake import FAKE, FakeImageEncoder, FakeTextEncoder


def silent(stage: str, done: int, total: int | None) -> None:
    """A Progress nobody watches."""


def photo(*colour: int) -> np.ndarray:
    return np.full((1, 32, 32, 3), colour, np.uint8)


@pytest.mark.parametrize(
    ("colour", "vector"),
    [
        ((255, 0, 0), (1, 0, 0, 0)),
        ((0, 0, 0), (0, 0, 0, 1)),
        ((255, 255, 255), (3**-0.5, 3**-0.5, 3**-0.5, 0)),
        ((51, 0, 0), (0.2 / 0.68**0.5, 0, 0, 0.8 / 0.68**0.5)),
    ],
)
def test_a_photo_is_its_mean_colour(colour, vector):
    np.testing.assert_allclose(FakeImageEncoder().encode_image(photo(*colour)), [vector], atol=1e-6)


def test_the_mean_is_over_the_whole_photo():
    half_red_half_blue = photo(255, 0, 0)
    half_red_half_blue[:, :, 16:] = (0, 0, 255)
    # The mean is (1/2, 0, 1/2), its darkness 1/2: three equal parts.
    np.testing.assert_allclose(
        FakeImageEncoder().encode_image(half_red_half_blue),
        [[3**-0.5, 0, 3**-0.5, 3**-0.5]],
        atol=1e-6,
    )


def test_a_colour_word_is_a_photo_of_that_colour():
    text = FakeTextEncoder().encode_text(["red", "a photo of the BLUE", "grey"])
    np.testing.assert_allclose(text, [[1, 0, 0, 0], [0, 0, 1, 0], [0.5, 0.5, 0.5, 0.5]], atol=1e-6)


def test_colours_are_averaged():
    np.testing.assert_allclose(
        FakeTextEncoder().encode_text(["red and green"]),
        [[3**-0.5, 3**-0.5, 0, 3**-0.5]],
        atol=1e-6,
    )


def test_other_words_have_a_vector_of_their_own():
    first, second, again = FakeTextEncoder().encode_text(["dog", "cat", "Dog"])
    assert np.linalg.norm(first) == pytest.approx(1)
    np.testing.assert_array_equal(first, again)
    assert abs(first @ second) < 0.999


def test_vectors_do_not_depend_on_the_batch():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (5, 32, 32, 3), np.uint8)
    together = FakeImageEncoder().encode_image(pixels)
    apart = np.concatenate([FakeImageEncoder().encode_image(row[None]) for row in pixels])
    np.testing.assert_array_equal(together, apart)


def test_no_texts_and_no_photos_give_no_rows():
    assert FakeTextEncoder().encode_text([]).shape == (0, 4)
    assert FakeImageEncoder().encode_image(np.empty((0, 32, 32, 3), np.uint8)).shape == (0, 4)


def test_words_beyond_the_context_are_cut_and_said_so():
    long = "photo " * 16 + "red"
    assert FakeTextEncoder().truncated(["red", long]) == [False, True]
    assert FakeTextEncoder().encode_text([long])[0, 0] != pytest.approx(1)


def test_unknown_words_are_listed_once():
    assert FakeTextEncoder().unknown_words("A red dog, a dog and a cat") == ["dog", "cat"]
    assert FakeTextEncoder().unknown_words("a photo of the blue") == []


@pytest.mark.parametrize("shape", [(1, 31, 32, 3), (32, 32, 3), (1, 32, 32, 4)])
def test_pixels_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="fake takes"):
        FakeImageEncoder().encode_image(np.zeros(shape, np.uint8))


def test_it_is_always_installed(tmp_path: Path):
    assert install("fake", tmp_path, silent) == FAKE
    assert find_installed("fake", tmp_path) == FAKE
    towers = load_towers(FAKE, tmp_path)
    assert towers.text is towers.text
    assert isinstance(load_bulk_encoder(FAKE, tmp_path, expected=3), FakeImageEncoder)
    assert list(tmp_path.iterdir()) == []
