"""What decoding a photo will cost, known from its header before anything is decoded."""

from clipsearch.errors import RefusedPhoto
from clipsearch.photos.limits import ReadLimits


def require_affordable(
    size: tuple[int, int], *, bytes_per_pixel: float, data: bytes, limits: ReadLimits
) -> None:
    """Raise RefusedPhoto when a photo of `size` = (width, height) is over a limit.

    `bytes_per_pixel` is what decoding holds at its peak, beside the file's own bytes `data`.
    """
    width, height = size
    if width < 1 or height < 1:
        raise RefusedPhoto(f"the photo has no pixels ({width} x {height})")
    if width * height > limits.pixels:
        raise RefusedPhoto(
            f"{width} x {height} is {width * height} pixels, over the limit of {limits.pixels}"
        )
    needed = int(width * height * bytes_per_pixel) + len(data)
    if needed > limits.memory_bytes:
        raise RefusedPhoto(
            f"{width} x {height} needs about {needed // 1_000_000} MB to decode,"
            f" over the limit of {limits.memory_bytes // 1_000_000} MB"
        )
