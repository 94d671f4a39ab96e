"""H2: CSV that a spreadsheet opens without running anything, and a program reads exactly."""

import csv
import io
import os

import pytest

from tests.cli.program import Program
from tests.cli.test_escape import unescape
from tests.fault.outputs.hostile import NAMES, TEXTS

FORMULA = set("=+-@\t\r\n＝＋－＠")


def rows_of(raw: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(raw.decode("utf-8"), newline=""), strict=True))


@pytest.mark.row("H2")
def test_cells_are_neutral_and_come_back(hostile: Program) -> None:
    answer = hostile.run("classify", "album", "--labels-file", "labels.csv", "--csv", "-n", "30")
    assert answer.code == 3
    head, *rows = rows_of(answer.raw)
    assert len(rows) == len(NAMES)
    assert all(len(row) == len(head) for row in rows)
    for row in rows:
        for cell in row:
            assert cell.isprintable()
            assert cell[:1] not in FORMULA
    told = {os.path.basename(plain(row[0]).encode("utf-8", "surrogateescape")) for row in rows}
    assert told == set(NAMES)
    labels = {plain(cell) for row in rows for cell in row[2::2]}
    assert labels <= set(TEXTS)
    assert {"=1+1", "+1", "-1", "@SUM(A1)", "'quoted", '"double", and comma'} <= labels


def plain(cell: str) -> str:
    """A cell without what was put in for spreadsheets and terminals."""
    return unescape(cell[1:] if cell[:1] == "'" else cell)


@pytest.mark.row("H2")
def test_a_label_of_nul_and_breaks_is_refused_before_it_is_written(hostile: Program) -> None:
    for label in ("a\nb", "a\tb", "a\rb"):
        said = hostile.fails(2, "classify", "album", "--labels", f"red,{label}", "--csv")
        assert "control character" in said
