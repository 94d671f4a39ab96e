"""What leads from one root to another is kept as every folder is, and gives the same path back."""

import ntpath
import posixpath
from types import ModuleType

import pytest

from clipsearch.storage.folder_paths import between, is_in, joined, native
from clipsearch.storage.row_rules import folder_fault

PLACES = [
    (posixpath, b"/disk", b"/disk/photos/2023"),
    (posixpath, b"/", b"/disk/photos/2023"),
    (posixpath, b"/disk", b"/disk/back\\slash"),
    (ntpath, b"C:\\disk", b"C:\\disk\\photos\\2023"),
    (ntpath, b"C:\\", b"C:\\photos\\2023"),
    (ntpath, b"\\\\server\\share", b"\\\\server\\share\\photos"),
]


@pytest.mark.parametrize(("system", "outer", "inner"), PLACES)
def test_a_root_inside_another_keeps_the_paths_of_its_photos(
    system: ModuleType, outer: bytes, inner: bytes
) -> None:
    prefix = between(outer, inner, system)
    for folder in (b"", b"may", b"may/first"):
        moved = joined(prefix, folder)
        assert folder_fault(moved) is None
        assert system is posixpath or b"\\" not in moved
        before = system.join(inner, native(folder, system), b"a.jpg")
        assert system.join(outer, native(moved, system), b"a.jpg") == before


def test_a_folder_is_in_itself_and_not_in_one_that_begins_like_it() -> None:
    assert is_in(b"x/y", b"x")
    assert is_in(b"x", b"x")
    assert is_in(b"x", b"")
    assert not is_in(b"xy", b"x")
    assert not is_in(b"x", b"x/y")
