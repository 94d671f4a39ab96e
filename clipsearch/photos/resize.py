"""A photo to the pixels of an image tower: open_clip's evaluation transform, without torch.

The same Pillow calls in the same order as `open_clip.transform.image_transform(is_train=False)`,
so that the bytes are equal; the scaling to [0, 1] and the normalisation come later, in the tower.
"""

import numpy as np
from PIL import Image

from clipsearch.types import Pixels, Preprocess

# A photo of 1 x 20,000 pixels becomes 224 x 4,480,000 before its centre is cut out: 4 GB. Past
# this many pixels only the part that the crop keeps is computed.
_MOST_RESIZED_PIXELS = 50_000_000

Size = tuple[int, int]
Box = tuple[float, float, float, float]


def to_pixels(
    image: Image.Image,
    preprocess: Preprocess,
    *,
    full_size: Size | None = None,
    box: Box | None = None,
) -> Pixels:
    """RGB photo -> (height, width, 3) uint8 at `preprocess.size`, writable.

    Equal to what open_clip's transform gives before it turns to floats. For a photo decoded at a
    fraction of its size, `full_size` is its own (width, height) and `box` the part of `image` that
    is photo: without them the rounding of the smaller size would move the crop by up to a pixel.
    """
    width, height = resized_size(full_size or image.size, preprocess)
    source = box or (0.0, 0.0, float(image.width), float(image.height))
    crop_height, crop_width = preprocess.size
    if width * height > _MOST_RESIZED_PIXELS:
        resized = _resized_middle(image, source, (width, height), preprocess)
    else:
        resized = image.resize((width, height), _resample(preprocess), box=source)
    fill = preprocess.fill_color if preprocess.resize_mode == "longest" else 0
    fitted = _crop_or_pad(resized, (crop_width, crop_height), fill)
    return np.array(fitted, dtype=np.uint8)  # (height, width, 3)


def resized_size(size: Size, preprocess: Preprocess) -> Size:
    """(width, height) to which a photo of `size` = (width, height) is resized before the crop."""
    width, height = size
    target_height, target_width = preprocess.size
    if preprocess.resize_mode == "squash":
        return target_width, target_height
    if preprocess.resize_mode == "shortest" and target_width == target_height:
        # torchvision's Resize(int) cuts the fraction off, where open_clip's own rounds.
        if width <= height:
            return target_width, int(target_width * height / width)
        return int(target_height * width / height), target_height
    ratios = (height / target_height, width / target_width)
    ratio = max(ratios) if preprocess.resize_mode == "longest" else min(ratios)
    # open_clip rounds a very thin photo down to no pixels at all and fails; one is kept here.
    return max(1, round(width / ratio)), max(1, round(height / ratio))


def _resample(preprocess: Preprocess) -> Image.Resampling:
    height, width = preprocess.size
    if preprocess.interpolation == "bicubic":
        return Image.Resampling.BICUBIC
    if preprocess.resize_mode == "shortest" and height != width:
        # open_clip 3.3 forgets the interpolation for inputs that are not square.
        return Image.Resampling.BICUBIC
    return Image.Resampling.BILINEAR


def _resized_middle(
    image: Image.Image, source: Box, size: Size, preprocess: Preprocess
) -> Image.Image:
    """What a crop to `preprocess.size` keeps of `image` resized to `size`, and nothing else."""
    crop_height, crop_width = preprocess.size
    kept = (min(size[0], crop_width), min(size[1], crop_height))
    left, top = (round((size[i] - kept[i]) / 2.0) for i in (0, 1))
    scale_x, scale_y = (source[2] - source[0]) / size[0], (source[3] - source[1]) / size[1]
    box = (
        source[0] + left * scale_x,
        source[1] + top * scale_y,
        min(source[0] + (left + kept[0]) * scale_x, source[2]),
        min(source[1] + (top + kept[1]) * scale_y, source[3]),
    )
    return image.resize(kept, _resample(preprocess), box=box)


def _crop_or_pad(image: Image.Image, size: Size, fill: int) -> Image.Image:
    """The centre of `image` in `size`, padded where it is smaller, then cropped where larger."""
    padding = [max(0, size[i] - image.size[i]) for i in (0, 1)]
    if any(padding):
        grown = (image.width + padding[0], image.height + padding[1])
        canvas = Image.new("RGB", grown, (fill, fill, fill))
        canvas.paste(image, (padding[0] // 2, padding[1] // 2))
        image = canvas
    left, top = (round((image.size[i] - size[i]) / 2.0) for i in (0, 1))
    return image.crop((left, top, left + size[0], top + size[1]))
