"""Bytes that are or were a photo: pixels of the asked size, or one of our errors."""

from clipsearch.errors import PhotoError
from clipsearch.photos.limits import ReadLimits
from clipsearch.photos.opening import decode
from tests.fault.images.bombs import (
    gif_with_a_vast_frame,
    tiff_that_leads_back,
    tiff_with_itself_inside,
    vast_gif,
    vast_tiff,
)
from tests.fault.images.spoiled import FORMATS, whole
from tests.fuzz.driving import main
from tests.photos.samples import encoded, noise, oriented, preprocess

# In this process: nothing may be decoded that a test machine would feel.
_LIMITS = ReadLimits(file_bytes=1 << 20, pixels=1_000_000, memory_bytes=50_000_000)
SEEDS = [
    *(whole(name) for name in FORMATS),
    *(
        encoded(noise(16, 12).convert(mode), "PNG")
        for mode in ("1", "L", "LA", "P", "RGBA", "I;16")
    ),
    *(encoded(noise(16, 12).convert(mode), "TIFF") for mode in ("CMYK", "LAB", "F", "YCbCr")),
    encoded(noise(16, 12), "JPEG", progressive=True),
    encoded(noise(16, 12).convert("CMYK"), "JPEG"),
    oriented(noise(16, 12), 6),
    encoded(noise(16, 12), "GIF", save_all=True, append_images=[noise(16, 12, 1)]),
    encoded(noise(16, 12), "WEBP", lossless=True),
    vast_gif(),
    gif_with_a_vast_frame(),
    vast_tiff(),
    tiff_that_leads_back(),
    tiff_with_itself_inside(),
]


def fuzz_one(data: bytes) -> None:
    """Raises when decoding gives anything but pixels of the asked size or a `PhotoError`."""
    try:
        facts, pixels = decode(data, preprocess(8), path=b"/photo.jpg", limits=_LIMITS)
    except PhotoError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 400
        return
    assert pixels.shape == (8, 8, 3)
    assert facts.width > 0
    assert facts.height > 0
    assert facts.camera is None or facts.camera.isprintable()


if __name__ == "__main__":
    main(fuzz_one, SEEDS)
