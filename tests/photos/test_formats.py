import sys

import pytest
from PIL import Image

from clipsearch.errors import DamagedPhoto, NotPhoto, PhotoError, UnsupportedPhoto
from clipsearch.photos import formats
from tests.photos.samples import RED, encoded


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
def test_every_allowed_format_is_recognised_by_its_first_64_bytes(name: str) -> None:
    data = encoded(Image.new("RGB", (8, 8), RED), name)
    assert formats.sniff(data[:64]) == name
    formats.load_plugin(name)
    assert name in Image.OPEN


@pytest.mark.row("D4")
def test_allowlist_holds_no_decoder_that_runs_programs_or_reads_documents() -> None:
    assert set(formats.PILLOW_PLUGINS) == {"JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"}


def ftyp(*brands: bytes) -> bytes:
    body = brands[0] + b"\x00\x00\x00\x00" + b"".join(brands[1:])
    return (8 + len(body)).to_bytes(4, "big") + b"ftyp" + body + b"\x00\x00\x00\x08free"


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (ftyp(b"heic", b"mif1", b"heic"), "HEIF"),
        (ftyp(b"mif1", b"mif1", b"heic"), "HEIF"),
        # Apple and others write AVIF under the general brand too.
        (ftyp(b"mif1", b"mif1", b"avif"), "AVIF"),
        (ftyp(b"avis", b"avif"), "AVIF"),
        (ftyp(b"crx ", b"isom"), "RAW"),
        (ftyp(b"qt  ", b"qt  "), "video"),
        (ftyp(b"isom", b"mp42"), "video"),
        (ftyp(b"M4A ", b"isom"), "audio"),
        (b"\x00\x00\x10\x00mdat", "video"),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00", "RAW"),
        (b"II*\x00\x08\x00\x00\x00", "TIFF"),
        (b"MM\x00*\x00\x00\x00\x08", "TIFF"),
        (b"FUJIFILMCCD-RAW 0201", "RAW"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "video"),
        (b"%PDF-1.7", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF", "EPS"),
        (b"8BPS\x00\x01", "PSD"),
        (b'<?xml version="1.0"?>\n<svg xmlns="', "SVG"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL"),
        (b"P6\n10 10\n255\n", "PNM"),
        (b"BM Wagen AG, Jahresbericht 2021", None),
        (b"Photos of the year", None),
        (b"P5 is a number", "PNM"),
        (b"", None),
        (b"\xff\xd8", None),
    ],
)
def test_sniff(head: bytes, name: str | None) -> None:
    assert formats.sniff(head) == name


@pytest.mark.parametrize(
    ("head", "path", "error", "words"),
    [
        (b"\x00\x00\x00\x18ftypmp42", b"/clip.mp4", NotPhoto, "a video"),
        (b"\x00\x00\x00\x18ftypmp42", b"/clip.JPG", UnsupportedPhoto, "a video named like a photo"),
        (b"Dear diary", b"/diary.txt", NotPhoto, "not an image"),
        (b"Dear diary", b"/diary.jpg", DamagedPhoto, "named like a photo"),
        (b"8BPS", b"/poster", UnsupportedPhoto, "a Photoshop document"),
    ],
)
@pytest.mark.row("D4")
def test_require_photo_says_why_not(
    head: bytes, path: bytes, error: type[PhotoError], words: str
) -> None:
    with pytest.raises(error, match=words):
        formats.require_photo(head, path)


def test_a_name_never_decides_against_the_content() -> None:
    assert formats.require_photo(b"\xff\xd8\xff\xe0", b"/photo.png") == "JPEG"
    assert formats.require_photo(b"\xff\xd8\xff\xe0", b"/photo") == "JPEG"


@pytest.fixture
def without_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pillow_heif", "rawpy"):
        monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.usefixtures("without_extras")
def test_a_missing_extra_is_named_with_its_command() -> None:
    with pytest.raises(UnsupportedPhoto) as heif:
        formats.require_photo(ftyp(b"heic", b"mif1"), b"/a.heic")
    assert str(heif.value) == "unsupported without the heif extra: pip install 'clipsearch[heif]'"
    with pytest.raises(UnsupportedPhoto) as raw:
        formats.require_photo(b"FUJIFILMCCD-RAW", b"/a.raf")
    assert str(raw.value) == "unsupported without the raw extra: pip install 'clipsearch[raw]'"


def test_a_pillow_without_a_decoder_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    formats.load_plugin("AVIF")
    monkeypatch.delitem(Image.OPEN, "AVIF")
    with pytest.raises(UnsupportedPhoto, match="without AVIF"):
        formats.load_plugin("AVIF")
