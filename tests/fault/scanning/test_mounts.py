"""Disks that are away, empty or others: nothing is marked missing, nothing is encoded again."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fault.machine import require_private_mounts
from tests.fault.scanning.away import (
    HELD_BACK,
    a_file,
    another_card,
    another_volume,
    empty,
    prove_nothing_is_lost,
    unmounted,
)
from tests.fault.subject import Album, Subject


@pytest.mark.row("C5")
@pytest.mark.parametrize(
    "way",
    [
        pytest.param(unmounted, marks=pytest.mark.row("C1")),
        pytest.param(a_file, marks=pytest.mark.row("C1")),
        pytest.param(empty, marks=pytest.mark.row("C2")),
        pytest.param(another_volume, marks=pytest.mark.row("C3")),
        pytest.param(another_card, marks=pytest.mark.row("C3")),
    ],
    ids=lambda way: way.__name__,
)
def test_a_disk_that_is_away_costs_nothing(own: Subject, way: Callable[[Path], None]) -> None:
    prove_nothing_is_lost(own, way)


@pytest.mark.row("C6")
def test_most_photos_deleted_waits_for_a_word_and_they_can_come_back(own: Subject) -> None:
    assert own.index().code == 0
    deleted = {path: path.read_bytes() for path in own.album.paths[:24]}
    for path in deleted:
        path.unlink()
    for _ in range(2):
        held = own.run("index", "--json")
        assert held.code == HELD_BACK
        assert [(root["state"], root["absent"]) for root in held.roots] == [("held", 24)]
        assert held.summary["missing"] == 0
    assert "--confirm-missing" in own.run("index", "--quiet").errors
    confirmed = own.run("index", "--confirm-missing", "--json")
    assert confirmed.code == 0, confirmed.errors
    assert confirmed.summary["missing"] == 24
    assert own.run("index", "--json").summary["missing"] == 0
    for path, data in deleted.items():
        path.write_bytes(data)
    restored = own.index()
    assert restored.code == 0
    assert restored.summary["encoded"] == 0
    assert own.examine().good == own.album.names()


UNMOUNT_INSIDE = """
mount -t tmpfs tmpfs "$1/nested" && cp -r "$2/." "$1/nested/" || exit 99
"$0" -m clipsearch index "$1" --model fake --json --quiet; echo "first $?"
umount "$1/nested"
"$0" -m clipsearch index --json --quiet; echo "away $?"
"$0" -m clipsearch index --confirm-missing --json --quiet; echo "confirmed $?"
"""


@pytest.mark.row("C2", "C4")
def test_a_disk_mounted_inside_a_root_may_be_away_too(own: Subject, tmp_path: Path) -> None:
    """Its empty folder is listed to the end, and its photos really do not exist just now."""
    require_private_mounts()
    (own.album.folder / "nested").mkdir()
    inner = Album(tmp_path / "inner", 12)
    done = subprocess.run(
        [
            *("unshare", "-rm", "sh", "-c", UNMOUNT_INSIDE, sys.executable),
            *(str(own.album.folder), str(inner.folder)),
        ],
        env=own.environment(),
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.startswith("{")] == [
        "first 0",
        f"away {HELD_BACK}",
        "confirmed 0",
    ], done.stderr
    _, away, confirmed = (json.loads(line) for line in lines if '"summary"' in line)
    assert away["missing"] == 0
    assert [root["state"] for root in away["roots"]] == ["held"]
    assert confirmed["missing"] == 12
