"""The dry run: everything that is wrong is listed, and what remains is clean."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from clipsearch.errors import StorageError, UsageError
from clipsearch.pairs.checking import PhotoCheck
from clipsearch.pairs.inspecting import (
    DataReport,
    inspect,
    refuse_if_alike,
    refuse_if_bad,
    write_findings,
)
from clipsearch.pairs.sources import NoSource
from clipsearch.types import CaptionedPhoto


def photo(name: str, *captions: str, label: str | None = None) -> CaptionedPhoto:
    return CaptionedPhoto(NoSource(name), captions, label)


def over_ten(captions: Sequence[str]) -> list[bool]:
    return [len(caption) > 10 for caption in captions]


def report(photos: list[CaptionedPhoto], contents: list[str | None]) -> DataReport:
    """Contents: a letter for each photo's bytes, None for a missing one, "!" for a damaged one."""
    checks = [
        PhotoCheck(i, None, "missing", "gone")
        if content is None
        else PhotoCheck(i, None, "unreadable", "damaged")
        if content == "!"
        else PhotoCheck(i, content.encode())
        for i, content in enumerate(contents)
    ]
    return inspect(photos, reversed(checks), over_ten)


def test_good_data_is_kept_as_it_is() -> None:
    photos = [photo("1", "a", "b"), photo("2", label="dog")]
    found = report(photos, ["A", "B"])
    assert found == DataReport(2, 2, tuple(photos), (b"A", b"B"), ())
    assert found.bad_share == 0


@pytest.mark.row("J4")
def test_everything_that_is_wrong_is_listed() -> None:
    found = report(
        [
            photo("gone", "x"),
            photo("bad", "x"),
            photo("silent", "", " "),
            photo("good", "a  dog ", "", "a dog", "a very long caption"),
            photo("copy", "a cat", "a dog"),
            photo("dog", label="dog"),
            photo("cat", label="cat"),
        ],
        [None, "!", "S", "G", "G", "D", "D"],
    )
    assert [(f.kind, f.photo, f.detail) for f in found.findings] == [
        ("missing", "gone", "gone"),
        ("unreadable", "bad", "damaged"),
        ("no words", "silent", "neither caption nor label"),
        ("two labels", "cat", "'cat' here, 'dog' elsewhere"),
        ("empty caption", "silent", "a caption is empty"),
        ("empty caption", "silent", "a caption is empty"),
        ("empty caption", "good", "a caption is empty"),
        ("repeated row", "good", "a dog"),
        ("same content", "copy", "as good"),
        ("long caption", "good", "a very long caption"),
    ]
    assert found.photos == (
        photo("good", "a dog", "a very long caption", "a cat"),
        photo("dog", label="dog"),
        photo("cat", label="cat"),
    )
    assert found.hashes == (b"G", b"D", b"D")
    assert (found.listed, found.captions) == (7, 10)
    assert found.count("empty caption") == 3
    assert [f.photo for f in found.examples("empty caption", 2)] == ["silent", "silent"]


def test_a_photo_that_nobody_checked_is_not_used() -> None:
    found = inspect([photo("1", "a")], [], over_ten)
    assert (found.photos, found.count("unreadable")) == ((), 1)


def test_bad_is_the_larger_share_of_photos_and_captions() -> None:
    photos = [photo(str(i), "a", "b", "") for i in range(4)]
    assert report(photos, ["A", "B", "C", "D"]).bad_share == pytest.approx(1 / 3)
    assert report(photos, ["A", None, "!", "D"]).bad_share == pytest.approx(1 / 2)


@pytest.mark.row("J4")
def test_one_bad_row_in_many_is_let_through_and_counted() -> None:
    photos = [photo(str(i), "a") for i in range(20)]
    found = report(photos, [None, *"ABCDEFGHIJKLMNOPQRS"])
    assert found.bad_share == 0.05
    refuse_if_bad(found, "All are listed")
    assert len(found.photos) == 19


@pytest.mark.row("J4")
def test_more_than_a_twentieth_is_refused_with_the_first_and_where_all_are() -> None:
    photos = [photo(f"{i}.jpg", "a") for i in range(10)]
    found = report(photos, [None, None, None, None, None, None, "!", *"ABC"])
    with pytest.raises(UsageError) as caught:
        refuse_if_bad(found, "All of them are listed in run/list.tsv")
    assert str(caught.value) == (
        "of 10 photos too many cannot be used (6 missing, 1 unreadable; 70.0 % is bad, 5 % is the"
        " most). The first: 0.jpg: gone; 1.jpg: gone; 2.jpg: gone; 3.jpg: gone; 4.jpg: gone."
        " All of them are listed in run/list.tsv"
    )
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "photos",
    [
        [photo(str(i), "a photo") for i in range(3)],
        [photo(str(i), "a photo", "a photo ", label=str(i)) for i in range(3)],
        [photo(str(i), label="dog") for i in range(3)],
    ],
    ids=["captions", "captions beside labels", "labels"],
)
def test_photos_that_are_all_called_the_same_teach_nothing(photos: list[CaptionedPhoto]) -> None:
    with pytest.raises(UsageError, match=r"all 3 photos are called '(a photo|dog)': there is no"):
        refuse_if_alike(report(photos, ["A", "B", "C"]))


def test_two_different_words_are_enough_to_learn_from() -> None:
    refuse_if_alike(report([photo("1", label="dog"), photo("2", label="cat")], ["A", "B"]))
    refuse_if_alike(report([photo("1", "x", "y"), photo("2", "x")], ["A", "B"]))
    refuse_if_alike(report([photo("1", "x")], ["A"]))  # too few, which `split` says


def test_no_photos_at_all_are_refused() -> None:
    with pytest.raises(UsageError, match="of 0 photos"):
        refuse_if_bad(report([], []), "x")


def test_findings_are_written_a_line_each(tmp_path: Path) -> None:
    found = report([photo("a\tb\n.jpg", "x"), photo("\udcff.jpg", "y")], [None, None])
    path = tmp_path / "list.tsv"
    write_findings(found, str(path))
    assert path.read_text() == (
        "what\tphoto\tdetail\nmissing\ta b .jpg\tgone\nmissing\t\\udcff.jpg\tgone\n"
    )
    with pytest.raises(StorageError, match="cannot write"):
        write_findings(found, str(tmp_path / "none" / "list.tsv"))
