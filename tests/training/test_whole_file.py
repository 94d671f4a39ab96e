"""A folder takes its name when all that is in it is on the disk, and not before."""

import os
from pathlib import Path

import pytest

from clipsearch.training.whole_file import rename_folder


def test_everything_in_a_folder_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfinished, target = tmp_path / "model.unfinished", tmp_path / "model"
    (unfinished / "inner").mkdir(parents=True)
    (unfinished / "weights").write_bytes(b"1")
    (unfinished / "inner" / "merges").write_bytes(b"2")
    synced: list[tuple[int, bool]] = []
    fsync = os.fsync

    def told(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, target.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", told)
    inside = {path.stat().st_ino for path in (unfinished, *unfinished.rglob("*"))}
    rename_folder(unfinished, target)
    assert {inode for inode, is_named in synced if not is_named} == inside
    assert (tmp_path.stat().st_ino, True) in synced
    assert (target / "inner" / "merges").read_bytes() == b"2"
    assert not unfinished.exists()
