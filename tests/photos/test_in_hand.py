"""The record of photos in hand, on disks without room for it. (How runs die: tests/fault.)"""

import errno
import os
from pathlib import Path

import pytest

from clipsearch.photos import in_hand as recording
from clipsearch.photos.in_hand import InHand


def test_a_record_that_there_is_only_half_room_for_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mapping what is not there would end the process at the first name."""
    real = os.write
    monkeypatch.setattr(recording.os, "write", lambda file, data: real(file, data[:100]))
    record = tmp_path / "in-hand"
    in_hand = InHand(record, 2)
    with in_hand.holding(1, b"/photo.jpg"):
        assert b"photo" not in record.read_bytes()
    in_hand.close()
    assert not record.exists()


def test_a_record_that_cannot_be_removed_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_hand = InHand(tmp_path / "in-hand", 1)

    def refuse(path: Path, missing_ok: bool) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    in_hand.close()
    monkeypatch.undo()
    # Nobody was in hand when it ended.
    assert InHand(tmp_path / "in-hand", 1).left == {}
