"""Random crops, flips and light changes, drawn from (seed, epoch, index) alone, so that a resumed
or repeated run sees the same pixels."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

# The mean and deviation used by OpenAI CLIP; the exported preprocessing names the same numbers.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

_DRAWS = 7


def uniforms(seed: int, epoch: int, indices: NDArray[np.int64], draws: int) -> NDArray[np.float64]:
    """Random numbers in [0, 1) that depend only on (seed, epoch, index, draw).

    `indices` [n]; returns [n, draws]. The mixing function is SplitMix64 (Steele, Lea and Flood,
    "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
    """
    with np.errstate(over="ignore"):
        mixed_seed = np.array(seed, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        state = _mix(np.asarray(mixed_seed + np.uint64(epoch)))
        per_photo = _mix(state + indices.astype(np.uint64))[:, None]  # [n, 1]
        steps = np.arange(1, draws + 1, dtype=np.uint64)[None] * np.uint64(0x9E3779B97F4A7C15)
        bits = _mix(per_photo + steps)  # [n, draws]
    return np.asarray((bits >> np.uint64(11)).astype(np.float64) / float(1 << 53))


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)), dtype=np.uint64)


def crop_box(
    height: int,
    width: int,
    draws: NDArray[np.float64],
    min_area: float,
    narrowest: float = 3 / 4,
) -> tuple[int, int, int, int]:
    """A random part of a photo as (top, left, height, width), in pixels.

    `draws` [4] in [0, 1): area share (min_area..1), aspect ratio (narrowest..1/narrowest,
    log-uniform), and the two offsets, as in Szegedy et al., "Going Deeper with Convolutions",
    2014, section 6. A side that would be longer than the photo is cut to it.
    """
    area = height * width * (min_area + (1 - min_area) * draws[0])
    ratio = narrowest ** (1 - 2 * draws[1])
    crop_height = min(height, max(1, round((area / ratio) ** 0.5)))
    crop_width = min(width, max(1, round((area * ratio) ** 0.5)))
    top = int(draws[2] * (height - crop_height + 1))
    left = int(draws[3] * (width - crop_width + 1))
    return top, left, crop_height, crop_width


def augment(
    photos: Sequence[NDArray[np.uint8]],
    size: int,
    seed: int,
    epoch: int,
    indices: NDArray[np.int64],
    min_area: float = 0.35,
    light: float = 0.25,
) -> Tensor:
    """Crop, resize, flip and change brightness and contrast, each photo by its own draws.

    `photos` are uint8 [height, width, 3]; `indices` [n] names them; `size` in pixels; `light` is
    the largest relative change of brightness and contrast. Returns float32 [n, 3, size, size]
    with pixels in 0..1, stored channels last.
    """
    draws = uniforms(seed, epoch, indices, _DRAWS)
    batch = torch.empty((len(photos), 3, size, size), dtype=torch.uint8)
    batch = batch.contiguous(memory_format=torch.channels_last)
    for i, photo in enumerate(photos):
        top, left, height, width = crop_box(photo.shape[0], photo.shape[1], draws[i, :4], min_area)
        part = photo[top : top + height, left : left + width]
        if draws[i, 4] < 0.5:
            part = part[:, ::-1]
        pixels = torch.from_numpy(np.array(part)).permute(2, 0, 1)[None]
        batch[i] = interpolate(pixels, (size, size), mode="bilinear", antialias=True)[0]
    change = torch.from_numpy((1 + light * (2 * draws[:, 5:7] - 1)).astype(np.float32))  # [n, 2]
    return change_light(batch.float().div_(255), change[:, 0], change[:, 1])


def change_light(pixels: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
    """Scale brightness, then contrast around each photo's own mean; clamped to 0..1.

    `pixels` [n, 3, h, w] in 0..1; `brightness`, `contrast` [n], 1.0 changes nothing.
    """
    bright = pixels * brightness[:, None, None, None]
    mean = bright.mean(dim=(1, 2, 3), keepdim=True)  # [n, 1, 1, 1]
    return ((bright - mean) * contrast[:, None, None, None] + mean).clamp_(0, 1)


def some_without_colour(
    pixels: Tensor, seed: int, epoch: int, indices: NDArray[np.int64], share: float = 0.04
) -> Tensor:
    """`pixels` [n, 3, h, w] with about `share` of the photos made black and white, always the same
    ones for (seed, epoch, index). Luma of ITU-R BT.601, as in Pillow's "L"."""
    # An epoch number that no run reaches, so that these draws are not the crop's.
    chosen = torch.from_numpy(uniforms(seed, epoch + (1 << 32), indices, 1)[:, 0] < share)
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    luma = (pixels[chosen] * weights).sum(dim=1, keepdim=True)
    pixels[chosen] = luma.expand(-1, 3, -1, -1)
    return pixels


def normalise(pixels: Tensor) -> Tensor:
    """Subtract MEAN and divide by STD, for pixels [n, 3, h, w] in 0..1."""
    mean = torch.tensor(MEAN)[:, None, None]
    std = torch.tensor(STD)[:, None, None]
    return (pixels - mean) / std
