import struct

import pytest
from PIL import Image

from clipsearch.photos.tiff import is_raw
from tests.photos.samples import RED, encoded

Entry = tuple[int, int, int]


def tiff(*ifds: list[Entry], order: str = "<") -> bytes:
    """A TIFF file whose directories hold (tag, type, value) entries; 330 is patched to the next."""
    head = (b"II*\x00" if order == "<" else b"MM\x00*") + struct.pack(order + "I", 8)
    parts, offset = [head], 8
    for ifd in ifds:
        length = 2 + 12 * len(ifd) + 4
        body = struct.pack(order + "H", len(ifd))
        for tag, kind, value in ifd:
            stated = offset + length if tag == 330 and value == 0 else value
            packed = struct.pack(
                order + {3: "HH", 4: "I", 1: "I"}[kind], *((stated, 0) if kind == 3 else (stated,))
            )
            body += struct.pack(order + "HHI", tag, kind, 1) + packed
        parts.append(body + b"\x00\x00\x00\x00")
        offset += length
    return b"".join(parts)


def test_a_plain_tiff_is_a_picture() -> None:
    assert not is_raw(encoded(Image.new("RGB", (8, 8), RED), "TIFF"), b"/scan.tif")


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_preview_with_a_sensor_directory_below_is_raw(order: str) -> None:
    """The layout of NEF, ARW and DNG: the first directory is a small RGB picture."""
    preview: list[Entry] = [(254, 4, 1), (262, 3, 2), (330, 4, 0)]
    sensor: list[Entry] = [(259, 3, 1), (262, 3, 32803)]
    assert is_raw(tiff(preview, sensor, order=order), b"/no-extension")
    finished: list[Entry] = [(259, 3, 1), (262, 3, 2)]
    assert not is_raw(tiff(preview, finished, order=order), b"/no-extension")


@pytest.mark.parametrize(
    "entry", [(259, 3, 34713), (259, 3, 32767), (262, 3, 34892), (50706, 4, 1)]
)
def test_what_only_raw_files_hold(entry: Entry) -> None:
    assert is_raw(tiff([entry]), b"/x.tif")


def test_a_raw_name_decides_where_the_content_could_be_either() -> None:
    assert is_raw(encoded(Image.new("RGB", (8, 8), RED), "TIFF"), b"/DSC_1.NEF")


@pytest.mark.row("D3")
def test_directories_that_lead_back_or_out_of_the_file_end() -> None:
    assert not is_raw(tiff([(330, 4, 8)]), b"/loop.tif")
    assert not is_raw(tiff([(330, 4, 4_000_000_000)]), b"/out.tif")
    assert not is_raw(b"II*\x00", b"/short.tif")
    assert not is_raw(b"II*\x00\x08\x00\x00\x00\xff\xff", b"/cut.tif")
