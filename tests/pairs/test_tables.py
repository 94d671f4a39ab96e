"""Tables of captions: how people write them, and what nobody should."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clipsearch.errors import UsageError
from clipsearch.pairs import tables
from clipsearch.pairs.sources import BadRow, NoSource
from clipsearch.pairs.tables import read_table
from tests.pairs.layouts import said, write


def read(tmp_path: Path, name: str, content: str | bytes) -> list[tuple[str, tuple[str, ...]]]:
    return said(read_table(str(write(tmp_path / name, content))), tmp_path)


EXPECTED = [("a.jpg", ("a dog", "one dog, asleep")), ("b.jpg", ("a cat",))]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", 'image,caption\na.jpg,a dog\nb.jpg,a cat\na.jpg,"one dog, asleep"\n'),
        ("t.csv", '\ufeffimage,caption\r\na.jpg,a dog\r\na.jpg,"one dog, asleep"\r\nb.jpg,a cat'),
        ("t.csv", 'a.jpg,a dog\na.jpg,"one dog, asleep"\n\n  \nb.jpg,a cat\n'),
        ("t.csv", 'a dog,a.jpg\n"one dog, asleep",a.jpg\na cat,b.jpg\n'),
        ("t.csv", "Filename;Description\na.jpg;a dog\na.jpg;one dog, asleep\nb.jpg;a cat\n"),
        ("t.csv", 'id,text,file,x\n1,a dog,a.jpg,\n2,"one dog, asleep",a.jpg,\n3,a cat,b.jpg,9\n'),
        ("t.csv", 'path,title\na.jpg,"[""a dog"", ""one dog, asleep""]"\nb.jpg,a cat\n'),
        ("t.tsv", "filepath\ttitle\na.jpg\ta dog\na.jpg\tone dog, asleep\nb.jpg\ta cat\n"),
        ("t.txt", "a.jpg#0\ta dog\na.jpg#1\tone dog, asleep\nb.jpg#0\ta cat\n"),
        ("t.txt", 'image,caption\na.jpg,a dog\na.jpg,"one dog, asleep"\nb.jpg,a cat\n'),
        (
            "t.jsonl",
            '{"image": "a.jpg", "caption": ["a dog", "one dog, asleep"]}\n\n'
            '{"Image": "b.jpg", "CAPTION": "a cat", "size": 3}\n',
        ),
        (
            "t.jsonl",
            '\ufeff{"file_name": "a.jpg", "text": "a dog"}\n'
            '{"file_name": "b.jpg", "text": "a cat"}\n'
            '{"file_name": "a.jpg", "text": "one dog, asleep"}\n',
        ),
    ],
)
def test_tables_people_write(tmp_path: Path, name: str, content: str) -> None:
    assert read(tmp_path, name, content) == EXPECTED


def test_columns_that_are_named(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "Bild;Wort;n\na.jpg;ein Hund;a dog\n")
    photos = read_table(str(table), columns=("bild", "Wort"))
    assert said(photos, tmp_path) == [("a.jpg", ("ein Hund",))]
    lines = write(tmp_path / "t.jsonl", json.dumps({"b": "a.jpg", "w": "x", "caption": "y"}))
    assert said(read_table(str(lines), columns=("b", "w")), tmp_path) == [("a.jpg", ("x",))]


def test_labels_in_a_column(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "image,label\na.jpg,dog\nb.jpg,\n")
    assert [(p.label, p.captions) for p in read_table(str(table))] == [("dog", ()), (None, ())]


def test_a_caption_in_brackets_that_is_no_list_is_a_caption(tmp_path: Path) -> None:
    assert read(tmp_path, "t.csv", "image,caption\na.jpg,[laughs]\nb.jpg,[1]\n") == [
        ("a.jpg", ("[laughs]",)),
        ("b.jpg", ("[1]",)),
    ]


def test_empty_captions_and_repetitions_are_left_for_the_inspection(tmp_path: Path) -> None:
    assert read(tmp_path, "t.csv", "image,caption\na.jpg, \na.jpg,x\na.jpg,x\n") == [
        ("a.jpg", ("", "x", "x"))
    ]


def test_a_row_without_a_photo_is_missing_and_says_where_it_is(tmp_path: Path) -> None:
    photos = read_table(str(write(tmp_path / "t.csv", "image,caption\na.jpg,x\n,y\n,z\n")))
    assert [photo.source for photo in photos[1:]] == [
        NoSource("t.csv, line 3"),
        NoSource("t.csv, line 4"),
    ]


def test_photos_are_looked_for_in_order(tmp_path: Path) -> None:
    for path in ("root/1.jpg", "1.jpg", "images/1.jpg", "2.jpg", "images/2.jpg", "images/3.jpg"):
        write(tmp_path / path)
    absolute = write(tmp_path / "far" / "5.jpg")
    cells = ["1.jpg", "2.jpg", "3.jpg", "4.jpg", str(absolute), "images/../2.jpg"]
    table = write(tmp_path / "t.csv", "image,caption\n" + "".join(f"{c},x\n" for c in cells))
    with_root = read_table(str(table), photo_root=str(tmp_path / "root"))
    assert [path for path, _ in said(with_root, tmp_path)] == [
        "root/1.jpg",
        "2.jpg",
        "images/3.jpg",
        "root/4.jpg",
        "far/5.jpg",
        "images/../2.jpg",
    ]
    without = said(read_table(str(table)), tmp_path)
    assert [path for path, _ in without[:4]] == ["1.jpg", "2.jpg", "images/3.jpg", "4.jpg"]


def test_paths_from_windows_are_found_unless_a_file_has_that_very_name(tmp_path: Path) -> None:
    for name in ("in/a.jpg", "in/b.jpg", "in\\b.jpg"):
        write(tmp_path / name)
    rows = "image,caption\nin\\a.jpg#1,x\nin\\b.jpg,y\n"
    found = [path for path, _ in read(tmp_path, "t.csv", rows)]
    assert found == ["in/a.jpg", "in\\b.jpg"]


def test_a_photo_really_called_with_a_number_is_found(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg#1")
    assert read(tmp_path, "t.csv", "image,caption\na.jpg#1,x\n") == [("a.jpg#1", ("x",))]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "holds no photos"),
        ("t.csv", b"image,caption\n", "holds no photos"),
        ("t.csv", b"image,caption\na.jpg,x\nb.jpg,y\0\n", "line 3: holds a NUL byte"),
        ("t.csv", "image,caption\n".encode("utf-16"), "line 1: holds a NUL byte"),
        ("t.csv", b"image,caption\na.jpg,x\nb.jpg,caf\xe9\n", "line 3: not UTF-8"),
        ("t.csv", b"image,caption\na.jpg," + b"x" * 1_000_001, "line 2: over 1 MB"),
        ("t.csv", b"image,caption\na.jpg," + b"x" * 200_000, "line 2: field larger"),
        ("t.csv", b"x" + b"," * 999_000, "line 1: 999,001 columns"),
        ("t.csv", b'image,caption\na.jpg,x\nb.jpg,"y\nc.jpg,z\n', "line 3: unexpected end"),
        ("t.csv", b'image,caption\na.jpg,"x"y\n', "line 2: ',' expected after"),
        ("t.csv", b"image,caption\ra.jpg,x\r", "unquoted field. Check the quotes and line ends"),
        ("t.csv", b"photo,sound\na.jpg,x.wav\n", "line 1: no columns of photos and captions"),
        ("t.csv", b"a.jpg,b.jpg\n", "line 1: no columns of photos and captions"),
        ("t.csv", b"image,label\na.jpg,dog\na.jpg,cat\n", "line 3: a.jpg is 'cat' here and 'dog'"),
    ],
)
@pytest.mark.row("H3")
def test_hostile_tables_are_refused_by_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        read_table(str(write(tmp_path / name, content)))


@pytest.mark.parametrize(
    ("name", "row", "reason"),
    [
        ("t.csv", b"a.jpg,a dog, asleep", "3 cells where there should be 2; put a caption that"),
        ("t.csv", b"a.jpg", "1 of 2 cells"),
        ("t.csv", b"a.jpg" + b"," * 999_000, "999,001 cells where there should be 2"),
        ("t.jsonl", b'{"image"', "not JSON"),
        ("t.jsonl", b"[" * 100_000, "not JSON"),
        ("t.jsonl", b"[1, 2]", "not a JSON object"),
        ("t.jsonl", b'{"image": "a.jpg", "words": "x"}', "no photo with a caption among 'image',"),
        ("t.jsonl", b'{"image": "a.jpg", "caption": null}', "no photo with a caption among"),
        ("t.jsonl", b'{"image": 3, "caption": "x"}', "'3' is not a text"),
        ("t.jsonl", b'{"image": "a.jpg", "caption": ["x", 1]}', "'1' is not a text"),
        ("t.jsonl", b'{"image": "a.jpg", "caption": "\\ud800"}', "holds half a character"),
        ("t.jsonl", b'{"image": "a\\u0000.jpg", "caption": "x"}', "holds a NUL byte"),
    ],
)
@pytest.mark.row("J4")
def test_a_row_that_cannot_be_understood_costs_itself_and_says_where_it_is(
    tmp_path: Path, name: str, row: bytes, reason: str
) -> None:
    good = {"t.csv": b"image,caption\na.jpg,x\n", "t.jsonl": b'{"image":"a.jpg","caption":"x"}\n'}
    after = b"b.jpg,y\n" if name == "t.csv" else b'{"image":"b.jpg","caption":"y"}\n'
    table = write(tmp_path / name, good[name] + row + b"\n" + after)
    first, bad, last = (photo.source for photo in read_table(str(table)))
    assert [Path(source.name).name for source in (first, last)] == ["a.jpg", "b.jpg"]
    assert isinstance(bad, BadRow)
    assert bad.name == f"{name}, line {3 if name == 't.csv' else 2}"
    assert bad.reason.startswith(reason)


def test_a_column_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "image,caption\na.jpg,x\n")
    with pytest.raises(UsageError, match=r"no column 'words'. There are image, caption"):
        read_table(str(table), columns=("image", "words"))


def test_a_table_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_table(str(tmp_path / "none.csv"))


@pytest.mark.row("H3")
def test_too_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ROWS", 2)
    with pytest.raises(UsageError, match="line 4: over 2 rows"):
        read(tmp_path, "t.csv", "image,caption\na.jpg,x\nb.jpg,y\nc.jpg,z\n")


_PIECES = [
    b"image,caption\n",
    b"a.jpg",
    b",",
    b"\t",
    b'"',
    b"\n",
    b"\r",
    b"\xff",
    b"\0",
    b"#1",
    b";",
]
_JSON = [
    b'{"image":',
    b'"a.jpg"',
    b',"caption":',
    b"[",
    b"]",
    b'"x"',
    b"}",
    b"\n",
    b"1e999",
    b"null",
]


@given(
    st.sampled_from(["t.csv", "t.tsv", "t.txt", "t.jsonl"]),
    st.lists(st.sampled_from(_PIECES + _JSON), max_size=30).map(b"".join),
)
@settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_is_in_a_table_it_is_read_or_refused_by_line(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = write(tmp_path / name, content)
    try:
        photos = read_table(str(path))
    except UsageError as error:
        refusal = str(error)
    else:
        refusal = "line 1"
        assert all("\0" not in caption for photo in photos for caption in photo.captions)
    assert "line " in refusal or "holds no photos" in refusal
