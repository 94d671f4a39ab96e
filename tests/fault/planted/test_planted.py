"""The suite proves itself: each broken storage layer is caught by the checks that all rows use."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fault.faults import Fault, Interposer
from tests.fault.interruption.struck import (
    Publication,
    count_calls,
    points,
    prepare_publication,
    strike_index,
    strike_publication,
)
from tests.fault.interruption.test_workers import worker_dies
from tests.fault.planted.layers import LAYERS
from tests.fault.scanning.away import empty, prove_nothing_is_lost
from tests.fault.side_by_side import for_each
from tests.fault.subject import Album, Subject, Subjects


@pytest.fixture(scope="module")
def publication(album: Album, tmp_path_factory: pytest.TempPathFactory) -> Publication:
    return prepare_publication(Subject(album, tmp_path_factory.mktemp("published")))


class Suite:
    """What the commit tier does, with a few points of each kind, for a program with a bug."""

    def __init__(
        self, subjects: Subjects, interposer: Interposer, publication: Publication, bug: str
    ) -> None:
        self._subjects = subjects
        self._interposer = interposer
        self._publication = publication
        self._bug = bug

    def _new(self) -> Subject:
        return self._subjects.new(self._bug)

    def kills(self) -> None:
        calls = count_calls(self._new(), self._interposer)
        faults = points(calls, {"pwrite64": ("kill",), "fdatasync": ("kill",)}, 12)
        for_each(faults, lambda fault: strike_index(self._new(), self._interposer, fault))

    def publishing(self) -> None:
        faults = [
            *(Fault("write", at, "torn") for at in (1, 2, 3)),
            Fault("rename", 1, "kill"),
            Fault("fsync", 1, "power"),
            Fault("fsync", 2, "power"),
        ]
        for_each(
            faults,
            lambda fault: strike_publication(
                self._new(), self._interposer, self._publication, fault
            ),
        )

    def absences(self) -> None:
        album = Album(self._new().folder / "album", 40)
        prove_nothing_is_lost(Subject(album, album.folder.parent, planted=self._bug), empty)

    def failing_photos(self) -> None:
        worker_dies(self._new())


# Where each bug shows, and in which words the suite tells of it.
CATCHES: dict[str, tuple[Callable[[Suite], None], str]] = {
    "in_place_write": (Suite.publishing, "neither old nor new"),
    "mark_first": (Suite.kills, "has no embedding"),
    "no_transaction": (Suite.kills, "has no embedding|wrong count of live photos"),
    "no_sync_before_rename": (Suite.publishing, "neither old nor new"),
    "delete_on_empty_scan": (Suite.absences, "while their disk was away"),
    "misaligned_batch": (Suite.failing_photos, "the vector of another photo"),
}


@pytest.fixture
def suite_for(
    subjects: Subjects, interposer: Interposer, publication: Publication
) -> Callable[[str], Suite]:
    return lambda bug: Suite(subjects, interposer, publication, bug)


@pytest.mark.parametrize("bug", LAYERS)
def test_every_planted_bug_is_caught(suite_for: Callable[[str], Suite], bug: str) -> None:
    check, words = CATCHES[bug]
    with pytest.raises(AssertionError, match=words):
        check(suite_for(bug))


@pytest.mark.parametrize("check", dict.fromkeys(check for check, _ in CATCHES.values()))
def test_without_a_bug_the_same_checks_pass(
    suite_for: Callable[[str], Suite], check: Callable[[Suite], None]
) -> None:
    check(suite_for("none"))


def test_six_bugs_are_planted() -> None:
    assert len(LAYERS) == 6
    assert LAYERS.keys() == CATCHES.keys()


def test_the_program_itself_reaches_none_of_this() -> None:
    package = Path(__file__).parents[3] / "clipsearch"
    assert not [path for path in package.rglob("*.py") if "planted" in path.read_text()]
