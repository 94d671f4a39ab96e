"""WebDataset archives and the folders of standard data sets."""

import os
from pathlib import Path

import pytest

from clipsearch.errors import UsageError
from clipsearch.pairs.sources import NoSource, TarSource
from clipsearch.pairs.webdataset import (
    archives_in,
    is_standard_set,
    read_archives,
    read_standard_set,
)
from tests.pairs.layouts import png, write, write_tar


def test_a_photo_and_its_words_are_one_sample(tmp_path: Path) -> None:
    members = [
        ("x/1.jpg", png(1)),
        ("x/1.txt", b"a dog\nanother wording\n"),
        ("x/1.json", b'{"caption": "not this one"}'),
        ("2.json", b'{"caption": "a cat", "width": 3}'),
        ("2.webp", png(2)),
        ("3.png", png(3)),
        ("3.cls", b" 7\n"),
        ("4.json", b'{"captions": ["one", "two"]}'),
        ("4.JPEG", png(4)),
        ("._4.jpg", b"what a Mac adds"),
        ("5.seg.png", png(5)),
        ("readme.md", b""),
    ]
    path = write_tar(tmp_path / "a.tar", members)
    photos, classes = read_archives([str(path)])
    assert [(photo.captions, photo.label) for photo in photos] == [
        (("a dog", "another wording"), None),
        (("a cat",), None),
        ((), "7"),
        (("one", "two"), None),
    ]
    assert classes == [None, None, 7, None]
    assert [photo.source.read() for photo in photos] == [png(1), png(2), png(3), png(4)]
    assert photos[0].source.name == f"{path}!x/1.jpg"
    assert not list(tmp_path.glob("**/*.jpg"))


def test_samples_of_one_name_in_two_archives_are_two(tmp_path: Path) -> None:
    paths = [
        write_tar(tmp_path / f"{i}.tar", [("s.jpg", png(i)), ("s.txt", b"x")]) for i in range(2)
    ]
    photos, _ = read_archives([str(path) for path in paths])
    assert [photo.source.read() for photo in photos] == [png(0), png(1)]


def test_words_without_a_photo_are_a_missing_photo(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [("1.txt", b"a dog")])
    assert read_archives([str(path)])[0][0].source == NoSource(f"{path}!1")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("1.txt", b"x" * 1_000_001), ("1.jpg", b"")], "1.txt: over 1 MB"),
        ([("1.txt", b"caf\xe9"), ("1.jpg", b"")], "1.txt: not UTF-8"),
        ([("1.txt", b"\0"), ("1.jpg", b"")], "1.txt: holds a NUL byte"),
        ([("1.json", b"[" * 100_000), ("1.jpg", b"")], "1.json: not JSON"),
        ([("1.jpg", b"x"), ("1.png", b"y")], "has 1.png twice"),
        ([("1.txt", b"x"), ("1.txt", b"y")], "has 1.txt twice"),
        ([("readme.md", b"x")], "no photos in"),
    ],
)
def test_archives_that_are_refused(
    tmp_path: Path, members: list[tuple[str, bytes]], message: str
) -> None:
    path = write_tar(tmp_path / "a.tar", members)
    with pytest.raises(UsageError, match=message):
        read_archives([str(path)])


@pytest.mark.parametrize("content", [b"[1]", b'{"caption": 3}', b'{"width": 3}', b"null"])
def test_json_without_a_caption_says_nothing(tmp_path: Path, content: bytes) -> None:
    path = write_tar(tmp_path / "a.tar", [("1.json", content), ("1.jpg", b"")])
    assert read_archives([str(path)])[0][0].captions == ()


def standard_set(top: Path, splits: tuple[str, ...] = ("dev", "test")) -> Path:
    write(top / "classnames.txt", "red panda\n\ncrane\n")
    write(top / "zeroshot_classification_templates.txt", "a photo of a {c}.\nthe {c}.\n")
    for number, split in enumerate(splits):
        for shard in (10, 2):
            name = f"s{shard:07d}"
            write_tar(
                top / split / f"{shard}.tar",
                [(f"{name}.webp", png(100 * number + shard)), (f"{name}.cls", b"2")],
            )
        write(top / split / "nshards.txt", "2\n")
    return top


def test_a_standard_set_of_classes(tmp_path: Path) -> None:
    found = read_standard_set(str(standard_set(tmp_path)))
    assert found.class_names == ("red panda", "", "crane")
    assert found.templates == ("a photo of a {}.", "the {}.")
    assert found.classes == (2, 2)
    assert [photo.label for photo in found.photos] == ["crane", "crane"]
    assert [photo.source.read() for photo in found.photos] == [png(102), png(110)]


def test_the_split_may_be_named_or_pointed_at(tmp_path: Path) -> None:
    top = standard_set(tmp_path)
    named = read_standard_set(str(top), "dev")
    assert named.photos[0].source.read() == png(2)
    assert read_standard_set(str(top / "dev")) == named
    assert is_standard_set(str(top))
    assert is_standard_set(str(top / "dev"))


def test_a_split_that_has_to_be_chosen(tmp_path: Path) -> None:
    top = standard_set(tmp_path, ("a", "b"))
    with pytest.raises(UsageError, match=r"which split of .* Name one of: a, b"):
        read_standard_set(str(top))
    with pytest.raises(UsageError, match=r"no split 'c'. There are: a, b"):
        read_standard_set(str(top), "c")
    assert read_standard_set(str(standard_set(tmp_path / "one", ("val",)))).classes == (2, 2)


def test_a_standard_set_of_captions(tmp_path: Path) -> None:
    write_tar(tmp_path / "test" / "0.tar", [("s0.jpg", png()), ("s0.txt", b"a dog\none dog")])
    found = read_standard_set(str(tmp_path))
    assert found.photos[0].captions == ("a dog", "one dog")
    assert (found.class_names, found.templates, found.classes) == ((), (), (None,))


def test_a_class_that_has_no_name(tmp_path: Path) -> None:
    top = standard_set(tmp_path)
    write(top / "classnames.txt", "red panda\ncrane\n")
    with pytest.raises(UsageError, match="there is no class 2"):
        read_standard_set(str(top))


def test_archives_are_in_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("10.tar", "2.tar", "a1.TAR", "x.zip", "1.tar.gz"):
        write(tmp_path / name)
    assert [os.path.basename(path) for path in archives_in(str(tmp_path))] == [
        "a1.TAR",
        "2.tar",
        "10.tar",
    ]


def test_photos_are_not_read_before_they_are_asked_for(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [("1.jpg", png()), ("1.txt", b"x")])
    source = read_archives([str(path)])[0][0].source
    assert isinstance(source, TarSource)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        source.read()
