"""Any picture mode to 8-bit RGB, so that a photo looks as it does in a viewer."""

import io

import numpy as np
from PIL import Image, ImageCms

_WHITE = (255, 255, 255)
_BITS_PER_SAMPLE = 258


def to_rgb(image: Image.Image) -> Image.Image:
    """`image`, already loaded, as 8-bit RGB.

    16-bit values are scaled to 8 bits (Pillow clips them, which turns a photo white), numbers
    without a known range are stretched, CMYK goes through its own colour profile when it has one.
    Transparent parts become white: that is what pages and viewers show behind them, whereas the
    colour stored under a transparent pixel is arbitrary and mostly black.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        return _from_16_bit(image).convert("RGB")
    if image.mode in ("I", "F"):
        return _from_numbers(image).convert("RGB")
    if image.mode == "CMYK":
        return _from_cmyk(image)
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        return _over_white(image)
    return image.convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    coloured = image.convert("RGBA")
    opaque = Image.new("RGB", image.size, _WHITE)
    opaque.paste(coloured, mask=coloured.getchannel("A"))
    return opaque


def _from_16_bit(image: Image.Image) -> Image.Image:
    """Keep the high byte, as Pillow does for 16-bit colour; TIFF may use fewer than 16 bits."""
    values = np.asarray(image)
    bits = 16
    stated = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))
    if isinstance(stated, tuple) and stated and 8 < stated[0] < 16:
        bits = stated[0]
    return Image.fromarray(np.minimum(values >> (bits - 8), 255).astype(np.uint8))


def _from_numbers(image: Image.Image) -> Image.Image:
    """32-bit integers and floats: 0..1, 0..255 and 0..65535 are taken as such, others stretched."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    lowest, highest = float(values.min()), float(values.max())
    if lowest < 0.0 or highest > 65535.0:
        span = highest - lowest
        scaled = (values - lowest) * (255.0 / span) if span > 0 else np.zeros_like(values)
    elif image.mode == "F" and highest <= 1.0:
        scaled = values * 255.0
    elif highest <= 255.0:
        scaled = values
    else:
        scaled = values * (255.0 / 65535.0)
    return Image.fromarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))


def _from_cmyk(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and profile:
        try:
            converted = ImageCms.profileToProfile(
                image, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except ImageCms.PyCMSError:
            # A damaged profile, or one of another colour space: the plain formula is near enough.
            return image.convert("RGB")
        if converted is not None:
            return converted
    return image.convert("RGB")
