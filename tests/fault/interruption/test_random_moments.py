"""`kill -9` at moments that nobody chose."""

import shutil
import time

import pytest

from tests.fault.side_by_side import for_each
from tests.fault.subject import KILLED, Subject, Subjects, kill_after, seeded
from tests.fault.table import Trials


def killed_at(subject: Subject, seconds: float) -> None:
    """Index, kill, examine, index again."""
    outcome = kill_after(subject.start(*subject.index_arguments(workers=2)), seconds)
    assert outcome.code in (KILLED, 0), outcome.errors
    subject.prove_goes_on(subject.prove_kept(outcome))


def duration_of_a_run(subject: Subject) -> float:
    started = time.monotonic()
    outcome = subject.run(*subject.index_arguments(workers=2))
    assert outcome.code == 0, outcome.errors
    return time.monotonic() - started


@pytest.mark.row("A1")
def test_killed_at_any_moment(subjects: Subjects, trials: Trials) -> None:
    duration = duration_of_a_run(subjects.new())
    chance = seeded("moments")
    moments = [chance.uniform(0.0, 1.1 * duration) for _ in range(trials(100, 1000))]

    def trial(seconds: float) -> None:
        subject = subjects.new()
        killed_at(subject, seconds)
        shutil.rmtree(subject.folder)

    assert for_each(moments, trial) == len(moments)


@pytest.mark.row("A1")
def test_killed_again_and_again_it_arrives(subjects: Subjects, trials: Trials) -> None:
    """Kills one after the other on the same library: what is done never becomes less."""
    subject = subjects.new()
    duration = duration_of_a_run(subjects.new())
    chance = seeded("again")
    kept = 0
    for _ in range(trials(6, 50)):
        moment = chance.uniform(0.3 * duration, duration)
        outcome = kill_after(subject.start(*subject.index_arguments(workers=2)), moment)
        now = subject.prove_kept(outcome)
        assert now >= kept, "photos were lost"
        kept = now
    subject.prove_goes_on(kept)
