from pathlib import Path

import pytest

from clipsearch.errors import UsageError
from clipsearch.evaluating import read_evaluation_data
from tests.evaluating.colours import write_captions, write_photo, write_standard_set


def test_captions_know_their_photos(tmp_path: Path) -> None:
    rows = [("red.png", "red"), ("green.png", "a green photo"), ("red.png", "the red")]
    data = read_evaluation_data(write_captions(tmp_path, rows))
    captions = dict(zip(data.captions, data.owner.tolist(), strict=True))
    names = [Path(photo.source.name).name for photo in data.photos]
    assert {caption: names[owner] for caption, owner in captions.items()} == {
        "red": "red.png",
        "the red": "red.png",
        "a green photo": "green.png",
    }
    assert (data.labels, data.truth.tolist()) == ((), [-1, -1])


def test_labels_of_one_meaning_are_one(tmp_path: Path) -> None:
    for name in ("stop_sign", "Stop-Sign", "Dog"):
        write_photo(tmp_path / name / "1.png", "red")
    data = read_evaluation_data(str(tmp_path))
    words = {
        Path(photo.source.name).parent.name: data.labels[number].words
        for photo, number in zip(data.photos, data.truth.tolist(), strict=True)
    }
    assert words == {"Dog": "Dog", "stop_sign": "Stop Sign", "Stop-Sign": "Stop Sign"}
    assert len(data.labels) == 2


def test_folder_names_instead_of_captions(tmp_path: Path) -> None:
    write_captions(tmp_path, [("red.png", "red")])
    write_photo(tmp_path / "cat" / "1.png", "red")
    write_photo(tmp_path / "dog" / "1.png", "green")
    assert read_evaluation_data(str(tmp_path)).captions == ["red"]
    data = read_evaluation_data(str(tmp_path), labels_from_folders=True)
    assert data.captions == []
    # The photo beside the folders has no label: it is there, and does not count.
    assert sorted(data.truth.tolist()) == [-1, 0, 1]


def test_standard_sets_bring_classes_and_templates(tmp_path: Path) -> None:
    folder = write_standard_set(tmp_path / "wds_colours")
    for data in (
        read_evaluation_data(str(folder)),
        read_evaluation_data(str(folder), split="test"),
    ):
        assert [label.name for label in data.labels] == ["red", "green", "blue"]
        assert data.truth.tolist() == [0, 1, 2, 2]
        assert data.templates == ("a photo of {}", "{}")


def test_classes_of_one_name_stay_apart(tmp_path: Path) -> None:
    folder = write_standard_set(tmp_path / "wds_colours")
    (folder / "classnames.txt").write_text("crane\ngreen\ncrane\n")
    data = read_evaluation_data(str(folder))
    assert len(data.labels) == 3
    assert data.truth.tolist() == [0, 1, 2, 2]


def test_what_says_nothing_is_refused(tmp_path: Path) -> None:
    table = write_captions(tmp_path / "table", [("red.png", "red")])
    write_photo(tmp_path / "one" / "cat" / "1.png", "red")
    folder = write_standard_set(tmp_path / "set")
    with pytest.raises(UsageError, match="there is no"):
        read_evaluation_data(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="is no folder"):
        read_evaluation_data(table, labels_from_folders=True)
    with pytest.raises(UsageError, match="no splits"):
        read_evaluation_data(table, split="test")
    with pytest.raises(UsageError, match="no split 'train'"):
        read_evaluation_data(str(folder), split="train")
    with pytest.raises(UsageError, match="two names or more"):
        read_evaluation_data(str(tmp_path / "one"))


def test_empty_and_repeated_captions_do_not_count(tmp_path: Path) -> None:
    rows = [("red.png", "red"), ("red.png", " "), ("red.png", "red"), ("green.png", "")]
    data = read_evaluation_data(write_captions(tmp_path, rows))
    assert (data.captions, data.dropped_captions) == (["red"], 3)
    with pytest.raises(UsageError, match="says what is right"):
        read_evaluation_data(write_captions(tmp_path, [("red.png", ""), ("green.png", " ")]))
