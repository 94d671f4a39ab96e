from dataclasses import replace

import pytest

from clipsearch.storage.records import stat_from_columns, stat_to_columns
from clipsearch.types import FileStat, same_file

STAT = FileStat(size=1, mtime_ns=2, ctime_ns=3, inode=4, device=5)


@pytest.mark.parametrize("fact", ["size", "mtime_ns", "ctime_ns", "inode"])
def test_a_file_with_another_fact_is_another_or_has_changed(fact: str) -> None:
    assert not same_file(STAT, replace(STAT, **{fact: 9}))


@pytest.mark.parametrize("seconds", [-5_364_662_400, -1, 253_402_300_800, 1 << 62])
def test_a_file_of_any_year_is_the_one_that_the_catalogue_remembers(seconds: int) -> None:
    """1800, 1969, 10000 and the last that a disk in memory can hold: not read at each run again."""
    found = replace(STAT, mtime_ns=seconds * 10**9, ctime_ns=seconds * 10**9 + 1)
    assert same_file(stat_from_columns(*stat_to_columns(found)), found)
    assert not same_file(found, replace(found, mtime_ns=found.mtime_ns + 1))


def test_a_disk_that_was_plugged_in_again_has_the_same_files() -> None:
    assert same_file(STAT, replace(STAT, device=9))
