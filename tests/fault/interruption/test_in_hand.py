"""Photos that end the whole run: after the third time they are named and left alone."""

import os
import sys
from pathlib import Path

import pytest

from clipsearch.photos.in_hand import DEATHS, InHand
from tests.fault.interruption.poison import POISON
from tests.fault.subject import KILLED, Album, Subject

SOME_FAILED = 3


class Poisoned(Subject):
    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tests.fault.interruption.poison", *arguments]


@pytest.mark.row("A5")
def test_a_photo_that_ends_the_run_again_and_again_is_named_and_left(tmp_path: Path) -> None:
    subject = Poisoned(Album(tmp_path / "album", 40), tmp_path / "own")
    poison = subject.album.paths[17]
    poison.write_bytes(poison.read_bytes() + POISON)
    subject.album.remember()
    for _ in range(DEATHS):
        outcome = subject.run(*subject.index_arguments(workers=2))
        assert outcome.code == KILLED, outcome.errors
        subject.prove_kept(outcome)
    outcome = subject.run(*subject.index_arguments(workers=2))
    assert outcome.code == SOME_FAILED, outcome.errors
    assert f"the last that {DEATHS} runs did" in outcome.output
    holding = subject.examine()
    assert holding.failed == {os.fsencode(poison): "refused"}
    assert holding.good == subject.album.names() - holding.failed.keys()
    again = subject.index()
    assert again.code == SOME_FAILED
    assert again.summary["encoded"] == 0
    # Another program could read it: it is tried when somebody asks, or when it changes.
    retried = Subject(subject.album, subject.folder).run(*subject.index_arguments(), "--retry")
    assert retried.code == 0, retried.errors
    assert subject.examine().good == subject.album.names()


def test_whoever_was_in_hand_is_known_to_the_next_run_with_the_number_of_deaths(
    tmp_path: Path,
) -> None:
    record, poison = tmp_path / "in-hand", b"/\xff poison.jpg"
    dying = []
    for deaths in range(DEATHS):
        in_hand = InHand(record, 2)
        assert in_hand.left == ({poison: deaths} if deaths else {})
        with in_hand.holding(0, b"/innocent.jpg"):
            pass
        # Kept, or the end of the block would be the end of holding it.
        dying.append(in_hand.holding(1, poison))
        dying[-1].__enter__()
    ended = InHand(record, 2)
    assert ended.left == {poison: DEATHS}
    ended.close()
    assert not record.exists()
    assert InHand(record, 2).left == {}


@pytest.mark.parametrize("damage", [b"", b"x", b"\xff" * 8192 * 3])
def test_a_damaged_record_blames_nobody_and_stops_nothing(tmp_path: Path, damage: bytes) -> None:
    record = tmp_path / "in-hand"
    record.write_bytes(damage)
    in_hand = InHand(record, 1)
    assert in_hand.left == {}
    with in_hand.holding(0, b"x" * 100_000):
        pass
    in_hand.close()


def test_without_a_place_for_the_record_everything_is_read_all_the_same(tmp_path: Path) -> None:
    in_hand = InHand(tmp_path / "nowhere" / "in-hand", 1)
    with in_hand.holding(0, b"/photo.jpg"):
        pass
    in_hand.close()
