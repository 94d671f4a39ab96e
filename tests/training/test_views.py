"""Views: crops with the model's own filter and shape, light and grey as drawn."""

import numpy as np
import pytest
import torch
from PIL import Image

from clipsearch.training.augment import change_light
from clipsearch.training.views import DRAWS, Augmentation, draw_view, finish
from clipsearch.types import Pixels, Preprocess

PLAIN = Augmentation(min_area=1.0, narrowest=1.0, flip=False, light=0.0)
HALF = np.full(DRAWS, 0.5)


def preprocess(
    size: tuple[int, int] = (8, 8), interpolation: str = "bicubic", resize_mode: str = "shortest"
) -> Preprocess:
    return Preprocess(
        size=size,
        mean=(0.5, 0.25, 0.0),
        std=(0.5, 0.25, 1.0),
        interpolation=interpolation,  # type: ignore[arg-type]
        resize_mode=resize_mode,  # type: ignore[arg-type]
        fill_color=7,
    )


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "filter_"),
    [("bicubic", Image.Resampling.BICUBIC), ("bilinear", Image.Resampling.BILINEAR)],
)
def test_the_filter_is_the_models(name: str, filter_: Image.Resampling) -> None:
    photo = noise(20, 20)
    view = draw_view(photo, preprocess(interpolation=name), PLAIN, HALF, may_flip=True)
    assert np.array_equal(view, np.array(Image.fromarray(photo).resize((8, 8), filter_)))


def test_squash_sees_the_whole_photo_whatever_its_shape() -> None:
    photo = noise(20, 60)
    view = draw_view(photo, preprocess((8, 12), resize_mode="squash"), PLAIN, HALF, True)
    whole = Image.fromarray(photo).resize((12, 8), Image.Resampling.BICUBIC)
    assert np.array_equal(view, np.array(whole))


def test_longest_keeps_the_shape_and_fills_the_rest() -> None:
    photo = np.full((20, 40, 3), 200, dtype=np.uint8)
    view = draw_view(photo, preprocess(resize_mode="longest"), PLAIN, HALF, True)
    assert (view[2:6] == 200).all()
    assert (view[:2] == 7).all()
    assert (view[6:] == 7).all()


def test_shortest_does_not_stretch_when_no_other_shape_is_wanted() -> None:
    photo = np.zeros((20, 40, 3), dtype=np.uint8)
    photo[:, 10:30] = 255  # the square in the middle
    draws = HALF.copy()
    draws[0] = 0.0  # the least area: half of it
    view = draw_view(photo, preprocess(), Augmentation(0.5, 1.0, False, 0.0), draws, True)
    assert (view > 230).all()  # the filter reaches a little over the edge, as in evaluation


@pytest.mark.parametrize(
    ("draw", "may_flip", "flips"), [(0.4, True, 1), (0.6, True, 0), (0.4, False, 0)]
)
def test_mirrored_by_its_draw_unless_forbidden(draw: float, may_flip: bool, flips: int) -> None:
    photo = noise(8, 8)
    draws = HALF.copy()
    draws[4] = draw
    flipping = Augmentation(min_area=1.0, narrowest=1.0, flip=True, light=0.0)
    view = draw_view(photo, preprocess(), flipping, draws, may_flip)
    assert np.array_equal(view, photo[:, ::-1] if flips else photo)


def test_normalised_with_the_models_own_mean_and_deviation() -> None:
    white = np.full((2, 2, 3), 255, dtype=np.uint8)
    finished = finish(white, preprocess(), PLAIN, HALF)
    assert finished.dtype == np.float32
    assert finished[0, 0] == pytest.approx([1.0, 3.0, 1.0])


def test_light_by_table_is_light_pixel_by_pixel() -> None:
    view, draws = noise(8, 8), np.random.default_rng(1).random(DRAWS)
    finished = finish(view, preprocess(), Augmentation(light=0.5), draws)
    pixels = torch.from_numpy(view).permute(2, 0, 1)[None].double() / 255  # [1, 3, h, w]
    brightness, contrast = torch.from_numpy(1 + 0.5 * (2 * draws[5:7] - 1))
    changed = change_light(pixels, brightness[None], contrast[None])[0].permute(1, 2, 0).numpy()
    slow = (changed - np.array([0.5, 0.25, 0.0])) / np.array([0.5, 0.25, 1.0])
    assert np.allclose(finished, slow, atol=1e-6)
    assert changed.max() == 1.0  # some of it was cut off


def test_grey_by_its_draw() -> None:
    red = np.zeros((1, 1, 3), dtype=np.uint8)
    red[..., 0] = 255
    some_grey = Augmentation(light=0.0, grey=0.2)
    draws = HALF.copy()
    for draw, blue in ((0.1, 76 / 255), (0.9, 0.0)):
        draws[7] = draw
        assert finish(red, preprocess(), some_grey, draws)[0, 0, 2] == pytest.approx(blue)
