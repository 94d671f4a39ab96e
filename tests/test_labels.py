import re
from pathlib import Path

import pytest

from clipsearch.errors import UsageError
from clipsearch.labels import (
    MAX_LABELS,
    MAX_LINE_BYTES,
    Label,
    concept_of,
    labels_from_file,
    labels_from_folders,
    labels_from_text,
    words_of,
)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("stop_sign", "stop sign"),
        ("Faces", "Faces"),
        ("Red-Bell-Pepper", "Red Bell Pepper"),
        ("StopSign", "Stop Sign"),
        ("iPhone", "iPhone"),
        ("McDonald", "McDonald"),
        ("t-shirt", "t-shirt"),
        ("dog's bed", "dog's bed"),
        ("rock & roll", "rock & roll"),
        ("012.binoculars", "binoculars"),
        ("001.Black_footed_Albatross", "Black footed Albatross"),
        ("2023", "2023"),
        ("7-up", "7-up"),
        ("__x__y__", "x y"),
        ("日本_庭", "日本 庭"),
        ("___", "___"),
    ],
)
def test_a_name_as_words(name: str, words: str) -> None:
    assert words_of(name) == words


def test_labels_from_text() -> None:
    assert labels_from_text(" cat, stop_sign ,me=a bearded man,") == (
        Label("cat", "cat"),
        Label("stop_sign", "stop sign"),
        Label("me", "a bearded man"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "gives no labels"),
        (" , ", "gives no labels"),
        ("cat,dog,Cat", "label 3: 'Cat' is there already, as label 1"),
        ("cat,=dog", "label 2: there is no label before"),
        ("c\x1bat", "control character"),
        ("a" * 1001, "too long"),
    ],
)
def test_texts_that_give_no_labels(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        labels_from_text(text)


def test_labels_from_a_text_file_with_bom_comments_and_windows_lines(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffcat\r\n\r\n# animals\r\nguinea pig\r\nä,ö\r\nme = a man\r\n".encode())
    assert labels_from_file(str(path)) == (
        Label("cat", "cat"),
        Label("guinea pig", "guinea pig"),
        Label("ä,ö", "ä,ö"),
        Label("me", "a man"),
    )


def test_labels_from_a_table_with_a_header(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text('\ufeffid,Label,prompt\n1,cat,"a cat, asleep"\n2,"stop_sign",\n,,\n')
    assert labels_from_file(str(path)) == (
        Label("cat", "a cat, asleep"),
        Label("stop_sign", "stop sign"),
    )


def test_labels_from_a_table_without_header(tmp_path: Path) -> None:
    path = tmp_path / "labels.tsv"
    path.write_text("cat\t1\ndog\t2\n")
    assert [label.name for label in labels_from_file(str(path))] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"cat\ndog\ncat\n", "a.txt, line 3: 'cat' is there already, as a.txt, line 1"),
        ("a.txt", b"cat\n\xff\xfe\n", "a.txt, line 2: not UTF-8"),
        ("a.txt", b"cat\nd\0g\n", "a.txt, line 2: the label holds a control character"),
        ("a.txt", b"cat\n" + b"x" * (MAX_LINE_BYTES + 1), "a.txt, line 2: over 1 MB"),
        ("a.txt", b"\n# only this\n", "a.txt gives no labels"),
        ("a.csv", b'cat\n"do\ng\n', "a.csv, line 3: unexpected end of data"),
        ("a.csv", b"name,n\ncat,1\ncat,2\n", "a.csv, line 3: 'cat' is there already"),
        ("a.csv", b"name,n\n,1\n", "a.csv, line 2: there is no label"),
        ("a.csv", b'"' + b"x\n" * 100_000, "field larger than field limit"),
    ],
)
@pytest.mark.row("H3")
def test_files_are_refused_by_line(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UsageError, match=re.escape(message)):
        labels_from_file(str(path))


@pytest.mark.row("H3")
def test_too_many_labels(tmp_path: Path) -> None:
    path = tmp_path / "many.txt"
    path.write_text("\n".join(map(str, range(MAX_LABELS + 1))))
    with pytest.raises(UsageError, match=r"line 100001: over 100,000 labels"):
        labels_from_file(str(path))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(UsageError, match="cannot read"):
            labels_from_file(str(path))


def test_labels_from_folders_once_each_by_name() -> None:
    folders = [b"/p/stop_sign", b"/p/Faces/", b"/q/stop_sign", "/p/Äpfel".encode()]
    assert labels_from_folders(folders) == (
        Label("Faces", "Faces"),
        Label("stop_sign", "stop sign"),
        Label("Äpfel", "Äpfel"),
    )


def test_folder_names_that_are_no_text_still_give_labels() -> None:
    (label,) = labels_from_folders([b"/p/caf\xe9"])
    assert label.words == "caf?"


def test_folders_that_differ_in_a_byte_that_is_no_text_are_two_labels() -> None:
    labels = labels_from_folders([b"/p/b\xfe", b"/p/b\xff", b"/q/B\xff", b"/p/b?"])
    assert [label.name for label in labels] == ["B\udcff", "b?", "b\udcfe"]
    assert {label.words for label in labels} == {"b?", "B?"}


def test_folders_that_differ_in_case_or_separators_are_one_label() -> None:
    folders = [b"/a/stop_sign", b"/b/Stop-Sign", b"/c/cat", b"/d/Cat"]
    assert [label.name for label in labels_from_folders(folders)] == ["Cat", "Stop-Sign"]


@pytest.mark.parametrize(
    ("typed", "names", "concepts"),
    [
        ("@rex,cat", ["@rex", "cat"], ["rex", None]),
        ('dog=@rex, @"our kitchen"', ["dog", '@"our kitchen"'], ["rex", "our kitchen"]),
        ("@our_big-dog", ["@our_big-dog"], ["our_big-dog"]),
        ("@,me@home", ["@", "me@home"], [None, None]),
    ],
)
def test_labels_that_are_concepts(typed: str, names: list[str], concepts: list[str | None]) -> None:
    labels = labels_from_text(typed)
    assert [label.name for label in labels] == names
    assert [concept_of(label) for label in labels] == concepts
