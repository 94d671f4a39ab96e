"""Every file of a folder of odd photos: read rightly, or reported with the right reason."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from clipsearch.photos.opening import open_photo
from clipsearch.photos.reading import PhotoReader
from clipsearch.types import PhotoProblem, PhotoRead, Pixels
from tests.photos.samples import preprocess
from tests.photos.test_reading import FAULTY, nothing_known

ODD = Path(__file__).parents[2].parent / "shared" / "data" / "odd"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not ODD.is_dir(), reason="needs the photos in ../shared/data/odd"),
]

HEIF_REASON = "unsupported without the heif extra: pip install 'clipsearch[heif]'"
RAW_REASON = "unsupported without the raw extra: pip install 'clipsearch[raw]'"

# What cannot be read, by kind and a piece of the reason. Whatever is not named here can be.
PROBLEMS: dict[str, dict[str, tuple[str, ...]]] = {
    "refused": {
        "65536 x 65536 is 4294967296 pixels": ("formats-2/65536-uint32-limit.png",),
        # The canvas is small; it is the first frame that is not.
        "is 4364696535 pixels": ("formats/decompression_bomb.gif",),
        "a text in the PNG is over": ("formats/png_decompression_dos.png",),
    },
    "unsupported": {
        "JPEG 2000": (
            "formats/00r1_graya_la.jp2",
            "formats/16bit.cropped.jp2",
            "formats/invalid_header_length.jp2",
        ),
        "JPEG XL": ("raw/chelsea.jxl",),
        "an icon": ("formats/decompression_bomb.ico", "formats/hopper.ico"),
    },
    "not-photo": {
        "not an image": ("heif/COPYRIGHT.txt", "heif/README.txt", "names/IMG_4120.AAE"),
    },
    "damaged": {
        "empty file": ("heif/empty.heic",),
        "truncated": (
            "formats-2/truncated.jpg",
            "formats-2/truncated.png",
            "formats/truncated_image.png",
            "formats/truncated_jpeg.jpg",
            # Cut to 47 kB by those who keep it: its header is what they test.
            "formats/ultrahdr.jpg",
        ),
        "Truncated File Read": ("formats-2/corrupt-header.jpg", "formats/truncated_end_chunk.png"),
        "unrecognized data stream": ("formats/broken_data_stream.png",),
        "header cannot be read": (
            "formats/broken.png",
            "formats/oom-225817ca0f8c663be7ab4b9e717b02c661e66834.tif",
            "pngsuite-broken/xc1n0g08.png",
            "pngsuite-broken/xc9n2c08.png",
            "pngsuite-broken/xd0n2c08.png",
            "pngsuite-broken/xd3n2c08.png",
            "pngsuite-broken/xd9n2c08.png",
            "pngsuite-broken/xhdn0g08.png",
        ),
        "cannot load this image": ("pngsuite-broken/xdtn0g01.png",),
        "content is no image known here": (
            "pngsuite-broken/xcrn0g04.png",
            "pngsuite-broken/xlfn0g04.png",
            "pngsuite-broken/xs1n0g01.png",
            "pngsuite-broken/xs2n0g01.png",
            "pngsuite-broken/xs4n0g01.png",
            "pngsuite-broken/xs7n0g01.png",
        ),
        "damaged TIFF: decoder error": (
            "formats/crash-0c7e0e8e11ce787078f00b5b0ca409a167f070e0.tif",
            "formats/crash-0e16d3bfb83be87356d026d66919deaefca44dac.tif",
            "formats/crash-1152ec2d1a1a71395b6f2ce6721c38924d025bf3.tif",
            "formats/crash-1185209cf7655b5aed8ae5e77784dfdd18ab59e9.tif",
            "formats/crash-2020-10-test.tif",
            "formats/crash-338516dbd2f0e83caddb8ce256c22db3bd6dc40f.tif",
            "formats/crash-4f085cc12ece8cde18758d42608bed6a2a2cfb1c.tif",
            "formats/crash-63b1dffefc8c075ddc606c0a2f5fdc15ece78863.tif",
            "formats/crash-86214e58da443d2b80820cff9677a38a33dcbbca.tif",
            "formats/crash-f46f5b2f43c370fe65706c11449f567ecc345e74.tif",
        ),
        # libtiff reads these to the end, with white where the fax data is damaged.
        "damaged TIFF: Bad code word": (
            "formats/crash-0da013a13571cc8eb457a39fee8db18f8a3c7127.tif",
            "formats/crash-74d2a78403a5a59db1fb0a2b8735ac068a75f6e3.tif",
        ),
    },
}
# These need the heif extra even to be found damaged.
DAMAGED_HEIF = ("heif/corrupted.heic", "heif/corrupted.hif")
HEIF_ENDINGS = (".heic", ".heif", ".hif")
RAW = ("raw/Blackmagic.dng", "raw/Nikon_uncompressed.nef")

Found = dict[str, PhotoRead | PhotoProblem]


def expected_problems() -> dict[str, tuple[str, str]]:
    return {
        name: (kind, reason)
        for kind, reasons in PROBLEMS.items()
        for reason, names in reasons.items()
        for name in names
    }


def all_files() -> Iterator[bytes]:
    for folder, _, names in os.walk(os.fsencode(ODD)):
        for name in names:
            yield os.path.join(folder, name)


def read_everything(*arguments: str) -> Found:
    with PhotoReader(preprocess(64), 1, command=(*FAULTY, *arguments)) as reader:
        photos = list(reader.read(all_files(), nothing_known))
    found = {os.path.relpath(os.fsdecode(photo.path), ODD): photo for photo in photos}
    assert len(photos) == len(found) == 279
    return found


@pytest.fixture(scope="module")
def found() -> Found:
    pytest.importorskip("pillow_heif", reason="needs the heif extra")
    pytest.importorskip("rawpy", reason="needs the raw extra")
    return read_everything()


def check(found: Found, expected: dict[str, tuple[str, str]]) -> None:
    assert set(expected) <= set(found)
    for name, photo in sorted(found.items()):
        if name not in expected:
            assert isinstance(photo, PhotoRead), photo
            assert photo.pixels is not None
            assert photo.pixels.shape == (64, 64, 3)
            continue
        kind, reason = expected[name]
        assert isinstance(photo, PhotoProblem), name
        assert photo.kind == kind, photo
        assert reason in photo.reason
        assert photo.stat is not None
        assert "\n" not in photo.reason


def test_each_file_with_the_extras(found: Found) -> None:
    damaged = dict.fromkeys(DAMAGED_HEIF, ("damaged", "damaged HEIF"))
    check(found, {**expected_problems(), **damaged})


def test_each_file_without_the_extras() -> None:
    found = read_everything("without-extras")
    heif = {
        name: ("unsupported", HEIF_REASON)
        for name in found
        if name.endswith(HEIF_ENDINGS) and name != "heif/empty.heic"
    }
    assert len(heif) == 30
    raw = dict.fromkeys(RAW, ("unsupported", RAW_REASON))
    check(found, {**expected_problems(), **heif, **raw})


def pixels_of(found: Found, name: str) -> Pixels:
    photo = found[name]
    assert isinstance(photo, PhotoRead), photo
    assert photo.pixels is not None
    return photo.pixels


def difference(found: Found, one: str, other: str) -> float:
    """Mean absolute difference, 0..255."""
    return float(
        np.abs(pixels_of(found, one).astype(int) - pixels_of(found, other).astype(int)).mean()
    )


@pytest.mark.parametrize(
    ("pattern", "numbers", "most"),
    [
        # The sets of photos carry their number, written into the picture.
        ("orientation/Landscape_{}.jpg", range(9), 6.0),
        ("orientation/Portrait_{}.jpg", range(9), 6.0),
        ("formats/hopper_orientation_{}.jpg", range(2, 9), 3.0),
        ("formats/hopper_orientation_{}.webp", range(2, 9), 3.0),
        ("formats/g4_orientation_{}.tif", range(1, 9), 12.0),
    ],
)
def test_orientations_are_one_picture(
    found: Found, pattern: str, numbers: range, most: float
) -> None:
    first = pattern.format(numbers[0])
    for number in numbers[1:]:
        assert difference(found, first, pattern.format(number)) < most, number


@pytest.mark.parametrize(
    ("one", "other", "most"),
    [
        # 16 bits, planar or not, against the same picture in 8 bits.
        ("formats/tiff_16bit_RGB.tiff", "formats/tiff_16bit_RGB_target.png", 0.1),
        ("formats/tiff_strip_planar_16bit_RGB.tiff", "formats/tiff_16bit_RGB_target.png", 0.1),
        ("formats/tiff_tiled_planar_16bit_RGB.tiff", "formats/tiff_16bit_RGB_target.png", 0.1),
        ("formats/tiff_16bit_RGBa.tiff", "formats/tiff_16bit_RGBa_target.png", 1.0),
        ("formats/tiff_tiled_planar_16bit_RGBa.tiff", "formats/tiff_16bit_RGBa_target.png", 1.0),
        ("formats/16bit.MM.cropped.tif", "formats/16bit.cropped.tif", 0.1),
        ("formats/16bit.MM.deflate.tif", "formats/16bit.deflate.tif", 0.1),
        ("formats/12bit.cropped.tif", "formats/12in16bit.tif", 1.0),
        # CMYK, as JPEG (inverted by Adobe) and as TIFF, against RGB.
        ("formats/pil_sample_cmyk.jpg", "formats/pil_sample_rgb.jpg", 6.0),
        ("formats/tiff_strip_cmyk_jpeg.tif", "formats/pil_sample_cmyk.jpg", 1.0),
        ("formats/tiff_tiled_cmyk_jpeg.tif", "formats/pil_sample_cmyk.jpg", 1.0),
        ("formats/tiff_strip_cmyk_16l_jpeg.tif", "formats/pil_sample_cmyk.jpg", 1.0),
        # Other ways to store the same portrait.
        ("formats/hopper.Lab.tif", "formats/hopper.png", 3.0),
        ("formats/hopper.gif", "formats/hopper.png", 6.0),
        ("formats/hopper.bmp", "formats/hopper.png", 0.1),
        ("formats/hopper.webp", "formats/hopper.png", 4.0),
        ("formats/hopper.jpg", "formats/hopper.png", 4.0),
        ("formats/hopper_gray_4bpp.tif", "formats/hopper_gray.jpg", 5.0),
        ("formats/flower.webp", "formats/flower.jpg", 3.0),
        # Transparency, in three formats, and the frame that an animation begins with.
        ("formats/transparent.gif", "formats/transparent.png", 2.0),
        ("formats/transparent.webp", "formats/transparent.png", 3.0),
        ("formats-2/animated-loop-3.webp", "formats-2/animated-loop-3.gif", 3.0),
        # The first picture of a file with several, and its copies with damaged directories.
        ("formats/sugarshack_bad_mpo_header.jpg", "formats/sugarshack.mpo", 0.1),
        ("formats/sugarshack_no_data.mpo", "formats/sugarshack.mpo", 0.1),
        ("formats/sugarshack_ifd_offset.mpo", "formats/sugarshack.mpo", 0.1),
        # EXIF that cannot be read changes nothing about the picture.
        ("formats/photoshop-200dpi-broken.jpg", "formats/photoshop-200dpi.jpg", 0.1),
        ("formats/exif-dpi-zerodivision.jpg", "formats/exif-200dpcm.jpg", 0.1),
        ("names/IMG_4120 copy.JPG", "names/IMG_4120.JPG", 0.0001),
        # HEIF in 8, 10 and 12 bits, with and without transparency.
        *(
            (f"heif/{mode}_{bits}__{size}.heif", f"heif/{mode}_{twin}__{size}.png", 4.0)
            for mode in ("RGB", "RGBA")
            for size in ("128x128", "29x100")
            for bits, twin in ((8, 8), (10, 16), (12, 16))
        ),
        ("heif/LA_8__128x128.heif", "heif/LA_8__128x128.png", 1.0),
        ("heif/L_8__128x128.heif", "heif/L_8__128x128.png", 2.0),
        ("heif/L_10__128x128.heif", "heif/L_8__128x128.png", 2.0),
        ("heif/L_12__128x128.heif", "heif/L_8__128x128.png", 2.0),
    ],
)
def test_twins_look_the_same(found: Found, one: str, other: str, most: float) -> None:
    assert difference(found, one, other) < most


def test_facts_of_a_phone_photo(found: Found) -> None:
    photo = found["heif/empty_icc.heic"]
    assert isinstance(photo, PhotoRead)
    assert photo.facts is not None
    assert (photo.facts.format, photo.facts.width, photo.facts.height) == ("HEIF", 1025, 900)
    assert photo.facts.camera == "Apple iPhone XS"
    assert photo.facts.latitude == pytest.approx(46.7547, abs=1e-4)
    jpeg = found["names/this-is-a-jpeg.png"]
    assert isinstance(jpeg, PhotoRead)
    assert jpeg.facts is not None
    assert jpeg.facts.format == "JPEG"
    assert jpeg.facts.latitude == pytest.approx(-34.0214, abs=1e-4)


def test_raw_photos_are_developed(found: Found) -> None:
    """Not the preview of 320 x 218, not white all over, and as bright as the preview is."""
    scan, film = found["raw/Nikon_uncompressed.nef"], found["raw/Blackmagic.dng"]
    assert isinstance(scan, PhotoRead)
    assert isinstance(film, PhotoRead)
    assert scan.facts is not None
    assert film.facts is not None
    assert (scan.facts.width, scan.facts.height) == (869, 593)
    assert (film.facts.width, film.facts.height) == (4128, 2176)
    for photo in (scan, film):
        assert photo.pixels is not None
        assert 60 < photo.pixels.mean() < 180
        assert photo.pixels.std() > 30


def test_opening_whole_gives_the_same_verdicts_here() -> None:
    """The same rules without workers: no crash, no warning, RGB at full size."""
    for path in all_files():
        if path.endswith((b".png", b".gif", b".webp")) and os.path.getsize(path) < 200_000:
            name = os.path.relpath(os.fsdecode(path), ODD)
            if name not in expected_problems():
                data = Path(os.fsdecode(path)).read_bytes()
                assert open_photo(data, path=path).mode == "RGB"


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process in /proc")
def test_no_file_takes_a_gigabyte() -> None:
    with PhotoReader(preprocess(64), 1) as reader:
        for _ in reader.read(all_files(), nothing_known):
            (worker,) = reader._running or {None}
            if worker is not None:
                status = Path(f"/proc/{worker._process.pid}/status").read_text()
    (peak,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    assert int(peak.split()[1]) < 500_000  # kB
