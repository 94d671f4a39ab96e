"""What may not be read, tried by somebody to whom permissions apply: never as root."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.machine import without_privilege
from tests.fault.scanning.away import HELD_BACK
from tests.fault.subject import Album, Outcome, Subject


class Nobody(Subject):
    """A subject whose program runs without any privilege."""

    def command(self, *arguments: str) -> list[str]:
        return without_privilege(super().command(*arguments))


@pytest.fixture
def nobody(tmp_path: Path) -> Iterator[Nobody]:
    subject = Nobody(Album(tmp_path / "album", 40), tmp_path / "own")
    yield subject
    open_again(subject)


def problems(outcome: Outcome) -> list[str]:
    return [line for line in outcome.output.splitlines() if '"event": "problem"' in line]


def open_again(subject: Subject) -> None:
    """Give every permission back; nothing else was ever wrong."""
    subject.album.folder.chmod(0o755)
    for path in subject.album.folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def prove_the_rest(subject: Subject, denied: set[bytes], reported: int) -> None:
    """The denied are reported, each once; the others are indexed; later all are."""
    before = subject.album._facts()
    outcome = subject.index()
    assert outcome.code == HELD_BACK, outcome.errors
    assert len(problems(outcome)) == reported, outcome.output
    assert all("permission denied" in line for line in problems(outcome))
    holding = subject.examine()
    assert holding.good == subject.album.names() - denied
    assert not holding.missing
    assert subject.album._facts() == before
    open_again(subject)
    again = subject.index()
    assert again.code == 0, again.errors
    assert again.summary["encoded"] == len(denied)
    assert subject.examine().good == subject.album.names()


@pytest.mark.row("C7")
def test_files_that_may_not_be_read(nobody: Nobody) -> None:
    denied = nobody.album.paths[3:40:9]
    for path in denied:
        path.chmod(0)
    prove_the_rest(nobody, {os.fsencode(path) for path in denied}, len(denied))


@pytest.mark.row("C7")
@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111], ids=["nothing", "no-entry", "no-list"])
def test_a_folder_that_may_not_be_read(nobody: Nobody, mode: int) -> None:
    folder = nobody.album.folder / "2"
    denied = {name for name in nobody.album.names() if b"/2/" in name}
    folder.chmod(mode)
    # Each file of a folder that can be listed and not entered is a problem of its own.
    prove_the_rest(nobody, denied, len(denied) if mode == 0o444 else 1)


@pytest.mark.row("C7")
@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111], ids=["nothing", "no-entry", "no-list"])
def test_what_was_indexed_before_is_kept(nobody: Nobody, mode: int) -> None:
    assert nobody.index().code == 0
    for folder in (nobody.album.folder / "1", nobody.album.folder):
        folder.chmod(mode)
        outcome = nobody.run("index", "--json")
        assert outcome.code == HELD_BACK, outcome.errors
        assert outcome.summary["missing"] == 0
        open_again(nobody)
        assert nobody.index().summary["encoded"] == 0
        assert nobody.examine().good == nobody.album.names()


@pytest.mark.row("C7")
def test_a_file_that_may_no_longer_be_read_keeps_its_row(nobody: Nobody) -> None:
    assert nobody.index().code == 0
    path = nobody.album.paths[5]
    path.write_bytes(path.read_bytes())
    path.chmod(0)
    outcome = nobody.run("index", "--json")
    assert outcome.code == HELD_BACK
    assert len(problems(outcome)) == 1
    open_again(nobody)
    assert nobody.examine().good == nobody.album.names()
