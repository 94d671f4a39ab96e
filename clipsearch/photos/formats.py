"""Which bytes are photos, told from the bytes and never from the name alone."""

import importlib
import importlib.util
import os
from dataclasses import dataclass

from clipsearch.errors import DamagedPhoto, NotPhoto, UnsupportedPhoto

# Everything Pillow may be asked to decode. No other decoder of Pillow's is ever reached: some run
# programs (EPS), some take minutes or gigabytes.
PILLOW_PLUGINS = {
    "JPEG": "PIL.JpegImagePlugin",
    "PNG": "PIL.PngImagePlugin",
    "WEBP": "PIL.WebPImagePlugin",
    "GIF": "PIL.GifImagePlugin",
    "TIFF": "PIL.TiffImagePlugin",
    "BMP": "PIL.BmpImagePlugin",
    "AVIF": "PIL.AvifImagePlugin",
}

PHOTO_EXTENSIONS = frozenset(
    b".jpg .jpeg .jpe .jfif .mpo .png .apng .webp .gif .tif .tiff .bmp .dib .avif .avifs"
    b" .heic .heif .hif .heics .heifs"
    b" .dng .nef .nrw .arw .srf .sr2 .cr2 .cr3 .crw .raf .orf .rw2 .raw .pef .srw .3fr .fff .iiq"
    b" .x3f .erf .mef .mos .mrw .kdc .dcr .rwl .gpr"
    b" .jxl .jp2 .j2k .jpf .jpx .psd .psb".split()
)

_OTHER_IMAGES = {
    "JPEG XL": "a JPEG XL image",
    "JPEG 2000": "a JPEG 2000 image",
    "PSD": "a Photoshop document",
    "SVG": "an SVG drawing",
    "EPS": "an EPS drawing",
    "ICO": "an icon",
    "FITS": "a FITS image",
    "HDR": "a Radiance HDR image",
    "EXR": "an OpenEXR image",
    "PNM": "a portable any-map",
    "QOI": "a QOI image",
    "DDS": "a DDS texture",
}
_NOT_IMAGES = {
    "PDF": "a PDF document",
    "video": "a video",
    "audio": "an audio file",
    "archive": "an archive",
}


@dataclass(frozen=True, slots=True)
class Extra:
    """An optional package that decodes a family of formats."""

    name: str
    module: str


_EXTRAS = {"HEIF": Extra("heif", "pillow_heif"), "RAW": Extra("raw", "rawpy")}

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    # RAW formats with a signature of their own; the others are TIFF files (see tiff.py).
    (b"IIRO", "RAW"),
    (b"IIRS", "RAW"),
    (b"MMOR", "RAW"),
    (b"IIU\x00", "RAW"),
    (b"FUJIFILMCCD-RAW", "RAW"),
    (b"FOVb", "RAW"),
    (b"\x00MRM", "RAW"),
    (b"II\x1a\x00\x00\x00HEAPCCDR", "RAW"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS", "PSD"),
    (b"%!PS", "EPS"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"SIMPLE  =", "FITS"),
    (b"#?RADIANCE", "HDR"),
    (b"#?RGBE", "HDR"),
    (b"\x76\x2f\x31\x01", "EXR"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS"),
    (b"%PDF-", "PDF"),
    (b"\x1aE\xdf\xa3", "video"),
    (b"\x00\x00\x01\xba", "video"),
    (b"\x00\x00\x01\xb3", "video"),
    (b"FLV\x01", "video"),
    (b"ID3", "audio"),
    (b"fLaC", "audio"),
    (b"OggS", "audio"),
    (b"PK\x03\x04", "archive"),
    (b"Rar!", "archive"),
    (b"7z\xbc\xaf", "archive"),
    (b"\x1f\x8b\x08", "archive"),
)
_BMP_HEADER_SIZES = (12, 16, 40, 52, 56, 64, 108, 124)
_HEIF_BRANDS = frozenset((b"heic heix heim heis hevc hevx hevm hevs mif1 msf1 mif2 miaf").split())
# Boxes with which a QuickTime or MP4 file may begin when it does not begin with `ftyp`.
_VIDEO_BOXES = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")


def sniff(head: bytes) -> str | None:
    """The name of the format whose files begin like `head` (64 bytes are enough), or None.

    Also names formats that are recognised only to be refused with the right words.
    """
    if head[:4] in (b"II*\x00", b"MM\x00*") and head[8:10] == b"CR":
        return "RAW"
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF":
        return {b"WEBP": "WEBP", b"AVI ": "video", b"WAVE": "audio"}.get(head[8:12])
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    if head[4:8] == b"ftyp":
        return _sniff_boxes(head)
    if head[4:8] in _VIDEO_BOXES:
        return "video"
    if head[:1] == b"P" and head[1:2] in (b"1", b"2", b"3", b"4", b"5", b"6", b"7"):
        return "PNM" if head[2:3] in (b"\n", b" ", b"\r", b"\t") else None
    return "SVG" if b"<svg" in head[:4096].lower() else None


def _sniff_boxes(head: bytes) -> str:
    """Tell the ISO media files apart by their brands: ISO/IEC 14496-12, the `ftyp` box."""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12]] + [head[at : at + 4] for at in range(16, length - 3, 4)]
    if b"avif" in brands or b"avis" in brands:
        return "AVIF"
    if brands[0] == b"crx ":
        return "RAW"
    if not _HEIF_BRANDS.isdisjoint(brands):
        return "HEIF"
    if brands[0] in (b"M4A ", b"M4B "):
        return "audio"
    return "video"


def claims_photo(path: bytes) -> bool:
    """Whether the name of a file says that it is a photo."""
    return os.path.splitext(path)[1].lower() in PHOTO_EXTENSIONS


def require_photo(head: bytes, path: bytes) -> str:
    """The format of a file that begins with `head`, if it can be decoded here.

    Raises NotPhoto for what is no image and does not claim to be one, DamagedPhoto for what is
    named like a photo but begins like nothing known, UnsupportedPhoto for the rest.
    """
    name = sniff(head)
    if name in PILLOW_PLUGINS:
        return name
    if name in _EXTRAS:
        require_extra(name)
        return name
    if name in _OTHER_IMAGES:
        raise UnsupportedPhoto(f"{_OTHER_IMAGES[name]}, which is not supported")
    if name is not None:
        if claims_photo(path):
            raise UnsupportedPhoto(f"{_NOT_IMAGES[name]} named like a photo")
        raise NotPhoto(_NOT_IMAGES[name])
    if claims_photo(path):
        raise DamagedPhoto("named like a photo, but its content is no image known here")
    raise NotPhoto("not an image")


def require_extra(name: str) -> None:
    """Raise UnsupportedPhoto, with what to install, when the format `name` lacks its package."""
    extra = _EXTRAS[name]
    if importlib.util.find_spec(extra.module) is None:
        raise missing_extra(name)


def missing_extra(name: str) -> UnsupportedPhoto:
    """The error for a photo of the format `name` whose package is not there or does not load."""
    extra = _EXTRAS[name].name
    return UnsupportedPhoto(
        f"unsupported without the {extra} extra: pip install 'clipsearch[{extra}]'"
    )


def load_plugin(name: str) -> None:
    """Import Pillow's decoder of the format `name`, one of PILLOW_PLUGINS, and no other.

    Raises UnsupportedPhoto when this Pillow was built without it: a name that Pillow does not
    register would otherwise be a KeyError for every file that it cannot identify.
    """
    from PIL import Image

    if name not in Image.OPEN:
        importlib.import_module(PILLOW_PLUGINS[name])
    if name not in Image.OPEN:
        raise UnsupportedPhoto(f"the installed Pillow was built without {name}")
