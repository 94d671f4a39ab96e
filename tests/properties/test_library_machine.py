"""A library against a dictionary: whatever happens, in whatever order, nothing is lost or mixed up.

A fault of these tests is printed as the steps that led to it; such a program becomes a plain test.
"""

import os
import random
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from clipsearch import failpoints
from clipsearch.encoders.fake import FAKE
from clipsearch.errors import ClipsearchError, DamageError
from clipsearch.indexing import IndexSummary, index
from clipsearch.indexing import run as running
from clipsearch.library import Library
from clipsearch.maintaining.check import check
from clipsearch.maintaining.purge import plan_purge, purge
from clipsearch.maintaining.repair import repair
from clipsearch.query import parse_query
from clipsearch.searching import search
from clipsearch.storage import model_snapshot
from clipsearch.storage.exact import top_k
from clipsearch.storage.layout import snapshot_name
from clipsearch.types import Floats, ModelInfo
from tests.fault.images.folder_facts import facts_of
from tests.fault.table import Trials
from tests.indexing.album import adds_up, vector_of
from tests.properties.in_process import MODELS, ImageTower, InProcessReader, towers_of, turned
from tests.properties.photo_disk import (
    BROKEN,
    COLOURS,
    CONTENTS,
    FOLDERS,
    NAMES,
    NO_PHOTO,
    ODD_TIMES,
    PhotoDisk,
)

HASHES = {sha256(data).digest(): colour for data, colour in zip(CONTENTS, COLOURS, strict=True)}
ROOTS = st.integers(0, 1)
ANY = st.integers(0, 63)
CONTENT = st.sampled_from(CONTENTS)
PLACE = (ROOTS, st.sampled_from(FOLDERS), st.sampled_from(NAMES))


@dataclass(frozen=True)
class Row:
    """A photo that the library takes for present."""

    path: bytes
    content_hash: bytes


class LibraryMachine(RuleBasedStateMachine):
    """What a person, a disk and a power cut may do to a library between two looks at it."""

    @initialize()
    def begin(self) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(running, "PhotoReader", InProcessReader)
        # However small, so that every answer may come from a snapshot.
        self.patch.setattr(model_snapshot, "WITHOUT_SNAPSHOT", 0)
        self.patch.setattr(model_snapshot, "BESIDE_SNAPSHOT", 2)
        self.disk = PhotoDisk()
        self.directory = self.disk.home / "library"
        self.models = self.directory
        self.model = MODELS[0]
        self.known_roots: set[bytes] = set()
        self.looked = False

    def teardown(self) -> None:
        if hasattr(self, "disk"):
            self.patch.undo()
            self.disk.remove()

    # What people do with their photos

    @rule(place=st.tuples(*PLACE), data=CONTENT)
    def add(self, place: tuple[int, bytes, bytes], data: bytes) -> None:
        path = self.disk.free_place(*place)
        if path:
            self.disk.write(path, data)

    @rule(place=st.tuples(*PLACE), data=st.sampled_from([BROKEN, NO_PHOTO, b""]))
    def add_what_is_no_photo(self, place: tuple[int, bytes, bytes], data: bytes) -> None:
        path = self.disk.free_place(*place)
        if path:
            self.disk.write(path, data)

    @rule(root=ROOTS, folder=st.sampled_from(FOLDERS), number=st.integers(2, 7))
    def add_many(self, root: int, folder: bytes, number: int) -> None:
        for i in range(number):
            self.add((root, folder, NAMES[i]), CONTENTS[(i + root) % len(CONTENTS)])

    @rule(number=ANY, data=st.sampled_from([*CONTENTS, BROKEN]))
    def edit(self, number: int, data: bytes) -> None:
        path = self.disk.pick(number)
        if path:
            self.disk.write(path, data)

    @rule(number=ANY, data=CONTENT)
    def edit_and_put_the_time_back(self, number: int, data: bytes) -> None:
        path = self.disk.pick(number)
        if path:
            self.disk.keep_time(path, data)

    @rule(number=ANY, when=st.sampled_from(ODD_TIMES))
    def touch(self, number: int, when: int) -> None:
        path = self.disk.pick(number)
        if path:
            os.utime(path, (when, when))

    @rule(number=ANY, place=st.tuples(*PLACE))
    def move(self, number: int, place: tuple[int, bytes, bytes]) -> None:
        path, to = self.disk.pick(number), self.disk.free_place(*place)
        if path and to:
            self.disk.move(path, to)

    @rule(number=ANY, place=st.tuples(*PLACE))
    def copy(self, number: int, place: tuple[int, bytes, bytes]) -> None:
        path, to = self.disk.pick(number), self.disk.free_place(*place)
        if path and to:
            with open(path, "rb") as file:
                self.disk.write(to, file.read())

    @rule(number=ANY, name=st.sampled_from([b"moved", b"a", b"c"]))
    def move_a_folder(self, number: int, name: bytes) -> None:
        path = self.disk.pick(number)
        if path is None:
            return
        folder = os.path.dirname(path)
        to = os.path.join(os.path.dirname(folder), name)
        if folder not in self.disk.roots and not os.path.lexists(to):
            self.disk.move_folder(folder, to)

    @rule(number=ANY)
    def delete(self, number: int) -> None:
        path = self.disk.pick(number)
        if path:
            self.disk.delete(path)

    @rule(one=ANY, other=ANY)
    def swap_two(self, one: int, other: int) -> None:
        first, second = self.disk.pick(one), self.disk.pick(other)
        if first and second and first != second:
            self.disk.swap(first, second)

    @rule(number=ANY)
    def make_unreadable(self, number: int) -> None:
        path = self.disk.pick(number)
        if path:
            self.disk.unreadable.add(path)

    @rule()
    def make_readable(self) -> None:
        self.disk.unreadable.clear()

    # What disks do

    @rule(root=ROOTS, how=st.sampled_from(["absent", "empty", "other"]))
    def unmount(self, root: int, how: str) -> None:
        path = self.disk.roots[root]
        # What was never indexed cannot be missed.
        if path not in self.disk.away and path in self.known_roots:
            self.disk.unmount(path, how)

    @precondition(lambda self: self.disk.away)
    @rule()
    def mount_again(self) -> None:
        for root in list(self.disk.away):
            self.disk.mount(root)

    # What the program does

    @rule(confirm=st.booleans(), retry=st.booleans())
    def index_all(self, confirm: bool, retry: bool) -> None:
        # Who confirms while a disk is away has said that its photos are gone.
        confirm = confirm and not self.disk.away
        self._index(self.disk.roots, confirm=confirm, retry=retry)

    @rule(root=ROOTS)
    def index_one(self, root: int) -> None:
        self._index([self.disk.roots[root]])

    @rule()
    def index_twice(self) -> None:
        """The second of two runs encodes nothing and writes nothing."""
        first = self._index(self.disk.roots)
        before = self._generation()
        if self.disk.unreadable & set(self.disk.files()):
            return  # these are tried again in every run
        if first is None or any(report.state != "scanned" for report in first.roots):
            return  # held back; what was read nevertheless may prove the root to the next run
        if self._index(self.disk.roots) is not None:
            assert self._generation() == before

    @rule(place=st.sampled_from(["before_commit", "after_commit", "before_rename"]), k=ANY)
    def index_and_be_killed(self, place: str, k: int) -> None:
        before = self._rows()
        failpoints._reached.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CLIPSEARCH_FAILPOINT", f"{place}:{1 + k % 6}=raise")
            try:
                self._index(self.disk.roots)
            except ClipsearchError as error:
                assert error.exit_code == 6, error  # noqa: PT017
        self.known_roots |= set(self._roots())
        photos = self.disk.photos()
        for path, content_hash in self._rows().items():
            now = sha256(photos[path]).digest() if path in photos else None
            assert content_hash in (before.get(path), now) or self._in_other(path)
        # Only what is really gone, moved or spoilt may be gone from the library.
        for path in before.keys() - self._rows().keys():
            assert path not in photos
            assert path.startswith(tuple(root + b"/" for root in self.disk.here()))

    @rule(which=st.sampled_from(MODELS))
    def choose_model(self, which: ModelInfo) -> None:
        """The next run is with this one."""
        self.model = which

    @rule(seed=ANY, cut=st.booleans())
    def damage_a_snapshot(self, seed: int, cut: bool) -> None:
        dice = random.Random(seed)
        for path in self.directory.glob("*.faiss"):
            data = bytearray(path.read_bytes())
            if cut:
                del data[dice.randrange(len(data)) :]
            else:
                data[dice.randrange(len(data))] ^= dice.randint(1, 255)
            path.unlink()
            path.write_bytes(data)

    @rule()
    def rebuild_the_snapshot(self) -> None:
        if self._is_there():
            with Library.open(self.directory) as library:
                library.rebuild_snapshot()
                assert not library.rebuild_snapshot(), "it was not complete"

    @rule()
    def check_is_clean(self) -> None:
        self.rebuild_the_snapshot()
        if self._is_there():
            assert check(self.directory, self.models).damage == ()

    @rule(seed=ANY)
    def check_finds_a_damaged_snapshot_and_repairs_it(self, seed: int) -> None:
        self.rebuild_the_snapshot()
        if not self._is_there() or not self._snapshot().exists():
            return
        self.damage_a_snapshot(seed, cut=False)
        report = check(self.directory, self.models)
        assert [finding.part for finding in report.damage] == ["snapshot"]
        assert repair(self.directory, self.models, report).remaining == ()

    @rule(seed=ANY, keep=st.booleans())
    def damage_the_catalogue(self, seed: int, keep: bool) -> None:
        """No photo gets another's vector by it, and a repair keeps only good rows."""
        if not self._is_there():
            return
        whole = {path: path.read_bytes() for path in self.directory.iterdir()}
        before = self._rows()
        catalogue = self.directory / "catalogue.sqlite"
        data, dice = bytearray(catalogue.read_bytes()), random.Random(seed)
        for _ in range(dice.choice([1, 4, 64])):
            data[dice.randrange(100, len(data))] ^= dice.randint(1, 255)
        catalogue.write_bytes(data)
        with suppress(DamageError):
            self._vectors_are_those_of_their_contents()
        with suppress(DamageError):
            report = check(self.directory, self.models)
            if report.damage:
                repaired = repair(self.directory, self.models, report)
                assert repaired.remaining == ()
                self._vectors_are_those_of_their_contents()
                assert self._rows().items() <= before.items()
            if keep and self._rows():
                return
        # As from a backup.
        for path in self.directory.iterdir():
            path.unlink()
        for path, content in whole.items():
            path.write_bytes(content)

    @rule()
    def purge_what_is_missing(self) -> None:
        """Nothing that is there, and nothing of a disk that is away, is ever purged."""
        if not self._is_there():
            return
        before = self._rows()
        with Library.open(self.directory) as library:
            if library.model is None:
                return
            plan = plan_purge(library, days=0)
            purge(library, plan)
            assert not [path for path in plan.paths if os.path.lexists(path)]
            assert not [path for path in plan.paths if self._is_away(path)]
        assert self._rows() == before

    # What must be true after every step

    @invariant()
    def all_is_well(self) -> None:
        if not self._is_there():
            return
        self._vectors_are_those_of_their_contents()
        self._paths_are_unique()
        with Library.open(self.directory) as library:
            if library.model is not None:
                self._answers_are_right(library, library.model)

    def _vectors_are_those_of_their_contents(self) -> None:
        with Library.open(self.directory) as library:
            catalogue = library.catalogue
            for model in catalogue.models():
                hashes = dict(catalogue._db.rows("SELECT id, hash FROM contents"))
                for block in catalogue.embeddings(model.model_id):
                    for content_id, vector in zip(
                        block.content_ids.tolist(), block.vectors, strict=True
                    ):
                        wanted = vector_by(model.info, hashes[content_id])
                        np.testing.assert_allclose(vector, wanted, atol=2e-3)

    def _paths_are_unique(self) -> None:
        counted = Counter(row.path for row in self._live_rows())
        assert not [path for path, times in counted.items() if times > 1]

    def _answers_are_right(self, library: Library, info: ModelInfo) -> None:
        model_id = library.catalogue.active_model_id()
        assert model_id is not None
        live = set(library.catalogue.live_contents().tolist())
        ids, rows = [], []
        for block in library.catalogue.embeddings(model_id):
            kept = [n for n, i in enumerate(block.content_ids.tolist()) if i in live]
            ids.append(block.content_ids[kept])
            rows.append(block.vectors[kept])
        query = turned(vector_of((200, 100, 50))[None], info)[0]
        found, scores = library.nearest(query[None], 50)
        if ids:
            wanted_ids, wanted = top_k(np.concatenate(ids), np.concatenate(rows), query, 50)
            assert found[0].tolist() == wanted_ids.tolist()
            np.testing.assert_array_equal(scores[0], wanted)
        else:
            assert found.size == 0
        self._search_finds_live_rows_in_order(library, info)

    def _search_finds_live_rows_in_order(self, library: Library, info: ModelInfo) -> None:
        answer = search(library, towers_of(info), parse_query("red"), top_k=500).results
        told = [(-(result.score or 0.0), result.path) for result in answer]
        assert told == sorted(told)
        assert np.isfinite([score for score, _ in told]).all()
        rows = self._rows()
        for result in answer:
            assert rows[result.path] == result.content_hash
        embedded = self._embedded(library)
        assert {r.path for r in answer} == {p for p, h in rows.items() if h in embedded}

    # How the rules do it

    def _index(
        self, folders: list[bytes], *, confirm: bool = False, retry: bool = False
    ) -> IndexSummary | None:
        """Index what can be named, and compare what is there with what the library says then."""
        named = [f for f in folders if f in self.known_roots or os.path.isdir(f)]
        if not named:
            return None
        before, untouched = self._rows(), facts_of(self.disk.home, b"library")
        InProcessReader.unreadable = frozenset(self.disk.unreadable)
        tower = ImageTower(self.model)
        with Library.open(self.directory, create=True) as library:
            try:
                summary = index(
                    library, self.model, lambda _: tower, named,
                    retry=retry, confirm_missing=confirm,
                )  # fmt: skip
            finally:
                assert facts_of(self.disk.home, b"library") == untouched
        self.known_roots |= set(self._roots())
        assert adds_up(summary)
        self._check(summary, before)
        return summary

    def _check(self, summary: IndexSummary, before: dict[bytes, bytes]) -> None:
        after, photos = self._rows(), self.disk.photos()
        for report in summary.roots:
            inside = report.path + b"/"
            was = {path: h for path, h in before.items() if path.startswith(inside)}
            now = {path: h for path, h in after.items() if path.startswith(inside)}
            if report.path in self.disk.away:
                # Nothing of a disk that is away is lost, whatever lies in its place; unless every
                # photo of it has arrived elsewhere, which is what moving them looks like.
                arrived = {after[path] for path in after.keys() - before.keys()}
                assert was.items() <= now.items() or arrived >= {*was.values()}
                continue
            here = {p: sha256(d).digest() for p, d in photos.items() if p.startswith(inside)}
            # Of a file that cannot be read now, what is known stays.
            here |= {p: h for p, h in was.items() if p in self.disk.unreadable}
            if report.state == "scanned":
                assert now == here
            else:
                # Held back: nothing is lost, and what is recorded nevertheless is right.
                spoilt = {p for p in was if os.path.exists(p)} - here.keys()
                assert was.keys() - spoilt <= now.keys()
                assert all(now[p] in (was.get(p), here.get(p)) for p in now)
        named = tuple(report.path + b"/" for report in summary.roots)
        for path, content_hash in before.items():
            assert path.startswith(named) or after.get(path) == content_hash

    def _is_there(self) -> bool:
        return (self.directory / "catalogue.sqlite").exists()

    def _generation(self) -> tuple[int, bytes] | None:
        if not self._is_there():
            return None
        with Library.open(self.directory) as library:
            return library.catalogue.history.generation()

    def _roots(self) -> list[bytes]:
        if not self._is_there():
            return []
        with Library.open(self.directory) as library:
            return [root.path for root in library.catalogue.roots()]

    def _rows(self) -> dict[bytes, bytes]:
        return {row.path: row.content_hash for row in self._live_rows()}

    def _live_rows(self) -> list[Row]:
        """Read with plain SQL, not by what is being tested."""
        if not self._is_there():
            return []
        with closing(sqlite3.connect(self.directory / "catalogue.sqlite")) as database:
            rows = database.execute(
                "SELECT r.path, f.path, p.name, c.hash FROM photos p "
                "JOIN folders f ON f.id = p.folder_id JOIN roots r ON r.id = f.root_id "
                "JOIN contents c ON c.id = p.content_id WHERE p.missing_since IS NULL"
            ).fetchall()
        return [Row(os.path.join(*place), content_hash) for *place, content_hash in rows]

    def _embedded(self, library: Library) -> set[bytes]:
        return {
            row[0]
            for row in library.catalogue._db.rows(
                "SELECT hash FROM contents c WHERE EXISTS (SELECT 1 FROM embeddings e WHERE "
                "e.content_id = c.id AND e.model_id = (SELECT active_model FROM meta))"
            )
        }

    def _is_away(self, path: bytes) -> bool:
        return any(path.startswith(root + b"/") for root in self.disk.away)

    def _snapshot(self) -> Path:
        with Library.open(self.directory) as library:
            return self.directory / snapshot_name((library.model or FAKE).fingerprint)

    def _in_other(self, path: bytes) -> bool:
        return path.endswith(b"/foreign.bmp")


def vector_by(info: ModelInfo, content_hash: bytes) -> Floats:
    """The vector that a model gives a content, worked out from its colour."""
    return turned(vector_of(HASHES[content_hash])[None], info)[0]


CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


class TestLibrary(LibraryMachine.TestCase):  # type: ignore[misc,name-defined]
    """Some histories at every commit, the same ones each time."""

    settings = settings(
        max_examples=100,
        stateful_step_count=30,
        derandomize=True,
        deadline=None,
        suppress_health_check=CHECKS,
        # Making a long history short takes minutes: the test of the night does it.
        phases=[Phase.explicit, Phase.generate],
        report_multiple_bugs=False,
    )


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(10))
def test_other_histories_every_night(part: int, trials: Trials) -> None:
    """Five thousand, in parts: each of them ends within the time that a test may take."""
    run_state_machine_as_test(
        LibraryMachine,
        settings=settings(
            max_examples=trials(1, 500),
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=CHECKS,
            database=None,
            print_blob=True,
        ),
    )
