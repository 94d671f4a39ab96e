import errno
import os
from pathlib import Path

import pytest

from clipsearch.pairs import sources
from clipsearch.pairs.sources import FileSource, NoSource, TarSource, looks_like_photo


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"abc")
    source = FileSource(os.fsencode(path))
    assert source.read() == b"abc"
    assert source.name == str(path)


def test_a_name_that_is_no_text_is_opened_all_the_same(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.jpg"
    Path(os.fsdecode(path)).write_bytes(b"abc")
    assert FileSource(path).read() == b"abc"
    assert FileSource(path).name.endswith("\udcff.jpg")


def test_a_member_is_read_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"0123456789")
    source = TarSource(os.fsencode(path), "x/1.jpg", 3, 4)
    assert source.read() == b"3456"
    assert source.name == f"{path}!x/1.jpg"


def test_an_archive_that_became_shorter_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"01234")
    with pytest.raises(OSError, match="shorter"):
        TarSource(os.fsencode(path), "1.jpg", 3, 4).read()


@pytest.mark.parametrize("name", ["gone.jpg", "nul\0.jpg"])
def test_what_is_not_there_is_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        FileSource(os.fsencode(f"{tmp_path}/{name}")).read()
    with pytest.raises(FileNotFoundError):
        NoSource("captions.csv, line 3").read()


def test_a_fifo_named_like_a_photo_does_not_block(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        FileSource(os.fsencode(path)).read()


def test_a_folder_named_like_a_photo_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        FileSource(os.fsencode(tmp_path)).read()


def test_a_file_over_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"abcd")
    monkeypatch.setattr(sources, "MAX_PHOTO_BYTES", 3)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number says which
        FileSource(os.fsencode(path)).read()
    assert caught.value.errno == errno.EFBIG


def test_photos_are_found_by_their_ending_in_any_case() -> None:
    assert looks_like_photo("a.JPG")
    assert looks_like_photo("x/b.webp")
    assert not looks_like_photo("a.txt")
    assert not looks_like_photo("jpg")
