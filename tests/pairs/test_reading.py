"""Whatever a person points at is recognised for what it is."""

import os
import re
from pathlib import Path

import pytest

from clipsearch.errors import UsageError
from clipsearch.pairs.reading import read_photos
from tests.pairs.layouts import png, said, write, write_tar

CAPTIONED = Path(__file__).parents[3] / "shared" / "data" / "captioned"


def test_a_table_and_a_folder_with_one(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "a.jpg")
    table = write(tmp_path / "captions.csv", "image,caption\na.jpg,a dog\n")
    expected = [("photos/a.jpg", ("a dog",))]
    assert said(read_photos(table), tmp_path) == expected
    assert said(read_photos(str(tmp_path)), tmp_path) == expected


def test_a_folder_as_hugging_face_lays_it_out(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg")
    write(tmp_path / "metadata.jsonl", '{"file_name": "a.jpg", "text": "a dog"}\n')
    assert said(read_photos(tmp_path), tmp_path) == [("a.jpg", ("a dog",))]


def test_two_tables_in_a_folder_have_to_be_told_apart(tmp_path: Path) -> None:
    for name in ("captions.csv", "captions.tsv"):
        write(tmp_path / name, "image,caption\na.jpg,a dog\n")
    with pytest.raises(UsageError, match=r"several tables. Name one: .*captions\.csv, .*\.tsv"):
        read_photos(tmp_path)


def test_archives_alone_in_a_folder_and_as_a_standard_set(tmp_path: Path) -> None:
    members = [("1.jpg", png()), ("1.cls", b"0")]
    path = write_tar(tmp_path / "test" / "0.tar", members)
    assert read_photos(path)[0].label == "0"
    assert read_photos(tmp_path / "test")[0].label == "0"
    write(tmp_path / "classnames.txt", "dog\n")
    assert read_photos(tmp_path)[0].label == "dog"


def test_photos_with_texts_and_photos_in_folders(tmp_path: Path) -> None:
    for path in ("dog/a.jpg", "cat/b.jpg"):
        write(tmp_path / path)
    assert [photo.label for photo in read_photos(tmp_path)] == ["cat", "dog"]
    write(tmp_path / "dog" / "a.txt", "one dog")
    assert [photo.captions for photo in read_photos(tmp_path)] == [(), ("one dog",)]


@pytest.mark.parametrize(
    ("files", "given", "message"),
    [
        ([], "none", "there is no"),
        ([], "", "there are no photos in"),
        (["a.jpg"], "", "nothing says what is on the photos in"),
        (["a.jpg"], "a.jpg", "is no list of photos and captions"),
    ],
)
def test_what_is_nothing_of_it(tmp_path: Path, files: list[str], given: str, message: str) -> None:
    for file in files:
        write(tmp_path / file)
    with pytest.raises(UsageError, match=re.escape(message)):
        read_photos(tmp_path / given)


@pytest.mark.shared
def test_the_shared_captions() -> None:
    if not CAPTIONED.is_dir():
        pytest.skip(f"{CAPTIONED} is not there")
    photos = read_photos(CAPTIONED / "captions.csv")
    assert len(photos) == 700
    assert all(len(photo.captions) == 5 for photo in photos)
    assert all(os.path.isfile(photo.source.name) for photo in photos)


def test_a_folder_of_photos_that_is_not_there_is_not_replaced_by_another(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "a.jpg")
    table = write(tmp_path / "captions.csv", "image,caption\na.jpg,a dog\n")
    with pytest.raises(UsageError, match=r"there is no folder .*nowhere"):
        read_photos(table, str(tmp_path / "nowhere"))
