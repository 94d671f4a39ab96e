"""E4: photos purged and models switched while others search.

Each step of the library's life has photos that must be found from its beginning to its end, and
some that may be. An answer has to fit a step that it was given in, whole; and each score has to be
the one of its photo by the one model that answered.
"""

import importlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from clipsearch.cli.program import run
from clipsearch.encoders import Towers
from clipsearch.encoders.fake import FAKE, FakeTextEncoder
from clipsearch.indexing import index
from clipsearch.library import Library
from clipsearch.maintaining.purge import plan_model_purge, plan_purge, purge
from clipsearch.query import parse_query
from clipsearch.searching import search
from clipsearch.storage import model_snapshot
from clipsearch.storage.layout import snapshot_name
from clipsearch.types import ModelInfo
from tests.fault.concurrency.meanwhile import OTHER, image_encoder
from tests.fault.oracle import TOLERANCE, expected_vector
from tests.fault.subject import REPOSITORY, Album, Subject
from tests.fault.table import Trials

TURNS = {FAKE.name: 0, OTHER.name: 1}
KEPT = 24
TOWERS = Towers(FAKE, FakeTextEncoder, lambda: image_encoder(FAKE))


@dataclass(frozen=True)
class Answer:
    asked: float
    came: float
    model: str
    scores: dict[str, float]


@dataclass
class Step:
    """What an answer that is asked for or comes between `began` and `ended` may be."""

    models: set[str]
    must: set[str]
    may: set[str]
    began: float
    ended: float = float("inf")

    def explains(self, answer: Answer) -> bool:
        meets = answer.asked <= self.ended and answer.came >= self.began
        found = answer.scores.keys()
        return meets and answer.model in self.models and self.must <= found <= self.may


@dataclass
class Life:
    """A library whose photos and model change, and every step of that."""

    subject: Subject
    steps: list[Step] = field(default_factory=list)

    def index(self, info: ModelInfo, found: set[str], before: set[str], models: set[str]) -> None:
        """Index with a model: `found` are there afterwards, `before` were until now."""
        self._step(models, found & before, found | before)
        with self._open() as library:
            folders = [os.fsencode(self.subject.album.folder)]
            done = index(library, info, lambda _: image_encoder(info), folders, readers=1)
            assert done.complete
            library.refresh_snapshot()
        self._rest(info, found)

    def purge(self, info: ModelInfo, found: set[str], *, model: str | None = None) -> None:
        """Erase what is missing, or another model, while `info` answers."""
        self._step({info.name}, found, found)
        with self._open() as library:
            plan = plan_purge(library, 0) if model is None else plan_model_purge(library, model)
            assert not plan.is_empty
            purge(library, plan)
        self._rest(info, found)

    def _rest(self, info: ModelInfo, found: set[str]) -> None:
        """Nothing happens: nothing but the last state is an answer."""
        self._step({info.name}, found, found)
        time.sleep(0.3)

    def _step(self, models: set[str], must: set[str], may: set[str]) -> None:
        now = time.monotonic()
        if self.steps:
            self.steps[-1].ended = now
        self.steps.append(Step(models, must, may, now))

    def _open(self) -> Library:
        return Library.open(self.subject.library, create=True)


class Searchers:
    """Processes that search until they are told to stop."""

    def __init__(self, subject: Subject, kinds: tuple[str, ...]) -> None:
        self._stop = subject.folder / "stop"
        module = [sys.executable, "-m", "tests.fault.concurrency.meanwhile"]
        self._files = [(subject.folder / f"answers-{i}").open("w+") for i in range(len(kinds))]
        self._processes = [
            subprocess.Popen(
                [*module, subject.library, self._stop, kind],
                env=subject.environment(),
                cwd=REPOSITORY,
                stdout=file,
                stderr=subprocess.PIPE,
                text=True,
            )
            for kind, file in zip(kinds, self._files, strict=True)
        ]
        while any(os.fstat(file.fileno()).st_size == 0 for file in self._files):
            assert all(process.poll() is None for process in self._processes)
            time.sleep(0.02)

    def answers(self) -> list[list[Answer]]:
        """What each searcher was told; none may have failed."""
        self._stop.touch()
        for process in self._processes:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
        told = []
        for file in self._files:
            with file:
                file.seek(0)
                lines = [json.loads(line) for line in file]
            told.append([Answer(a, c, model, dict(found)) for a, c, model, found in lines])
        return told


def expected_scores(album: Album) -> dict[tuple[str, str], float]:
    """The score of each photo for "red" by each model."""
    red = FakeTextEncoder().encode_text(["red"])[0]
    return {
        (model, str(path)): float(red @ np.roll(expected_vector(path.read_bytes()), turns))
        for path in album.paths
        for model, turns in TURNS.items()
    }


@pytest.mark.nightly
@pytest.mark.row("E4")
def test_purge_and_switch_while_others_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trials: Trials
) -> None:
    monkeypatch.setattr(model_snapshot, "WITHOUT_SNAPSHOT", 0)
    album = Album(tmp_path / "album", 60)
    right = expected_scores(album)
    contents = {path: path.read_bytes() for path in album.paths}
    everything = {str(path) for path in album.paths}
    subject = Subject(album, tmp_path / "subject")
    life = Life(subject)
    life.index(FAKE, everything, set(), {FAKE.name})
    searchers = Searchers(subject, ("open", "again", "open"))
    for turn in range(trials(1, 10)):
        gone = [path for i, path in enumerate(album.paths) if i % KEPT in (turn, turn + 7)]
        for path in gone:
            path.unlink()
        left = everything - set(map(str, gone))
        life.index(FAKE, left, everything, {FAKE.name})
        life.purge(FAKE, left)
        # Others take the numbers that the purged ones had.
        for path in reversed(gone):
            path.write_bytes(contents[path])
        life.index(FAKE, everything, left, {FAKE.name})
        life.index(OTHER, everything, everything, {FAKE.name, OTHER.name})
        life.purge(OTHER, everything, model=FAKE.name)
        life.index(FAKE, everything, everything, {FAKE.name, OTHER.name})
        life.purge(FAKE, everything, model=OTHER.name)
    for answers in searchers.answers():
        seen = {(answer.model, len(answer.scores)) for answer in answers}
        assert {(FAKE.name, 60), (OTHER.name, 60)} < seen, "the searcher saw too little"
        for answer in answers:
            assert any(step.explains(answer) for step in life.steps), answer
            for path, score in answer.scores.items():
                assert abs(score - right[answer.model, path]) < TOLERANCE, (answer.model, path)


@pytest.mark.nightly
@pytest.mark.row("E4")
def test_the_command_while_photos_are_purged(tmp_path: Path, trials: Trials) -> None:
    album = Album(tmp_path / "album", 20)
    subject = Subject(album, tmp_path / "subject")
    life = Life(subject)
    contents = {path: path.read_bytes() for path in album.paths}
    everything = {str(path) for path in album.paths}
    left = {str(path) for path in album.paths[5:]}
    life.index(FAKE, everything, set(), {FAKE.name})
    for _ in range(trials(1, 10)):
        for path in album.paths[:5]:
            path.unlink()
        searches = [subject.start("search", "red", "-k", "50", "--json") for _ in range(3)]
        life.index(FAKE, left, everything, {FAKE.name})
        life.purge(FAKE, left)
        for process in searches:
            output, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
            assert len(output.splitlines()) in (15, 20)
        assert len(subject.run("search", "red", "-k", "50", "--json").output.splitlines()) == 15
        for path in album.paths[:5]:
            path.write_bytes(contents[path])
        life.index(FAKE, everything, left, {FAKE.name})


@pytest.mark.row("E4")
def test_purged_photos_take_nobodys_place_while_the_snapshot_still_holds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the history of erasures says so: the snapshot belongs to this very catalogue."""
    monkeypatch.setattr(model_snapshot, "WITHOUT_SNAPSHOT", 0)
    album = Album(tmp_path / "album", 20)
    life = Life(Subject(album, tmp_path / "subject"))
    everything = {str(path) for path in album.paths}
    life.index(FAKE, everything, set(), {FAKE.name})
    right = expected_scores(album)
    ranked = sorted(everything, key=lambda path: -right[FAKE.name, path])
    for path in ranked[:5]:
        os.unlink(path)
    life.index(FAKE, set(ranked[5:]), everything, {FAKE.name})
    answers: list[list[str]] = []

    def ask_before_it_is_written_anew(library: Library) -> bool:
        with Library.open(library.directory) as other:
            assert (other.directory / snapshot_name(FAKE.fingerprint)).exists()
            found = search(other, TOWERS, parse_query("red"), top_k=5).results
        answers.append([result.path.decode() for result in found])
        return False

    monkeypatch.setattr(Library, "refresh_snapshot", ask_before_it_is_written_anew)
    life.purge(FAKE, set(ranked[5:]))
    assert answers == [ranked[5:10]]


@pytest.mark.row("E4")
def test_a_command_asks_the_model_that_it_was_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Switched between the two, it answers with the former model: not with an error, nor both."""
    command = importlib.import_module("clipsearch.cli.search")
    album = Album(tmp_path / "album", 5)
    life = Life(Subject(album, tmp_path / "subject"))
    everything = {str(path) for path in album.paths}
    life.index(FAKE, everything, set(), {FAKE.name})
    towers_of = command.towers_of

    def switch(library: Library) -> Towers:
        towers: Towers = towers_of(library)
        life.index(OTHER, everything, everything, {FAKE.name, OTHER.name})
        return towers

    monkeypatch.setattr(command, "towers_of", switch)
    assert run(["search", "red", "--json", "--library", str(life.subject.library)]) == 0
    right = expected_scores(album)
    found = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert len(found) == 5
    for one in found:
        assert abs(one["score"] - right[FAKE.name, one["path"]]) < TOLERANCE
