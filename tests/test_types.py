from dataclasses import replace

import pytest

from clipsearch.types import FileStat, same_file

STAT = FileStat(size=1, mtime_ns=2, ctime_ns=3, inode=4, device=5)


@pytest.mark.parametrize("fact", ["size", "mtime_ns", "ctime_ns", "inode"])
def test_a_file_with_another_fact_is_another_or_has_changed(fact: str) -> None:
    assert not same_file(STAT, replace(STAT, **{fact: 9}))


def test_a_disk_that_was_plugged_in_again_has_the_same_files() -> None:
    assert same_file(STAT, replace(STAT, device=9))
