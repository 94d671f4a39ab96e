"""What a photo looks like in one epoch of fine-tuning: a random crop at the size of the model.

The draws come from `augment.uniforms`, so that a view depends on (seed, epoch, index) alone; the
resize is Pillow's, with the interpolation that the model's own preprocessing asks for.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipsearch.training.augment import crop_box
from clipsearch.types import Floats, Pixels, Preprocess

DRAWS = 8  # 4 for the crop, then flip, brightness, contrast and grey

# Side of the square on which a crop is drawn where the photo's own shape must not matter.
_UNIT_SIDE = 10_000


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far a view may be from the photo.

    `min_area`: the least share of the photo that a crop keeps; `narrowest`: its least aspect ratio
    (1/narrowest the greatest); `flip`: whether half of the views are mirrored; `light`: the largest
    relative change of brightness and contrast; `grey`: the share of views without colours.
    """

    min_area: float = 0.9
    narrowest: float = 3 / 4
    flip: bool = True
    light: float = 0.1
    grey: float = 0.0


# Mild, as open_clip's default for training: captions speak of the whole photo and its colours.
FOR_CAPTIONS = Augmentation()
# Strong: two views of one photo must not be told to be one by their colours and their place alone
# (Chen et al., "A Simple Framework for Contrastive Learning", 2020, section 3).
FOR_VIEWS = Augmentation(min_area=0.35, light=0.4, grey=0.2)


def resampling(preprocess: Preprocess) -> Image.Resampling:
    """The filter that the model's preprocessing resizes with."""
    if preprocess.interpolation == "bilinear":
        return Image.Resampling.BILINEAR
    return Image.Resampling.BICUBIC


def draw_view(
    photo: Pixels,
    preprocess: Preprocess,
    augmentation: Augmentation,
    draws: NDArray[np.float64],
    may_flip: bool,
) -> Pixels:
    """Crop, resize and perhaps mirror a photo.

    `photo` uint8 [h, w, 3]; `draws` [DRAWS] in [0, 1). Returns uint8 [*preprocess.size, 3]. Where
    the model sees whole photos (resize modes `squash` and `longest`) the crop has their shape.
    """
    height, width = photo.shape[:2]
    if preprocess.resize_mode == "shortest":
        box = crop_box(height, width, draws[:4], augmentation.min_area, augmentation.narrowest)
        top, left, crop_height, crop_width = (float(edge) for edge in box)
    else:
        box = crop_box(
            _UNIT_SIDE, _UNIT_SIDE, draws[:4], augmentation.min_area, augmentation.narrowest
        )
        top, crop_height = box[0] * height / _UNIT_SIDE, box[2] * height / _UNIT_SIDE
        left, crop_width = box[1] * width / _UNIT_SIDE, box[3] * width / _UNIT_SIDE
    edges = (left, top, min(left + crop_width, width), min(top + crop_height, height))
    pixels = _resized(Image.fromarray(photo), edges, preprocess)
    if augmentation.flip and may_flip and draws[4] < 0.5:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    return pixels


def finish(
    view: Pixels, preprocess: Preprocess, augmentation: Augmentation, draws: NDArray[np.float64]
) -> Floats:
    """Change the light of a view and normalise it as the model expects.

    `view` uint8 [h, w, 3], `draws` [DRAWS] in [0, 1). Returns float32 [h, w, 3]. The same as
    `augment.change_light` and a normalisation, by a table of the 256 values that a pixel can have:
    several times faster, and the same to the bit with any number of threads.
    """
    if draws[7] < augmentation.grey:
        grey = np.array(Image.fromarray(view).convert("L"))  # [h, w]
        view = np.repeat(grey[..., None], 3, axis=2)
    brightness, contrast = 1 + augmentation.light * (2 * draws[5:7] - 1)
    levels = np.arange(256) / 255 * brightness
    mean = view.mean(dtype=np.float64) / 255 * brightness
    levels = np.clip((levels - mean) * contrast + mean, 0, 1)
    table = (levels[:, None] - np.array(preprocess.mean)) / np.array(preprocess.std)  # [256, 3]
    finished = np.empty(view.shape, dtype=np.float32)
    for channel in range(3):
        finished[..., channel] = table[:, channel].astype(np.float32)[view[..., channel]]
    return finished


def _resized(
    photo: Image.Image, edges: tuple[float, float, float, float], preprocess: Preprocess
) -> Pixels:
    """The part inside `edges` (left, top, right, bottom) at the model's size."""
    height, width = preprocess.size
    if preprocess.resize_mode != "longest":
        resized = photo.resize((width, height), resampling(preprocess), box=edges)
        return np.array(resized, dtype=np.uint8)
    crop_width, crop_height = edges[2] - edges[0], edges[3] - edges[1]
    ratio = max(crop_width / width, crop_height / height)
    inner = (
        min(width, max(1, round(crop_width / ratio))),
        min(height, max(1, round(crop_height / ratio))),
    )
    resized = photo.resize(inner, resampling(preprocess), box=edges)
    canvas = Image.new("RGB", (width, height), (preprocess.fill_color,) * 3)
    canvas.paste(resized, ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return np.array(canvas, dtype=np.uint8)
