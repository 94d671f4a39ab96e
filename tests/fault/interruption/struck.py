"""One run struck by one fault, and what must hold then: used by the sweeps and by `planted`."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.fault.faults import DEADLY, Fault, Interposer, read_counts
from tests.fault.subject import KILLED, Outcome, Subject, seeded

COULD_NOT_RUN = 6


def count_calls(subject: Subject, interposer: Interposer) -> dict[str, int]:
    """How many calls of each kind an undisturbed run of `index` makes on the library."""
    report = subject.folder / "calls"
    outcome = subject.index(interposer.counting(subject.folder, report))
    assert outcome.code == 0, outcome.errors
    return read_counts(report)


def every_point(calls: Mapping[str, int], actions: Mapping[str, tuple[str, ...]]) -> list[Fault]:
    """Each call of an undisturbed run, met by each of its kind's actions."""
    return [
        Fault(call, at, action)
        for call, kinds in actions.items()
        for action in kinds
        for at in range(1, calls[call] + 1)
    ]


def points(
    calls: Mapping[str, int], actions: Mapping[str, tuple[str, ...]], wanted: int
) -> list[Fault]:
    """So many of all points: the first and the last of each kind, the rest by chance."""
    ends: list[Fault] = []
    between: list[Fault] = []
    for fault in every_point(calls, actions):
        (ends if fault.at in (1, calls[fault.call]) else between).append(fault)
    chance = seeded("points", wanted)
    chosen = chance.sample(between, min(len(between), max(0, wanted - len(ends))))
    return (ends if len(ends) <= wanted else chance.sample(ends, wanted)) + chosen


def strike_index(subject: Subject, interposer: Interposer, fault: Fault) -> None:
    """Index under a fault. What was told to be done is kept, and the next run does the rest."""
    outcome = subject.index(interposer.environment(subject.library, fault))
    kept = subject.prove_kept(outcome)
    prove_ending(outcome, fault)
    if outcome.code == 0:
        assert kept == len(subject.album.paths), "exit 0, and not everything is committed"
    subject.prove_goes_on(kept)


def prove_ending(outcome: Outcome, fault: Fault) -> None:
    """A deadly fault kills, or was never reached; another is one line and exit 6, or harmless."""
    if fault.action in DEADLY:
        assert outcome.code in (KILLED, 0), f"{outcome.code}: {outcome.errors}"
    else:
        assert outcome.code in (COULD_NOT_RUN, 0), f"{outcome.code}: {outcome.errors}"
    if outcome.code == COULD_NOT_RUN:
        assert outcome.complaint.count("clipsearch: ") == 1


@dataclass(frozen=True)
class Publication:
    """A library whose snapshot is old: `library rebuild` has something to do.

    `old` and `new` are the snapshot's bytes before and after that, undisturbed.
    """

    library: Path
    old: bytes
    new: bytes

    def copy_to(self, subject: Subject) -> None:
        shutil.copytree(self.library, subject.library)


def prepare_publication(subject: Subject) -> Publication:
    """A quarter of the album in a snapshot, all of it in the catalogue."""
    quarter = subject.run("index", str(subject.album.folder / "0"), "--model", "fake")
    assert quarter.code == 0, quarter.errors
    assert subject.run("library", "rebuild").code == 0
    old = snapshot_of(subject)
    assert subject.index().code == 0
    kept = subject.folder / "kept"
    shutil.copytree(subject.library, kept)
    assert subject.run("library", "rebuild").code == 0
    assert snapshot_of(subject) != old
    return Publication(kept, old, snapshot_of(subject))


def snapshot_of(subject: Subject) -> bytes:
    (snapshot,) = subject.library.glob("*.faiss")
    return snapshot.read_bytes()


def strike_publication(
    subject: Subject, interposer: Interposer, publication: Publication, fault: Fault
) -> None:
    """Publish a snapshot under a fault: it is the old one or the new one, never a mixture."""
    publication.copy_to(subject)
    more = interposer.environment(subject.library, fault)
    outcome = subject.run("library", "rebuild", more=more)
    prove_ending(outcome, fault)
    found = snapshot_of(subject)
    assert found in (publication.old, publication.new), "the snapshot is neither old nor new"
    if outcome.code == 0:
        assert found == publication.new, "exit 0, and no new snapshot"
    assert subject.run("library", "rebuild").code == 0
    assert snapshot_of(subject) == publication.new
    assert subject.examine().good == subject.album.names()
    assert not list(subject.library.glob("*.tmp*")), "unfinished files were left"
