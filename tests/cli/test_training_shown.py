"""What a person is told while `finetune` and `train` work."""

import pytest

from clipsearch.cli.training_shown import Shown
from clipsearch.finetuning import Checked
from clipsearch.pairs.inspecting import DataReport, Finding
from clipsearch.pairs.sources import FileSource
from clipsearch.types import CaptionedPhoto


def report(photos: list[CaptionedPhoto], *findings: Finding) -> DataReport:
    captions = sum(len(photo.captions) for photo in photos)
    return DataReport(len(photos), captions, tuple(photos), (b"",) * len(photos), findings)


def labelled(label: str | None, number: int, *captions: str) -> CaptionedPhoto:
    return CaptionedPhoto(FileSource(f"/{label}/{number}.jpg".encode()), captions, label)


def told(capsys: pytest.CaptureFixture[str], found: Checked) -> list[str]:
    Shown(json=False, quiet=False)(found)
    return capsys.readouterr().err.splitlines()


def test_labels_are_told_with_their_photos(capsys: pytest.CaptureFixture[str]) -> None:
    photos = [labelled("dog", i) for i in range(7)] + [labelled("cat", i) for i in range(2)]
    photos.append(labelled("2023", 1, "a caption counts for more"))
    lines = told(capsys, Checked(report(photos), 0, (1, 1, 8)))
    assert lines[1:] == ["  2 labels: dog (7), cat (2)"]


def test_of_many_labels_the_first_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    photos = [labelled(f"label {i}", i) for i in range(20)]
    assert told(capsys, Checked(report(photos), 0, (8, 6, 6)))[1].endswith("label 7 (1) ...")


def test_too_few_photos_to_test_on_are_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    photos = [labelled(None, i, "a caption") for i in range(40)]
    lines = told(capsys, Checked(report(photos), 0, (30, 5, 5)))
    assert lines[1:] == ["  5 test photos can prove nothing: add photos, or give --test 0.3"]
    assert len(told(capsys, Checked(report(photos), 0, (30, 4, 6)))) == 1


def test_a_finding_says_what_follows_from_it(capsys: pytest.CaptureFixture[str]) -> None:
    photos = [labelled(None, i, "a caption") for i in range(40)]
    found = report(photos, Finding("long caption", "a.jpg", "a very long"))
    lines = told(capsys, Checked(found, 0, (20, 10, 10)))
    assert lines[1] == "  1 long caption, of which only the beginning is read: a.jpg: a very long"
    two = [Finding("long caption", "a.jpg", "long"), Finding("long caption", "b.jpg", "long")]
    lines = told(capsys, Checked(report(photos, *two), 0, (20, 10, 10)))
    assert lines[1].startswith("  2 long captions, of which")
