"""Several indexers on one library: one works, the others leave at once and say for whom."""

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.subject import KILLED, Subject, Subjects, finish

LOCKED = 11


class Working:
    """An indexer that has the lock, and does not finish before it is told to."""

    def __init__(self, subject: Subject) -> None:
        self.process = subject.start(*subject.index_arguments())
        lock = subject.library / "lock"
        while not (lock.exists() and str(self.process.pid) in lock.read_text()):
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.005)
        # Stopped, it still holds the lock: the kernel's, not a file's.
        self.stop()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@pytest.fixture
def subject(subjects: Subjects) -> Subject:
    return subjects.new()


@pytest.fixture
def working(subject: Subject) -> Iterator[Working]:
    working = Working(subject)
    yield working
    if working.process.poll() is None:
        working.process.kill()
        working.process.communicate()


@pytest.mark.row("E1")
@pytest.mark.parametrize("others", [1, 7])
def test_the_others_leave_and_name_the_one_that_works(
    subject: Subject, working: Working, others: int
) -> None:
    waiting = [subject.start(*subject.index_arguments(), "--quiet") for _ in range(others)]
    for process in waiting:
        outcome = finish(process)
        assert outcome.code == LOCKED, outcome.errors
        expected = f"process {working.process.pid} on {socket.gethostname()}"
        assert expected in outcome.complaint
    working.go_on()
    outcome = finish(working.process)
    assert outcome.code == 0, outcome.errors
    assert outcome.summary["encoded"] == len(subject.album.paths)
    assert subject.examine().good == subject.album.names()


@pytest.mark.row("E1")
def test_eight_that_start_together_on_a_new_library(subject: Subject) -> None:
    outcomes = [finish(p) for p in [subject.start(*subject.index_arguments()) for _ in range(8)]]
    assert {outcome.code for outcome in outcomes} <= {0, LOCKED}, [o.errors for o in outcomes]
    done = [outcome for outcome in outcomes if outcome.code == 0]
    assert sum(int(str(o.summary["encoded"])) for o in done) == len(subject.album.paths)
    assert subject.examine().good == subject.album.names()


@pytest.mark.row("E2")
def test_a_holder_that_was_killed_holds_nothing(subject: Subject, working: Working) -> None:
    working.process.kill()
    killed = finish(working.process)
    assert killed.code == KILLED
    # Its number may belong to another program by now: ours, say.
    lock = subject.library / "lock"
    lock.write_text(re.sub(r'"pid": \d+', f'"pid": {os.getpid()}', lock.read_text()))
    subject.prove_goes_on(subject.prove_kept(killed))


@pytest.mark.row("E2")
def test_a_lock_taken_on_another_machine_asks(subject: Subject) -> None:
    """Its holder cannot be seen from here: somebody has to look."""
    assert subject.index().code == 0
    lock = subject.library / "lock"
    assert lock.read_text() == "", "a writer that has finished left its name"
    lock.write_text('{"pid": 17, "host": "another-machine"}')
    refused = subject.index()
    assert refused.code == LOCKED
    assert "process 17 on another-machine" in refused.complaint
    assert f"remove {lock}" in refused.complaint
    assert subject.run("search", "red", "-k", "1").code == 0
    lock.unlink()
    assert subject.index().code == 0


@pytest.mark.row("K4")
def test_an_indexer_that_is_stopped_for_a_while_goes_on(subject: Subject, working: Working) -> None:
    """As when a laptop is closed: no photo is blamed for the time that passed."""
    for _ in range(3):
        time.sleep(0.7)
        if working.process.poll() is not None:
            break  # It was faster than the signal.
        assert subject.index().code == LOCKED
        working.go_on()
        time.sleep(0.1)
        working.stop()
    working.go_on()
    outcome = finish(working.process)
    assert outcome.code == 0, outcome.errors
    assert subject.examine().good == subject.album.names()


def test_the_lock_says_who_holds_it(subject: Subject, working: Working) -> None:
    text = Path(subject.library / "lock").read_text()
    assert str(working.process.pid) in text
    assert socket.gethostname() in text
