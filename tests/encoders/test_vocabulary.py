"""Words a model never saw."""

import pytest

from clipsearch.encoders.vocabulary import read_vocabulary, words_not_in

KNOWN = frozenset({"dog", "baby", "shoes", "run", "box", "beach", "leaf", "horse", "red"})


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("a dog on the beach", []),
        ("Dogs, babies and BOXES!", []),
        ("a shoe", []),
        ("leaves", []),
        ("horses", []),
        ("a zebra near two zebras", ["zebra", "two", "zebras"]),
        ("zebra zebra", ["zebra"]),
        ("dog 2023", []),
        ("斑马 dog", ["斑马"]),
        ("", []),
    ],
)
def test_words_not_in_training(text, unknown):
    assert words_not_in(KNOWN, text) == unknown


def test_nothing_is_unknown_when_nothing_is_known():
    assert words_not_in(frozenset(), "a zebra") == []


def test_short_words_are_not_cut_to_nothing():
    # "bus" is not the plural of "bu", "as" not that of "a".
    assert words_not_in(frozenset({"bu"}), "bus") == ["bus"]


def test_a_vocabulary_file_is_read_in_lower_case(tmp_path):
    (tmp_path / "vocabulary.txt").write_text("Dog\nZürich\n\n", encoding="utf-8")
    assert read_vocabulary(tmp_path / "vocabulary.txt") == {"dog", "zürich"}
    assert read_vocabulary(tmp_path / "absent.txt") == frozenset()
