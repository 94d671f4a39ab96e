"""Every write, sync, rename, unlink and truncation of a run, failing or the last one of all."""

import shutil
import subprocess
from collections.abc import Mapping

import pytest

from tests.fault.faults import CALLS, Fault, Interposer
from tests.fault.interruption.struck import (
    Publication,
    count_calls,
    every_point,
    points,
    prepare_publication,
    strike_index,
    strike_publication,
)
from tests.fault.side_by_side import for_each
from tests.fault.subject import Album, Subject, Subjects
from tests.fault.table import Trials

# Only a write can be cut in the middle.
TORN = {"write": ("kill", "torn"), "pwrite64": ("kill", "torn")}
DEADLY_ACTIONS = {call: TORN.get(call, ("kill",)) for call in CALLS}
# What `library rebuild` does, with room for a few calls more: those never come.
PUBLISHING = dict.fromkeys(CALLS, 0) | {"write": 6, "fsync": 2, "rename": 1, "pwrite64": 1}


@pytest.fixture(scope="module")
def calls(
    album: Album, interposer: Interposer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, int]:
    return count_calls(Subject(album, tmp_path_factory.mktemp("counted")), interposer)


@pytest.fixture(scope="module")
def publication(album: Album, tmp_path_factory: pytest.TempPathFactory) -> Publication:
    return prepare_publication(Subject(album, tmp_path_factory.mktemp("published")))


def some(
    calls: Mapping[str, int],
    actions: Mapping[str, tuple[str, ...]],
    trials: Trials,
    at_commits: int,
) -> list[Fault]:
    """So many points at commits, and all of them at night."""
    return points(calls, actions, trials(at_commits, len(every_point(calls, actions))))


def index_under(subjects: Subjects, interposer: Interposer, faults: list[Fault]) -> int:
    def trial(fault: Fault) -> None:
        subject = subjects.new()
        strike_index(subject, interposer, fault)
        shutil.rmtree(subject.folder)

    return for_each(faults, trial)


def test_the_database_and_our_own_files_go_through_the_interposer(calls: dict[str, int]) -> None:
    assert calls["pwrite64"] > 100, "SQLite's writes pass by"
    assert calls["fdatasync"] > 10, "SQLite's syncs pass by"
    assert all(calls[call] > 0 for call in CALLS), calls


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_strace_counts_the_same_calls(subjects: Subjects, calls: dict[str, int]) -> None:
    subject = subjects.new()
    counted = subject.folder / "strace"
    traced = ["fdatasync", "fsync", "rename", "ftruncate"]
    done = subprocess.run(
        [
            *("strace", "-f", "-qq", "-y", "-e", f"trace={','.join(traced)}", "-o", str(counted)),
            *subject.command(*subject.index_arguments()),
        ],
        env=subject.environment(),
        capture_output=True,
        text=True,
    )
    if "ptrace" in done.stderr:
        pytest.skip("this system lets nobody trace")
    assert done.returncode == 0, done.stderr
    lines = [line for line in counted.read_text().splitlines() if str(subject.library) in line]
    for call in ("fsync", "rename", "ftruncate"):
        assert sum(f" {call}(" in line for line in lines) == calls[call], call
    # Batches are cut by the clock: so many more or fewer commits.
    commits = sum(" fdatasync(" in line for line in lines)
    assert abs(commits - calls["fdatasync"]) <= 15


@pytest.mark.row("A2", "A1")
def test_killed_in_place_of_any_call(
    subjects: Subjects, interposer: Interposer, calls: dict[str, int], trials: Trials
) -> None:
    faults = some(calls, DEADLY_ACTIONS, trials, 46)
    assert index_under(subjects, interposer, faults) > 0


@pytest.mark.row("A2")
def test_killed_in_publishing_a_snapshot(
    subjects: Subjects, interposer: Interposer, publication: Publication, trials: Trials
) -> None:
    actions = {call: (*kinds, "power") for call, kinds in DEADLY_ACTIONS.items()}

    def trial(fault: Fault) -> None:
        subject = subjects.new()
        strike_publication(subject, interposer, publication, fault)
        shutil.rmtree(subject.folder)

    assert for_each(some(PUBLISHING, actions, trials, 14), trial) > 0


@pytest.mark.row("A6")
def test_a_power_cut_at_any_call(
    subjects: Subjects, interposer: Interposer, calls: dict[str, int], trials: Trials
) -> None:
    """What was not synced is gone, as on a disk that loses its cache."""
    faults = some(calls, dict.fromkeys(CALLS, ("power",)), trials, 8)
    assert index_under(subjects, interposer, faults) > 0


@pytest.mark.row("B3")
def test_one_call_fails_or_all_do_from_then_on(
    subjects: Subjects, interposer: Interposer, calls: dict[str, int], trials: Trials
) -> None:
    actions = dict.fromkeys(CALLS, ("EIO", "ENOSPC", "EIO+", "ENOSPC+"))
    faults = some(calls, actions, trials, 8)
    assert index_under(subjects, interposer, faults) > 0


@pytest.mark.row("B4")
def test_a_sync_fails_and_its_bytes_are_lost(
    subjects: Subjects, interposer: Interposer, calls: dict[str, int], trials: Trials
) -> None:
    actions = {"fsync": ("lose",), "fdatasync": ("lose",)}
    assert index_under(subjects, interposer, some(calls, actions, trials, 4)) > 0


@pytest.mark.row("B3", "B4")
def test_publishing_fails(
    subjects: Subjects, interposer: Interposer, publication: Publication, trials: Trials
) -> None:
    kinds = ("EIO", "ENOSPC", "EIO+", "ENOSPC+")
    actions = dict.fromkeys(CALLS, kinds) | {"fsync": (*kinds, "lose")}

    def trial(fault: Fault) -> None:
        subject = subjects.new()
        strike_publication(subject, interposer, publication, fault)
        shutil.rmtree(subject.folder)

    assert for_each(some(PUBLISHING, actions, trials, 6), trial) > 0
