"""Searches while an indexer works or is killed: no error, and each answer of one generation.

The indexer tells how many photos each of its commits came to. A search that sees a generation sees
exactly so many; one that mixes two does not.
"""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.fault.subject import Outcome, Subject, Subjects, finish, seeded
from tests.fault.table import Trials

REPOSITORY = Path(__file__).parents[3]

# Indexes, and writes down how many photos are in the library after each commit.
INDEX = """
import os, sys
from pathlib import Path
from clipsearch.encoders.fake import FAKE, FakeImageEncoder
from clipsearch.indexing import encoding, index
from clipsearch.library import Library

encoding.LARGEST_BATCH = 4
with Library.open(Path(sys.argv[1]), create=True) as library, open(sys.argv[3], "a") as told:
    real = library.catalogue.write_batch
    def write_batch(*arguments):
        library.catalogue_total += len(arguments[1])
        # Written before the commit: a search may see it before we are told that it is done.
        told.write(f"{library.catalogue_total}\\n")
        told.flush()
        real(*arguments)
    library.catalogue_total = library.catalogue.counts().photos
    library.catalogue.write_batch = write_batch
    index(library, FAKE, lambda expected: FakeImageEncoder(), [os.fsencode(sys.argv[2])], readers=1)
"""

# Searches again and again, as the command does, and writes down how many photos it found.
SEARCH = """
import json, sys
from pathlib import Path
from clipsearch.encoders import Towers
from clipsearch.encoders.fake import FAKE, FakeImageEncoder, FakeTextEncoder
from clipsearch.errors import StorageError
from clipsearch.library import Library
from clipsearch.query import parse_query
from clipsearch.searching import search

class Fake:
    info = FAKE
    text = FakeTextEncoder()
    image = FakeImageEncoder()

print("ready", flush=True)
while not Path(sys.argv[2]).exists():
    try:
        with Library.open(Path(sys.argv[1])) as library:
            answer = search(library, Fake(), parse_query("red"), top_k=1000)
    except StorageError as error:
        assert "no library" in str(error) or "no photos yet" in str(error), error
        continue
    scores = [result.score for result in answer.results]
    assert scores == sorted(scores, reverse=True)
    print(len(scores), flush=True)
"""


class Meanwhile:
    """Searchers in the background, until they are stopped."""

    def __init__(self, subject: Subject, count: int) -> None:
        self._stop = subject.folder / "stop"
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-c", SEARCH, str(subject.library), str(self._stop)],
                env=subject.environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(count)
        ]
        self._found: list[str] = []
        self._readers = [
            threading.Thread(target=self._listen, args=(process,)) for process in self._processes
        ]
        for reader in self._readers:
            reader.start()

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self._found += [line for line in process.stdout if line != "ready\\n"]

    def found(self) -> list[int]:
        """How many photos each search found; no searcher may have failed."""
        self._stop.touch()
        for reader, process in zip(self._readers, self._processes, strict=True):
            reader.join()
            errors = process.stderr.read() if process.stderr else ""
            process.communicate()
            assert process.returncode == 0, errors
            assert "locked" not in errors
        return [int(line) for line in self._found if line.strip().isdigit()]


def start_indexer(subject: Subject, told: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", INDEX, subject.library, subject.album.folder, told],
        env=subject.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def generations(told: Path) -> set[int]:
    return {0} | {int(line) for line in told.read_text().split()} if told.exists() else {0}


@pytest.mark.row("E3")
def test_searches_while_indexing(subjects: Subjects, trials: Trials) -> None:
    for _ in range(trials(1, 12)):
        subject = subjects.new()
        told = subject.folder / "told"
        searches = Meanwhile(subject, trials(3, 8))
        indexer = finish(start_indexer(subject, told))
        assert indexer.code == 0, indexer.errors
        found = searches.found()
        assert set(found) <= generations(told), "a search saw what was never committed"
        assert len(found) > 3
        assert subject.examine().good == subject.album.names()


@pytest.mark.row("A7")
def test_searches_while_indexers_are_killed(subjects: Subjects, trials: Trials) -> None:
    subject = subjects.new()
    told = subject.folder / "told"
    searches = Meanwhile(subject, 2)
    chance = seeded("killed while searched")
    for _ in range(trials(4, 60)):
        process = start_indexer(subject, told)
        try:
            outcome = finish_or_kill(process, chance.uniform(0.2, 1.2))
        finally:
            process.kill()
        subject.examine()
        assert "locked" not in outcome.errors
    assert finish(start_indexer(subject, told)).code == 0
    found = searches.found()
    assert set(found) <= generations(told), "a search saw what was never committed"
    assert subject.examine().good == subject.album.names()


def finish_or_kill(process: "subprocess.Popen[str]", seconds: float) -> Outcome:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    return finish(process)


@pytest.mark.row("E3")
def test_the_commands_themselves_while_one_indexes(subjects: Subjects) -> None:
    subject = subjects.new()
    indexer = subject.start(*subject.index_arguments())
    codes = []
    while indexer.poll() is None:
        searched = subject.run("search", "red", "-k", "5", "--json")
        codes.append(searched.code)
        assert "locked" not in searched.errors
        for line in searched.output.splitlines():
            assert -1 <= json.loads(line)["score"] <= 1
    assert finish(indexer).code == 0
    # 6 before there is a library, 1 before its first photos.
    assert set(codes) <= {0, 1, 6}
