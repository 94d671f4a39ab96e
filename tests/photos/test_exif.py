import math
from datetime import datetime

import pytest
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from clipsearch.photos import exif as reading
from tests.photos.samples import encoded, noise


def through_a_jpeg(exif: Image.Exif) -> Image.Exif:
    """What is read back from a photo that carries `exif`."""
    import io

    data = encoded(noise(16, 16), "JPEG", exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        return reading.read_exif(image)


def test_the_moment_of_the_shutter_goes_before_that_of_the_last_change() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.DateTime] = "2024:01:01 00:00:00"
    assert reading.taken_at(through_a_jpeg(exif)) == datetime(2024, 1, 1)
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2023:06:01 17:30:59"
    assert reading.taken_at(through_a_jpeg(exif)) == datetime(2023, 6, 1, 17, 30, 59)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2023:06:01 17:30:59", datetime(2023, 6, 1, 17, 30, 59)),
        ("2023-06-01T17:30:59+02:00", datetime(2023, 6, 1, 17, 30, 59)),
        ("2023:06:01 17:30:59\x00junk", datetime(2023, 6, 1, 17, 30, 59)),
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("2023:13:45 99:99:99", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_dates_as_cameras_write_them(text: str, moment: datetime | None) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.DateTime] = text
    assert reading.taken_at(exif) == moment


@pytest.mark.parametrize(
    ("make", "model", "name"),
    [
        ("Canon", "Canon EOS R5", "Canon EOS R5"),
        ("NIKON CORPORATION", "NIKON D700", "NIKON D700"),
        ("Apple", "iPhone XS", "Apple iPhone XS"),
        ("FUJIFILM\x00\x00", " X100V  ", "FUJIFILM X100V"),
        ("", "X100V", "X100V"),
        ("SONY", "", "SONY"),
        ("", "", None),
        ("\x1b[31mEvil", "Cam\nera", "[31mEvil Cam era"),
    ],
)
def test_camera_names(make: str, model: str, name: str | None) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = make
    exif[ExifTags.Base.Model] = model
    assert reading.camera(exif) == name


def located(latitude: object, south: str, longitude: object, west: str) -> Image.Exif:
    exif = Image.Exif()
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitude], gps[ExifTags.GPS.GPSLatitudeRef] = latitude, south
    gps[ExifTags.GPS.GPSLongitude], gps[ExifTags.GPS.GPSLongitudeRef] = longitude, west
    return exif


def test_position_in_degrees_minutes_and_seconds() -> None:
    found = reading.position(
        through_a_jpeg(located((33.0, 52.0, 4.8), "S", (18.0, 30.0, 0.0), "W"))
    )
    assert found is not None
    assert math.isclose(found[0], -(33 + 52 / 60 + 4.8 / 3600), abs_tol=1e-6)
    assert math.isclose(found[1], -18.5, abs_tol=1e-6)


@pytest.mark.parametrize(
    "exif",
    [
        located((91.0, 0.0, 0.0), "N", (0.0, 0.0, 0.0), "E"),
        located((math.nan, 0.0, 0.0), "N", (1.0, 0.0, 0.0), "E"),
        located((IFDRational(0, 0), 0.0, 0.0), "N", (1.0, 0.0, 0.0), "E"),
        located("north", "N", (1.0, 0.0, 0.0), "E"),
        located((), "N", (1.0, 0.0, 0.0), "E"),
        located(None, "N", (1.0, 0.0, 0.0), "E"),
        Image.Exif(),
    ],
)
def test_impossible_positions_are_no_positions(exif: Image.Exif) -> None:
    assert reading.position(exif) is None


@pytest.mark.parametrize("value", [0, 1, 9, 700, "3", (6, 6), None])
def test_invalid_orientations_turn_nothing(value: object) -> None:
    exif = Image.Exif()
    if value is not None:
        exif[ExifTags.Base.Orientation] = value
    assert reading.transposition(exif) is None


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("data", [b"", b"Exif\x00\x00", b"II*\x00\xff\xff\xff\xff", b"\x00" * 64])
def test_damaged_exif_is_no_exif(data: bytes) -> None:
    exif = reading.parse_exif(data)
    assert reading.taken_at(exif) is None
    assert reading.camera(exif) is None
    assert reading.position(exif) is None
