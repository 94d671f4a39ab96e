"""What every image tower demands of its input, said once."""

from clipsearch.types import ModelInfo, Pixels


def check_pixels(pixels: Pixels, info: ModelInfo) -> None:
    """Raise ValueError unless `pixels` is (batch, height, width, 3) uint8 of the model's size."""
    wanted = (*info.preprocess.size, 3)
    if pixels.dtype != "uint8" or pixels.ndim != 4 or pixels.shape[1:] != wanted:
        raise ValueError(
            f"{info.name} takes (batch, {wanted[0]}, {wanted[1]}, 3) uint8, "
            f"got {pixels.shape} {pixels.dtype}"
        )
