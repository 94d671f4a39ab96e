"""What decoding a photo will cost, known from its header before anything is decoded."""

from clipsearch.errors import RefusedPhoto
from clipsearch.photos.limits import ReadLimits


def require_size(size: tuple[int, int], limits: ReadLimits) -> None:
    """Raise RefusedPhoto when a photo of `size` = (width, height) has too many pixels, or none."""
    width, height = size
    if width < 1 or height < 1:
        raise RefusedPhoto(f"the photo has no pixels ({width} x {height})")
    if width * height > limits.pixels:
        raise RefusedPhoto(
            f"{width} x {height} is {width * height} pixels, over the limit of {limits.pixels}"
        )


def require_memory(size: tuple[int, int], needed: float, limits: ReadLimits) -> None:
    """Raise RefusedPhoto when decoding a photo of `size` holds `needed` bytes at its peak."""
    if needed > limits.memory_bytes:
        raise RefusedPhoto(
            f"{size[0]} x {size[1]} needs about {needed / 1_000_000:.0f} MB to decode,"
            f" over the limit of {limits.memory_bytes / 1_000_000:.0f} MB"
        )
