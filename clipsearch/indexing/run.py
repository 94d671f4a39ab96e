"""One index run, from folders to a library that answers."""

import time
from collections.abc import Callable, Sequence

from clipsearch.indexing.absence import (
    confirmed_absent,
    is_other_volume,
    root_identity,
    root_state,
)
from clipsearch.indexing.encoding import Encoding
from clipsearch.indexing.linked import linked_roots, rows_twice
from clipsearch.indexing.roots import scopes_of
from clipsearch.indexing.scan import PendingFile, RootScan, Scope, scan
from clipsearch.indexing.summary import IndexSummary, RootReport, Tally, summarise
from clipsearch.indexing.suspects import divide
from clipsearch.library import Library
from clipsearch.photos.ignore import IgnoreRules
from clipsearch.photos.in_hand import InHand
from clipsearch.photos.reading import PhotoReader
from clipsearch.storage.layout import IN_HAND_NAME
from clipsearch.types import ImageEncoder, ModelInfo, Progress, no_progress

# Decoding a photo scaled costs a fraction of encoding it: two readers keep an encoder busy.
READERS = 2


def index(
    library: Library,
    model: ModelInfo,
    load_encoder: Callable[[int], ImageEncoder],
    folders: Sequence[bytes] = (),
    *,
    rules: IgnoreRules | None = None,
    readers: int = READERS,
    retry: bool = False,
    confirm_missing: bool = False,
    progress: Progress = no_progress,
) -> IndexSummary:
    """Bring the library up to date with `folders` (all its roots when empty).

    Only new and changed files are read. `load_encoder(n)` is called once, when the first of n files
    is to be encoded, so that a run with nothing to encode loads no model. Another `model` than the
    library's active one gets its own embeddings beside the old ones, over all roots, and becomes
    active when no photo is left without one. `retry` reads files again that had a problem.
    Ctrl-C (KeyboardInterrupt) keeps every committed batch and returns with `interrupted` set.

    Raises UsageError for a path that is no folder, LockedError when another process is writing,
    StorageError when the library cannot be written. Problems of single files are in the summary.
    """
    with library.writer():
        run = _Run(library, model, rules or IgnoreRules(), progress)
        return run.run(load_encoder, folders, readers, retry=retry, confirm_missing=confirm_missing)


class _Run:
    def __init__(
        self, library: Library, model: ModelInfo, rules: IgnoreRules, progress: Progress
    ) -> None:
        self._library = library
        self._catalogue = library.catalogue
        self._model = model
        self._rules = rules
        self._progress = progress
        self._tally = Tally()
        self._pending: list[PendingFile] = []
        self._scans: list[tuple[RootScan, tuple[int, int]]] = []
        self._finished = 0
        self._held = 0

    def run(
        self,
        load_encoder: Callable[[int], ImageEncoder],
        folders: Sequence[bytes],
        readers: int,
        *,
        retry: bool,
        confirm_missing: bool,
    ) -> IndexSummary:
        started = time.monotonic()
        active = self._library.model
        last_photo_id = self._catalogue.last_photo_id()
        switching = active is not None and active.fingerprint != self._model.fingerprint
        # Before the model is written down: a mistyped folder must not choose a library's model.
        scopes = self._scopes(folders, every_root=switching)
        model_id = self._catalogue.register_model(self._model)
        interrupted = False
        activated = active is None
        if activated:
            # A new library answers from its first batch on, also when this run is stopped.
            self._catalogue.activate_model(model_id)
        try:
            for scope in scopes:
                self._scan(scope, model_id, retry=retry, confirm_missing=confirm_missing)
            self._encode(load_encoder, model_id, readers)
            self._settle(last_photo_id, confirm_missing=confirm_missing)
            self._follow_links(model_id, last_photo_id)
        except KeyboardInterrupt:
            interrupted = True
        unencoded = self._catalogue.count_unembedded(model_id)
        if switching and not interrupted and unencoded == 0:
            self._catalogue.activate_model(model_id)
            activated = True
        if not interrupted:
            self._progress("snapshot", 0, None)
            self._library.refresh_snapshot()
        return summarise(
            self._tally,
            self._model.name,
            remaining=len(self._pending) - self._finished + self._held,
            unencoded=unencoded if switching else 0,
            model_activated=activated,
            interrupted=interrupted,
            seconds=time.monotonic() - started,
        )

    def _scopes(self, folders: Sequence[bytes], *, every_root: bool) -> list[Scope]:
        scopes, offline = scopes_of(self._catalogue, folders)
        if every_root:
            # A model answers for the whole library, so it has to see the whole library.
            scopes, offline = scopes_of(self._catalogue, ())
        self._tally.roots.extend(RootReport(path, "offline") for path in offline)
        return scopes

    def _scan(self, scope: Scope, model_id: int, *, retry: bool, confirm_missing: bool) -> None:
        root = scope.root
        identity = root_identity(root.path)
        if identity is None:
            self._tally.roots.append(RootReport(root.path, "offline"))
            return
        found = scan(
            self._catalogue, scope, model_id, self._rules, self._tally, self._progress, retry=retry
        )
        if is_other_volume(found) and not confirm_missing:
            self._tally.roots.append(RootReport(root.path, "other-volume"))
            self._held += len(found.pending)
            return
        self._pending.extend(found.pending)
        self._scans.append((found, identity))

    def _encode(
        self, load_encoder: Callable[[int], ImageEncoder], model_id: int, readers: int
    ) -> None:
        if not self._pending:
            return

        def load() -> ImageEncoder:
            self._progress("model", 0, None)
            return load_encoder(len(self._pending))

        roots = {scan.scope.root.root_id: scan.scope.root.path for scan, _ in self._scans}
        already_done = self._tally.found - len(self._pending)
        encoding = Encoding(
            self._catalogue, model_id, load, self._tally, self._progress, already_done
        )
        in_hand = InHand(self._library.directory / IN_HAND_NAME, readers)
        try:
            suspects, others = divide(self._pending, roots, in_hand.left)
            for file, problem in suspects.refused:
                encoding.refuse(file, problem)
            # What was in hand when a run died is read alone: then it is clear who is to blame.
            for files, workers in ((suspects.alone, 1), (others, min(readers, len(others)))):
                if files:
                    with PhotoReader(self._model.preprocess, workers, in_hand=in_hand) as reader:
                        encoding.run(reader, files, roots)
        finally:
            in_hand.close()
            self._finished = encoding.finished

    def _settle(self, last_photo_id: int, *, confirm_missing: bool) -> None:
        """Record absence where it was proved, once everything present has been recorded."""
        absent = [confirmed_absent(found, identity) for found, identity in self._scans]
        moved = set(
            self._catalogue.moved_photos(
                [candidate.photo_id for gone in absent for candidate in gone], last_photo_id
            )
        )
        now = time.time()
        for (found, identity), gone in zip(self._scans, absent, strict=True):
            ids = {candidate.photo_id for candidate in gone}
            lost = [candidate for candidate in gone if candidate.photo_id not in moved]
            state = root_state(
                found, len(ids & moved), lost, identity, confirm_missing=confirm_missing
            )
            self._tally.roots.append(RootReport(found.scope.root.path, state, len(lost)))
            if state != "offline":
                self._tally.moved += self._catalogue.delete_photos(sorted(ids & moved))
            if state == "scanned":
                lost_ids = sorted(candidate.photo_id for candidate in lost)
                self._tally.missing += self._catalogue.mark_missing(lost_ids, now)
                self._tally.ignored += self._catalogue.mark_missing(found.ignored, now)
                if not found.scope.start:
                    self._catalogue.touch_root(found.scope.root, now)

    def _follow_links(self, model_id: int, last_photo_id: int) -> None:
        """Let go of rows under links whose photos were recorded where they really are."""
        scanned = {found.scope.root.root_id for found, _ in self._scans}
        for root, real in list(linked_roots(self._catalogue)):
            if real.root.root_id not in scanned:
                continue
            twice = rows_twice(self._catalogue, root, real, model_id)
            self._catalogue.delete_photos(sorted(twice))
            arrived = sum(photo_id > last_photo_id for photo_id in twice.values())
            self._tally.moved += min(arrived, self._tally.new - self._tally.moved)
            if not self._catalogue.folders(root.root_id):
                self._catalogue.forget_root(root)
            elif any(self._catalogue.live_paths(root)):
                self._tally.roots.append(RootReport(root.path, "offline"))
