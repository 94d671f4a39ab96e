"""Photos read once before the first step: who reads what, and what it means."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from clipsearch.errors import DamagedPhoto
from clipsearch.pairs.checking import PhotoCheck, check_photos
from clipsearch.pairs.sources import BadRow, FileSource, NoSource, TarSource
from clipsearch.photos.opening import open_photo
from clipsearch.photos.reading import PhotoReader, nothing_known
from clipsearch.types import CaptionedPhoto, PhotoProblem, PhotoRead, PhotoSource, Preprocess
from tests.pairs.layouts import png, write


def photos(*sources: PhotoSource) -> list[CaptionedPhoto]:
    return [CaptionedPhoto(source, ("x",)) for source in sources]


def file(path: Path) -> FileSource:
    return FileSource(os.fsencode(path))


def no_files(paths: Iterable[bytes]) -> Iterator[PhotoRead | PhotoProblem]:
    assert not list(paths)
    return iter(())


def refuse_x(data: bytes) -> None:
    if data == b"x":
        raise DamagedPhoto("damaged")


def in_order(checks: Iterable[PhotoCheck]) -> list[PhotoCheck]:
    return sorted(checks, key=lambda check: check.number)


def test_files_are_read_by_the_photo_reader(tmp_path: Path) -> None:
    good = write(tmp_path / "good.png", png())
    (tmp_path / "link.png").symlink_to(good)
    listed = photos(
        file(write(tmp_path / "bad.jpg", b"\xff\xd8\xff not a photo")),
        file(good),
        file(tmp_path / "gone.jpg"),
        file(tmp_path / "link.png"),
        file(good),
    )
    preprocess = Preprocess((8, 8), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    with PhotoReader(preprocess, workers=1) as reader:
        checks = in_order(
            check_photos(listed, lambda paths: reader.read(paths, nothing_known), open_photo)
        )
    assert [check.fault for check in checks] == ["unreadable", None, "missing", None, None]
    assert checks[0].reason.startswith("damaged JPEG")
    assert {checks[i].content_hash for i in (1, 3, 4)} == {hashlib.sha256(png()).digest()}


def test_each_file_is_read_once() -> None:
    asked: list[bytes] = []

    def read_files(paths: Iterable[bytes]) -> Iterator[PhotoRead | PhotoProblem]:
        asked.extend(paths)
        return (PhotoProblem(path, None, "refused", "too large") for path in asked)

    source = FileSource(b"/nowhere/a.jpg")
    checks = in_order(check_photos(photos(source, source), read_files, refuse_x))
    assert asked == [os.path.realpath(b"/nowhere/a.jpg")]
    assert checks == [PhotoCheck(i, None, "unreadable", "too large") for i in range(2)]


def test_members_of_archives_are_decoded_here(tmp_path: Path) -> None:
    archive = os.fsencode(write(tmp_path / "a.tar", b"goodx"))
    listed = photos(
        TarSource(archive, "1.jpg", 0, 4),
        TarSource(archive, "2.jpg", 4, 1),
        TarSource(archive, "3.jpg", 4, 99),
        NoSource("captions.csv, line 3"),
        BadRow("captions.csv, line 4", "1 of 2 cells"),
        FileSource(b"nul\0.jpg"),
    )
    checks = in_order(check_photos(listed, no_files, refuse_x))
    assert checks == [
        PhotoCheck(0, hashlib.sha256(b"good").digest()),
        PhotoCheck(1, None, "unreadable", "damaged"),
        PhotoCheck(2, None, "unreadable", "the file is shorter than it was"),
        PhotoCheck(3, None, "missing", "no photo is named"),
        PhotoCheck(4, None, "unreadable", "1 of 2 cells"),
        PhotoCheck(5, None, "missing", "the path holds a NUL byte"),
    ]
