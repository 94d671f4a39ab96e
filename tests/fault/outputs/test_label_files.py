"""H3: files of labels and captions that are too long, too wide, or no text at all."""

import tracemalloc
from pathlib import Path

import pytest

from clipsearch.errors import UsageError
from clipsearch.labels import MAX_LABELS, labels_from_file
from clipsearch.pairs.tables import read_table
from tests.cli.program import Program

pytestmark = pytest.mark.row("H3")
GIGABYTE = 1 << 30
MOST_HELD = 30_000_000


def sparse(path: Path, head: bytes, size: int = GIGABYTE) -> Path:
    """A file that claims a gigabyte without a line break, and takes no room."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)
    return path


def refused(path: Path, said: str, read: object) -> None:
    assert callable(read)
    tracemalloc.start()
    try:
        with pytest.raises(UsageError, match=said) as caught:
            read(str(path))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < MOST_HELD, f"{most} bytes held"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["labels.txt", "labels.csv", "labels.tsv"])
def test_a_line_of_a_gigabyte_is_not_read(tmp_path: Path, name: str) -> None:
    refused(sparse(tmp_path / name, b"cat\ndog\nx"), r"line 3: over 1 MB", labels_from_file)


@pytest.mark.parametrize("name", ["table.csv", "table.tsv", "table.jsonl", "table.txt"])
def test_nor_is_one_of_a_table_of_captions(tmp_path: Path, name: str) -> None:
    head = b"image,caption\n" if name == "table.csv" else b"image\tcaption\n"
    refused(sparse(tmp_path / name, head + b"a.jpg"), r"table\.\w+, line [12]\b", read_table)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("l.csv", b"label\n" + b"," * 2_000_000, "line 2: over 1 MB"),
        ("l.csv", b"label\ncat\nd\0g\n", "line 3: .*(control character|NUL)"),
        ("l.txt", b"cat\nd\0g\n", "line 2: .*control character"),
        ("l.txt", b"cat\n\xff\xfed\0o\0g\0", "line 2: not UTF-8"),
        ("l.txt", "cat\nH\xfchner\n".encode("latin-1"), "line 2: not UTF-8"),
        ("l.txt", "cat\n犬\n".encode("shift-jis"), "line 2: not UTF-8"),
        ("l.csv", "label\ncat\n".encode("utf-16"), "line 1: not UTF-8"),
        ("l.txt", b"cat\ndog\nCAT\n", "line 3: 'CAT' is there already, as l.txt, line 1"),
        ("l.csv", b'label\n"open\n', "line"),
        ("l.txt", b"\n\n# nothing\n", "gives no labels"),
        ("l.csv", b"label,words\n", "gives no labels"),
    ],
)
def test_refused_with_the_line(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    refused(tmp_path / name, said, labels_from_file)


def test_a_million_columns_are_read_or_refused_without_a_crash(tmp_path: Path) -> None:
    (tmp_path / "wide.csv").write_bytes(b"label" + b"," * 999_000 + b"\ncat\n")
    assert [label.name for label in labels_from_file(str(tmp_path / "wide.csv"))] == ["cat"]


def test_more_labels_than_there_may_be(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("".join(f"label {i}\n" for i in range(MAX_LABELS + 1)))
    with pytest.raises(UsageError, match=f"line {MAX_LABELS + 1}: over"):
        labels_from_file(str(tmp_path / "l.txt"))


def test_a_mark_at_the_beginning_and_formulae_are_ordinary(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(b"\xef\xbb\xbflabel\n=1+1\n@SUM(A1)\n")
    names = [label.name for label in labels_from_file(str(tmp_path / "l.csv"))]
    assert names == ["=1+1", "@SUM(A1)"]


def test_the_program_says_it_in_one_line(hostile: Program) -> None:
    path = sparse(hostile.folder / "huge.csv", b"label\ncat\nx")
    said = hostile.fails(2, "classify", "album", "--labels-file", str(path))
    assert "line 3: over 1 MB" in said
    path.unlink()
