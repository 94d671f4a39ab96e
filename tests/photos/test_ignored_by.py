"""The rule that is named is the rule that a scan follows."""

import os
from pathlib import Path

import pytest

from clipsearch.photos.ignore import IgnoreRules
from clipsearch.photos.ignored_by import ignoring_rule
from clipsearch.photos.walk import walk


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for name in (
        "a.jpg", "b.xmp", ".hidden.jpg", "@eaDir/a.jpg", "Thumbs.db", ".private/a.jpg",
        "drafts/a.jpg", "drafts/keep/a.jpg", "2019/raw/a.jpg", "2019/keep.xmp", "2019/b.xmp",
        "Photos.photoslibrary/resources/a.jpg", "Photos.photoslibrary/originals/a.jpg",
        "plain/sub/a.jpg",
    ):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / ".clipsearchignore").write_bytes(b"\xef\xbb\xbf# rules\n*.xmp\n/drafts\n2019/raw\n")
    (root / "2019" / ".clipsearchignore").write_text("!keep.xmp\n")
    return root


def scanned(root: Path) -> set[bytes]:
    return {
        os.path.join(folder.path, file.name)
        for folder in walk(bytes(root), b"", IgnoreRules())
        for file in folder.files
    }


def test_a_rule_is_named_for_exactly_what_a_scan_leaves_out(root: Path) -> None:
    files = {
        os.path.relpath(os.path.join(folder, name), bytes(root))
        for folder, _, names in os.walk(bytes(root))
        for name in names
    }
    found = scanned(root)
    assert found == {path for path in files if ignoring_rule(bytes(root), path) is None}
    assert b"plain/sub/a.jpg" in found


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        (b"b.xmp", "*.xmp in {root}/.clipsearchignore"),
        (b"2019/b.xmp", "*.xmp in {root}/.clipsearchignore"),
        (b"2019/keep.xmp", None),
        (b"drafts/keep/a.jpg", "/drafts in {root}/.clipsearchignore"),
        (b".private/a.jpg", ".private is hidden: its name begins with a dot"),
        (b"@eaDir/a.jpg", "@eaDir belongs to the system or to another program"),
        (b"not/there.jpg", None),
    ],
)
def test_the_rule_in_words(root: Path, path: bytes, rule: str | None) -> None:
    expected = None if rule is None else rule.format(root=root)
    assert ignoring_rule(bytes(root), path) == expected


def test_a_pipe_in_the_place_of_an_ignore_file_is_not_waited_for(root: Path) -> None:
    (root / "plain" / ".clipsearchignore").mkdir()
    os.mkfifo(root / "plain" / "sub" / ".clipsearchignore")
    assert ignoring_rule(bytes(root), b"plain/sub/a.jpg") is None
