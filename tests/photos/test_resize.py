import numpy as np
import pytest
from PIL import Image

from clipsearch.photos.resize import resized_size, to_pixels
from clipsearch.types import Preprocess
from tests.photos.samples import BLUE, RED, noise, preprocess

MODES = ["shortest", "longest", "squash"]


@pytest.mark.parametrize(
    ("mode", "size", "expected"),
    [
        ("shortest", (500, 375), (298, 224)),  # 298.67: torchvision cuts
        ("shortest", (375, 500), (224, 298)),
        ("shortest", (224, 224), (224, 224)),
        ("longest", (500, 375), (224, 168)),
        ("longest", (1000, 3), (224, 1)),
        ("squash", (500, 375), (224, 224)),
    ],
)
def test_sizes_before_the_crop(mode: str, size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resized_size(size, preprocess(224, mode)) == expected


def test_pixels_are_the_photo_where_nothing_has_to_change() -> None:
    image = noise(8, 8)
    pixels = to_pixels(image, preprocess(8))
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    assert np.array_equal(pixels, np.asarray(image))


def test_rows_are_height_and_columns_width() -> None:
    image = Image.new("RGB", (8, 8), RED)
    image.paste(BLUE, (0, 4, 8, 8))
    pixels = to_pixels(image, preprocess(8))
    assert pixels[0, 7].tolist() == list(RED)
    assert pixels[7, 0].tolist() == list(BLUE)


def test_shortest_keeps_the_middle_and_longest_pads_with_the_fill_colour() -> None:
    image = Image.new("RGB", (24, 8), RED)
    image.paste(BLUE, (8, 0, 16, 8))
    assert (to_pixels(image, preprocess(8)) == BLUE).all()
    padded = to_pixels(Image.new("RGB", (24, 8), RED), preprocess(9, "longest", fill_color=7))
    # 24 x 8 becomes 9 x 3: three rows above and three below are padding.
    assert (padded[:3] == 7).all()
    assert (padded[3:6] == RED).all()
    assert (padded[6:] == 7).all()


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1), (1, 1), (3, 4000)])
@pytest.mark.parametrize("mode", MODES)
def test_extreme_shapes_cost_little_and_come_out_whole(size: tuple[int, int], mode: str) -> None:
    pixels = to_pixels(Image.new("RGB", size, RED), preprocess(224, mode, fill_color=255))
    assert pixels.shape == (224, 224, 3)
    assert (pixels[..., 0] == 255).all()


def test_the_short_cut_for_extreme_shapes_equals_the_long_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for size in [(900, 40), (40, 900), (333, 100)]:
        image = noise(*size)
        long_way = to_pixels(image, preprocess(32)).astype(int)
        with monkeypatch.context() as patch:
            patch.setattr("clipsearch.photos.resize._MOST_RESIZED_PIXELS", 0)
            short_cut = to_pixels(image, preprocess(32)).astype(int)
        assert np.abs(long_way - short_cut).max() <= 1


@pytest.mark.real
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(64, 64), (224, 224), (48, 96)])
def test_equal_to_open_clip_to_the_bit(
    mode: str, interpolation: str, size: tuple[int, int]
) -> None:
    from open_clip.transform import image_transform

    wanted = Preprocess(
        size=size,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        interpolation=interpolation,  # type: ignore[arg-type]
        resize_mode=mode,  # type: ignore[arg-type]
        fill_color=11,
    )
    theirs = image_transform(
        size,
        is_train=False,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        resize_mode=mode,
        interpolation=interpolation,
        fill_color=11,
    )
    for number, shape in enumerate([(500, 375), (375, 500), (64, 64), (91, 37), (30, 31), (1, 9)]):
        image = noise(*shape, seed=number)
        expected = theirs(image).mul(255).round().byte().permute(1, 2, 0).numpy()
        assert np.array_equal(to_pixels(image, wanted), expected), shape
