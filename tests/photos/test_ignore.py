import os

import pytest

from clipsearch.photos.ignore import IgnoreRules
from clipsearch.photos.patterns import parse_pattern, parse_patterns


def matches(line: str, path: str, *, is_folder: bool = False) -> bool:
    pattern = parse_pattern(os.fsencode(line))
    assert pattern is not None
    return pattern.matches(os.fsencode(path).split(b"/"), is_folder)


@pytest.mark.parametrize(
    ("line", "path", "expected"),
    [
        ("a.jpg", "a.jpg", True),
        ("a.jpg", "x/y/a.jpg", True),
        ("a.jpg", "A.JPG", False),
        ("*.xmp", "x/photo.xmp", True),
        ("*.xmp", "x/photo.xmp.jpg", False),
        ("*", "anything", True),
        ("IMG_?.jpg", "IMG_1.jpg", True),
        ("IMG_?.jpg", "IMG_12.jpg", False),
        ("IMG_[0-3].jpg", "IMG_2.jpg", True),
        ("IMG_[!0-3].jpg", "IMG_2.jpg", False),
        ("/2019", "2019", True),
        ("/2019", "x/2019", False),
        ("2019/raw", "2019/raw", True),
        ("2019/raw", "x/2019/raw", False),
        ("2019/*", "2019/a", True),
        ("2019/*", "2019/a/b", False),
        ("2019/*", "2019", False),
        ("**/raw", "raw", True),
        ("**/raw", "a/b/raw", True),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/**/b", "a/x/y/c", False),
        ("a/**", "a/x/y", True),
        ("a/**", "a", False),
        ("**", "x", True),
        ("é*.jpg", "été.jpg", True),
        ("trailing.jpg   ", "trailing.jpg", True),
        ("\\#kept", "#kept", True),
        ("[", "[", True),
    ],
)
def test_patterns(line: str, path: str, expected: bool) -> None:
    assert matches(line, path) is expected


def test_a_trailing_slash_means_folders_only() -> None:
    assert matches("drafts/", "drafts", is_folder=True)
    assert not matches("drafts/", "drafts", is_folder=False)
    assert matches("drafts/", "x/drafts", is_folder=True)


def test_comments_blank_lines_and_marks_say_nothing() -> None:
    text = b"\xef\xbb\xbf# comment\r\n\r\n   \n/\n*.xmp\r\n"
    patterns = parse_patterns(text)
    assert len(patterns) == 1
    assert patterns[0].matches([b"a.xmp"], False)


def test_a_pattern_of_many_stars_ends() -> None:
    """A pattern may come with a stranger's disk: translated naively this takes for ever."""
    assert not matches("*a" * 30 + "b", "a" * 200)
    assert not matches("**/a/" * 20 + "b", "a/" * 100 + "c")


def test_names_that_are_no_text_match_byte_for_byte() -> None:
    pattern = parse_pattern(b"\xff*.jpg")
    assert pattern is not None
    assert pattern.matches([b"\xff\xfe.jpg"], False)
    assert not pattern.matches([b"\xfe.jpg"], False)


SYSTEM_NAMES = (
    "@eaDir|#recycle|$RECYCLE.BIN|System Volume Information|lost+found|Thumbs.db|DESKTOP.INI"
    "|.Trash-1000|._IMG_1.jpg|Catalog Previews.lrdata"
)


@pytest.mark.parametrize("name", SYSTEM_NAMES.split("|"))
def test_system_names_are_never_wanted(name: str) -> None:
    for hidden in (False, True):
        rules = IgnoreRules(hidden=hidden)
        assert rules.ignores(os.fsencode(f"a/{name}"), is_folder=True, parent=b"a")


def test_hidden_names_are_wanted_only_when_asked_for() -> None:
    assert IgnoreRules().ignores(b"a/.private", is_folder=True, parent=b"a")
    assert not IgnoreRules(hidden=True).ignores(b"a/.private", is_folder=True, parent=b"a")
    assert not IgnoreRules().ignores(b"a/IMG_1.jpg", is_folder=False, parent=b"a")


def test_of_a_macos_photo_library_only_the_originals_are_wanted() -> None:
    rules = IgnoreRules()
    library = b"Photos Library.photoslibrary"
    assert not rules.ignores(library, is_folder=True, parent=b"Pictures")
    assert not rules.ignores(library + b"/originals", is_folder=True, parent=library)
    assert rules.ignores(library + b"/resources", is_folder=True, parent=library)
    assert not rules.ignores(library + b"/originals/0", is_folder=True, parent=b"originals")


def test_exclude_means_a_name_or_a_path_from_the_root() -> None:
    rules = IgnoreRules(exclude=("*.png", "2019/raw"))
    assert rules.ignores(b"x/a.png", is_folder=False)
    assert rules.ignores(b"2019/raw", is_folder=True)
    assert not rules.ignores(b"x/2019/raw", is_folder=True)


def test_deeper_ignore_files_have_the_last_word_on_their_own_folder_only() -> None:
    rules = IgnoreRules().inside(b"", b"*.png\n").inside(b"keep", b"!good.png\n/only-here.jpg\n")
    assert rules.ignores(b"a.png", is_folder=False)
    assert rules.ignores(b"keep/a.png", is_folder=False)
    assert not rules.ignores(b"keep/good.png", is_folder=False)
    assert rules.ignores(b"keep/only-here.jpg", is_folder=False)
    assert not rules.ignores(b"keep/x/only-here.jpg", is_folder=False)


def test_an_ignore_file_cannot_take_back_an_exclusion() -> None:
    rules = IgnoreRules(exclude=("*.png",)).inside(b"", b"!a.png\n")
    assert rules.ignores(b"a.png", is_folder=False)
