import contextlib
import io
from datetime import datetime

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFile

from clipsearch.errors import DamagedPhoto, PhotoError, RefusedPhoto, UnsupportedPhoto
from clipsearch.photos.limits import ReadLimits
from clipsearch.photos.opening import decode, open_photo
from clipsearch.photos.resize import to_pixels
from tests.photos.samples import BLUE, RED, encoded, noise, oriented, plain, preprocess

FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"]


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_gives_its_facts_and_its_colour(name: str) -> None:
    facts, pixels = decode(encoded(Image.new("RGB", (20, 10), RED), name), preprocess(8))
    assert (facts.format, facts.width, facts.height) == (name, 20, 10)
    assert np.abs(pixels.astype(int) - np.array(RED)).max() <= 3


@pytest.mark.parametrize("name", ["JPEG", "WEBP", "PNG", "TIFF", "AVIF"])
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.row("D7")
def test_the_eight_orientations_are_one_picture(name: str, mode: str) -> None:
    image = noise(96, 64)
    options = {"TIFF": {}, "PNG": {}, "JPEG": {"quality": 95, "subsampling": 0}}.get(
        name, {"quality": 95}
    )
    asked = preprocess(32, mode)
    upright = to_int(decode(encoded(image, name, **options), asked)[1])
    for orientation in range(1, 9):
        facts, pixels = decode(oriented(image, orientation, name, **options), asked)
        assert (facts.width, facts.height) == (96, 64)
        difference = np.abs(to_int(pixels) - upright)
        assert difference.mean() < (0.01 if name in ("PNG", "TIFF") else 4.0), orientation


def to_int(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(int)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(333, 500), (517, 299)])
def test_scaled_decoding_moves_nothing(orientation: int, size: tuple[int, int]) -> None:
    """Half of 333 is not 167: without the fraction the crop moves by half a pixel of the input.

    The rounding is on another side for each orientation, as the photo is stored turned.
    """
    data = oriented(noise(*size), orientation, quality=95, subsampling=0)
    whole = open_photo(data)
    assert whole.size == size
    facts, pixels = decode(data, preprocess(64))
    assert (facts.width, facts.height) == size
    expected = to_pixels(whole, preprocess(64))
    assert np.abs(to_int(pixels) - to_int(expected)).mean() < 2.0


def test_a_jpeg_is_decoded_at_a_fraction_that_keeps_twice_the_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from clipsearch.photos import opening

    seen: list[tuple[int, int]] = []
    real = opening.to_pixels
    monkeypatch.setattr(
        opening,
        "to_pixels",
        lambda image, asked, **more: (seen.append(image.size), real(image, asked, **more))[1],
    )
    for size in [(1600, 1200), (500, 375), (447, 447), (4000, 600)]:
        decode(encoded(noise(*size), "JPEG"), preprocess(112))
    # 1600 x 1200 needs 298 x 224, and 1/4 keeps 400 x 300; 1/8 would not do.
    # 500 x 375 and 447 x 447 are not twice as large as needed; 4000 x 600 is 2.6 times.
    assert seen == [(400, 300), (500, 375), (447, 447), (2000, 300)]


def test_a_huge_photo_of_another_format_is_shrunk_on_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = encoded(noise(64, 48).resize((640, 480)), "PNG")
    expected = to_int(decode(data, preprocess(32))[1])
    monkeypatch.setattr("clipsearch.photos.pillow_decoding._HUGE_PIXELS", 1000)
    facts, pixels = decode(data, preprocess(32))
    assert (facts.width, facts.height) == (640, 480)
    assert np.abs(to_int(pixels) - expected).mean() < 2


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
@pytest.mark.row("D5")
def test_animations_and_pages_give_their_first_picture(name: str) -> None:
    first, second = Image.new("RGB", (16, 16), RED), Image.new("RGB", (16, 16), BLUE)
    data = encoded(first, name, save_all=True, append_images=[second])
    _, pixels = decode(data, preprocess(8))
    assert np.abs(to_int(pixels) - np.array(RED)).max() <= 3


@pytest.mark.row("D5")
def test_a_multi_picture_jpeg_gives_its_first() -> None:
    first, second = Image.new("RGB", (16, 16), RED), Image.new("RGB", (16, 16), BLUE)
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    facts, pixels = decode(data, preprocess(8))
    assert facts.format == "JPEG"
    assert np.abs(to_int(pixels) - np.array(RED)).max() <= 3


def test_facts_come_from_the_same_bytes() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.DateTime] = "2023:06:01 17:30:59"
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Apple", "iPhone XS"
    facts, _ = decode(encoded(noise(16, 16), "JPEG", exif=exif), preprocess(8))
    assert (facts.taken_at, facts.camera) == (datetime(2023, 6, 1, 17, 30, 59), "Apple iPhone XS")
    assert (facts.latitude, facts.longitude) == (None, None)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.row("D1")
def test_every_truncation_is_reported(name: str) -> None:
    """Pillow can be told to fill truncated photos with grey; it must never be."""
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    data = encoded(noise(64, 48), name)
    for sixteenth in range(16):
        cut = data[: len(data) * sixteenth // 16]
        with pytest.raises(PhotoError) as caught:
            decode(cut, preprocess(8), path=b"/cut.jpg")
        assert caught.value.kind == "damaged", (sixteenth, str(caught.value))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.row("D2")
def test_flipped_bytes_decode_or_are_reported(name: str) -> None:
    data = encoded(noise(64, 48), name)
    random = np.random.default_rng(7)
    for _ in range(60):
        mutant = bytearray(data)
        for at in random.integers(0, len(data), 3):
            mutant[at] ^= int(random.integers(1, 256))
        with contextlib.suppress(DamagedPhoto, RefusedPhoto, UnsupportedPhoto):
            _, pixels = decode(bytes(mutant), preprocess(8), path=b"/mutant.jpg")
            assert pixels.shape == (8, 8, 3)


def test_reasons_are_one_line_and_the_same_every_time() -> None:
    reasons = set()
    for _ in range(2):
        with pytest.raises(DamagedPhoto) as caught:
            decode(b"\x89PNG\r\n\x1a\n" + bytes(80), preprocess(8))
        reasons.add(str(caught.value))
    assert reasons == {"damaged PNG: its header cannot be read"}


@pytest.mark.row("D3")
def test_too_many_pixels_are_refused_with_the_numbers() -> None:
    data = plain((0,), size=(3000, 2000), mode="L")
    with pytest.raises(RefusedPhoto, match="3000 x 2000 is 6000000 pixels, over the limit of 5000"):
        decode(data, preprocess(8), limits=ReadLimits(pixels=5_000_000))


@pytest.mark.row("D3")
def test_too_much_memory_is_refused_before_decoding() -> None:
    data = encoded(Image.new("RGBA", (3000, 2000)), "PNG")
    with pytest.raises(RefusedPhoto, match=r"3000 x 2000 needs about \d+ MB to decode, over .* 20"):
        decode(data, preprocess(8), limits=ReadLimits(memory_bytes=20_000_000))


@pytest.mark.row("D3")
def test_a_compressed_text_that_would_fill_the_memory_is_refused() -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Comment", "a" * 5_000_000, zip=True)
    with pytest.raises(RefusedPhoto, match="text"):
        decode(encoded(noise(16, 16), "PNG", pnginfo=info), preprocess(8))


def test_a_raw_photo_is_never_its_preview(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(
        UnsupportedPhoto, match=r"without the raw extra: pip install 'clipsearch\[raw"
    ):
        decode(encoded(noise(16, 16), "TIFF"), preprocess(8), path=b"/photo.nef")


def test_rubbish_named_raw_is_damaged() -> None:
    pytest.importorskip("rawpy", reason="needs the raw extra")
    with pytest.raises(DamagedPhoto, match="damaged RAW"):
        decode(encoded(noise(16, 16), "TIFF"), preprocess(8), path=b"/photo.nef")


def test_heif_is_upright_and_eight_bits() -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="needs the heif extra")
    stream = io.BytesIO()
    image = noise(96, 64)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    pillow_heif.from_pillow(image).save(stream, quality=95, exif=exif.tobytes())
    facts, pixels = decode(stream.getvalue(), preprocess(32))
    # The file's own transformation was not asked for, and EXIF's does not count in HEIF.
    assert (facts.format, {facts.width, facts.height}) == ("HEIF", {96, 64})
    assert pixels.shape == (32, 32, 3)


def test_empty_bytes_are_damaged() -> None:
    with pytest.raises(DamagedPhoto, match="empty file"):
        decode(b"", preprocess(8))


def test_decoding_leaves_standard_error_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    import os

    decode(encoded(noise(16, 16), "TIFF"), preprocess(8))
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"
