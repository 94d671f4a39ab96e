from pathlib import Path

import pytest

from clipsearch.errors import UsageError
from clipsearch.pairs.folders import labelled_by_folder, photos_below, read_labelled, read_sidecars
from tests.pairs.layouts import said, write


def test_the_folder_of_a_photo_is_its_label(tmp_path: Path) -> None:
    for path in ("dog/2.jpg", "dog/1.PNG", "animals/cat/3.webp", "loose.jpg", "dog/notes.txt"):
        write(tmp_path / path)
    photos = read_labelled(str(tmp_path))
    assert [path for path, _ in said(photos, tmp_path)] == [
        "loose.jpg",
        "animals/cat/3.webp",
        "dog/1.PNG",
        "dog/2.jpg",
    ]
    assert [photo.label for photo in photos] == [None, "cat", "dog", "dog"]


def test_photos_of_a_library_are_labelled_by_their_folders() -> None:
    photos = labelled_by_folder(["/p/a.jpg", "/p/dog/b.jpg", "/q/cat/c.jpg"], "/p")
    assert [photo.label for photo in photos] == [None, "dog", "cat"]


def test_hidden_and_system_folders_are_left_out(tmp_path: Path) -> None:
    for path in ("dog/1.jpg", ".git/2.jpg", "@eaDir/3.jpg", "__MACOSX/4.jpg", "dog/._1.jpg"):
        write(tmp_path / path)
    assert photos_below(str(tmp_path)) == [str(tmp_path / "dog" / "1.jpg")]


def test_links_to_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    write(tmp_path / "far" / "1.jpg")
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "dog").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "loop").symlink_to(tmp_path / "top")
    assert photos_below(str(tmp_path / "top")) == [str(tmp_path / "top" / "dog" / "1.jpg")]


def test_a_folder_that_cannot_be_listed_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot list .*gone"):
        photos_below(str(tmp_path / "gone"))


def test_sidecars_have_a_caption_a_line(tmp_path: Path) -> None:
    for path in ("a.jpg", "b.jpg", "x/c.jpg"):
        write(tmp_path / path)
    write(tmp_path / "a.txt", "\ufeff a dog \r\n\r\none dog\r\n")
    write(tmp_path / "x" / "c.txt", "a cat")
    assert said(read_sidecars(str(tmp_path)), tmp_path) == [
        ("a.jpg", ("a dog", "one dog")),
        ("b.jpg", ()),
        ("x/c.jpg", ("a cat",)),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"x\ncaf\xe9", r"a\.txt, line 2: not UTF-8"), (b"\0", "line 1: holds a NUL")],
)
def test_a_sidecar_that_is_no_text(tmp_path: Path, content: bytes, message: str) -> None:
    write(tmp_path / "a.jpg")
    write(tmp_path / "a.txt", content)
    with pytest.raises(UsageError, match=message):
        read_sidecars(str(tmp_path))
