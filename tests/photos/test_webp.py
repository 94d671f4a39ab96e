import pytest
from PIL import Image

from clipsearch.errors import RefusedPhoto
from clipsearch.photos.limits import ReadLimits
from clipsearch.photos.opening import decode
from clipsearch.photos.webp import declared_size
from tests.photos.samples import encoded, preprocess


@pytest.mark.parametrize(
    ("mode", "options"),
    [("RGB", {}), ("RGB", {"lossless": True}), ("RGBA", {}), ("RGB", {"exif": b"II*\0\x08\0\0\0"})],
)
def test_the_size_is_the_one_pillow_finds(mode: str, options: dict[str, object]) -> None:
    data = encoded(Image.new(mode, (301, 47)), "WEBP", **options)
    assert declared_size(data) == (301, 47)


def test_an_animation_states_the_size_of_its_canvas() -> None:
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    assert declared_size(data) == (30, 20)


@pytest.mark.parametrize("data", [b"", b"RIFF\0\0\0\0WEBP", b"RIFF\0\0\0\0WEBPALPH" + bytes(40)])
def test_where_no_size_is_stated(data: bytes) -> None:
    assert declared_size(data) is None


def test_a_photo_over_the_limit_is_refused_and_not_called_damaged() -> None:
    data = encoded(Image.new("RGB", (301, 47)), "WEBP")
    with pytest.raises(RefusedPhoto, match="301 x 47 is 14147 pixels"):
        decode(data, preprocess(8), limits=ReadLimits(pixels=14_000))
    with pytest.raises(RefusedPhoto, match="301 x 47 needs about"):
        decode(data, preprocess(8), limits=ReadLimits(memory_bytes=100_000))
