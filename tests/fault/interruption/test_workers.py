"""Decode workers that die under the program: each death costs the photo in hand, and is named."""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from tests.fault.oracle import Holding
from tests.fault.subject import Outcome, Subject, Subjects, finish, seeded

SOME_FAILED = 3
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")


def workers_of(program: int) -> list[int]:
    """The processes that a program started and that still run."""
    children = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            fields = Path(f"/proc/{int(entry)}/stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == program and fields[0] != "Z":
                children.append(int(entry))
    return children


def a_photo_is_in_hand(subject: Subject) -> bool:
    """Whether a worker is ready and at work: killed before that, it is only started again."""
    with contextlib.suppress(OSError):
        return (subject.library / "in-hand").read_bytes()[:1] != bytes(1)
    return False


def prove_blamed(subject: Subject, outcome: Outcome, reason: str) -> Holding:
    """Every photo is there with its own vector, or named with the reason."""
    subject.album.prove_untouched()
    holding = subject.examine()
    assert holding.good | holding.failed.keys() == subject.album.names()
    assert set(holding.failed.values()) <= {"refused"}
    assert outcome.code == (SOME_FAILED if holding.failed else 0), outcome.errors
    for line in outcome.output.splitlines():
        if '"event": "problem"' in line:
            assert reason in line, line
    return holding


def prove_quarantined(subject: Subject, holding: Holding) -> None:
    """They are not tried again until somebody asks; then they are as good as any."""
    again = subject.index()
    assert again.code == SOME_FAILED
    assert again.summary["encoded"] == 0
    assert subject.examine().failed == holding.failed
    retried = subject.run(*subject.index_arguments(), "--retry")
    assert retried.code == 0, retried.errors
    assert retried.summary["encoded"] == len(holding.failed)
    assert subject.examine().good == subject.album.names()


@pytest.mark.row("A5", "D9")
def test_every_tenth_decode_ends_its_worker(subjects: Subjects) -> None:
    worker_dies(subjects.new())


def worker_dies(subject: Subject) -> None:
    """A tenth of the album kills its worker, two workers at a time."""
    more = {"CLIPSEARCH_FAILPOINT": "worker_decode:10=exit"}
    outcome = subject.run(*subject.index_arguments(workers=2), more=more)
    holding = prove_blamed(subject, outcome, "decoding ended its worker with signal SIGKILL")
    assert len(holding.failed) in (29, 30)
    prove_quarantined(subject, holding)


@needs_proc
@pytest.mark.row("A5")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV], ids=lambda n: n.name)
def test_workers_killed_from_outside(subjects: Subjects, number: signal.Signals) -> None:
    subject = subjects.new()
    process = subject.start(*subject.index_arguments(workers=1))
    chance = seeded("workers", number)
    for _ in range(6):
        while process.poll() is None and not a_photo_is_in_hand(subject):
            time.sleep(0.002)
        time.sleep(chance.uniform(0.0, 0.05))
        for worker in workers_of(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, number)
    outcome = finish(process)
    prove_blamed(subject, outcome, f"ended its worker with signal {number.name}")
    retried = subject.run(*subject.index_arguments(), "--retry")
    assert retried.code == 0, retried.errors
    assert subject.examine().good == subject.album.names()
