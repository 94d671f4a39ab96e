"""Trace one photo: all that is known of it, as stored and as it is now, and from where."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from clipsearch.errors import PhotoError
from clipsearch.library import Library
from clipsearch.photos.files import file_stat
from clipsearch.photos.hashing import hash_file
from clipsearch.photos.ignored_by import ignoring_rule
from clipsearch.photos.in_hand import left_in
from clipsearch.storage.catalogue import Catalogue, RegisteredModel
from clipsearch.storage.layout import IN_HAND_NAME
from clipsearch.storage.model_snapshot import ModelSnapshot
from clipsearch.storage.records import PhotoRecord
from clipsearch.storage.snapshot_file import UnusableSnapshot
from clipsearch.types import FileStat, same_file

# An index run's --exclude and --hidden are for that run, and kept nowhere.
_LEFT_OUT = "that was told to leave it out (--exclude is written down nowhere)"

State = Literal["live", "missing", "problem", "ignored", "not indexed"]


@dataclass(frozen=True, slots=True)
class FileNow:
    """The file as it is now: its stat and its SHA-256, or why there is none of them."""

    stat: FileStat | None
    content_hash: bytes | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class EmbeddingTrace:
    """One model's embedding of a photo's content.

    `snapshot` is the name of the file that answers for it, `generation` the state of the catalogue
    that was made from; both are None when searches read the embedding from the catalogue itself,
    for the reason `beside`.
    """

    model: str
    fingerprint: str
    active: bool
    row_id: int
    snapshot: str | None
    generation: int | None
    beside: str | None


@dataclass(frozen=True, slots=True)
class PhotoTrace:
    """All that is known of one path.

    `root` is the folder of the library that it is in, None for none, and `root_online` whether that
    is there. `why` says what led to the state: an ignore rule, a problem's reason. `record` is the
    catalogue's row, None for a file that has none. `copies` are other paths of the same content,
    with whether each is missing. `in_hand` is the number of runs in a row that were reading it when
    they died, one that still reads it included.
    """

    path: bytes
    root: bytes | None
    root_online: bool
    state: State
    why: str
    record: PhotoRecord | None
    now: FileNow
    embeddings: tuple[EmbeddingTrace, ...] = ()
    copies: tuple[tuple[bytes, bool], ...] = ()
    in_hand: int = 0

    @property
    def unchanged(self) -> bool | None:
        """Whether the content is what was indexed; None when one of the two is not known."""
        stored = self.record.content_hash if self.record is not None else None
        if stored is None or self.now.content_hash is None:
            return None
        return stored == self.now.content_hash

    @property
    def same_stat(self) -> bool | None:
        """Whether a scan would take the file for unchanged; None when one stat is not known."""
        if self.record is None or self.now.stat is None:
            return None
        return same_file(self.record.stat, self.now.stat)


def trace(library: Library, path: bytes) -> PhotoTrace:
    """What is known of the file at `path`, in the library or not, there or not.

    The file is read once, for its hash. Raises DamageError when its row does not fit its content.
    """
    path = _as_indexed(path)
    catalogue = library.catalogue
    rows: dict[int, int] = {}
    copies: list[tuple[bytes, bool]] = []
    with catalogue.reading():
        record = catalogue.record_at(path)
        root = record.root if record is not None else _root_of(catalogue, path)
        if record is not None and record.content_id is not None:
            rows = catalogue.embeddings_of(record.content_id)
            copies = [found for found in catalogue.paths_of(record.content_id) if found[0] != path]
    now = _look_at(path)
    state, why = _state(root, path, record, now)
    # Outside: an index run may just have written a snapshot of a newer generation.
    embeddings = _embeddings(library, rows)
    online = root is not None and os.path.isdir(root)
    in_hand = left_in(library.directory / IN_HAND_NAME).get(path, 0)
    return PhotoTrace(
        path, root, online, state, why, record, now, embeddings, tuple(copies), in_hand
    )


def _as_indexed(path: bytes) -> bytes:
    """The path as an index run writes it: links in the folders followed, not in the last name."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(folder), name)


def _root_of(catalogue: Catalogue, path: bytes) -> bytes | None:
    roots = [root.path for root in catalogue.roots()]
    inside = [root for root in roots if path.startswith(os.path.join(root, b""))]
    return max(inside, key=len, default=None)


def _look_at(path: bytes) -> FileNow:
    found: FileStat | None = None
    try:
        found = file_stat(os.lstat(path))
        hashed = hash_file(path)
    except PhotoError as error:
        return FileNow(found, None, str(error))
    except OSError as error:
        return FileNow(None, None, (error.strerror or "cannot be asked").lower())
    return FileNow(hashed.stat, hashed.content_hash)


def _state(
    root: bytes | None, path: bytes, record: PhotoRecord | None, now: FileNow
) -> tuple[State, str]:
    if root is None:
        return "not indexed", "it is in no folder of this library"
    rule = ignoring_rule(root, path[len(os.path.join(root, b"")) :]) if now.stat else None
    if record is not None:
        return _state_of(record, now, rule)
    if now.stat is None:
        return "not indexed", "there is no such file, and none was ever indexed there"
    if rule is not None:
        return "ignored", rule
    if now.content_hash is None:
        return "not indexed", f"it is passed over: {now.reason}"
    return "not indexed", f"it is newer than the last index run, or {_LEFT_OUT}"


def _state_of(record: PhotoRecord, now: FileNow, rule: str | None) -> tuple[State, str]:
    if record.missing_since is not None:
        return _state_of_missing(record, now, rule)
    later = "" if rule is None else f"; the next one leaves it out: {rule}"
    if record.kind is not None:
        return "problem", f"{record.kind}: {record.reason}{later}"
    return "live", f"an index run read it, and searches find it{later}"


def _state_of_missing(record: PhotoRecord, now: FileNow, rule: str | None) -> tuple[State, str]:
    """A missing row whose file is there was left out by a rule, or is back."""
    if rule is not None:
        return "ignored", rule
    if now.stat is None:
        return "missing", "an index run proved that it is gone"
    back = "the next index run takes it back"
    if same_file(record.stat, now.stat):
        return "missing", f"an index run did not see it, or {_LEFT_OUT}; {back}"
    return "missing", f"an index run proved that it is gone; it is there again, so {back}"


def _embeddings(library: Library, rows: Mapping[int, int]) -> tuple[EmbeddingTrace, ...]:
    """The embeddings whose row ids are given by model id."""
    return tuple(
        _embedding(library, model, rows[model.model_id])
        for model in library.catalogue.models()
        if model.model_id in rows
    )


def _embedding(library: Library, model: RegisteredModel, row_id: int) -> EmbeddingTrace:
    snapshot = ModelSnapshot(library.catalogue, library.directory, model.model_id, model.info)
    name = snapshot.path.name
    held, generation, beside = None, None, None
    try:
        header = snapshot.counted_header()
        if header is None:
            beside = "there is no snapshot"
        elif row_id > header.last_embedding_id:
            beside = f"it is newer than {name}, of generation {header.generation}"
        else:
            held, generation = name, header.generation
    except UnusableSnapshot as reason:
        beside = f"{name} cannot be used: {reason}"
    info = model.info
    return EmbeddingTrace(
        info.name, info.fingerprint, model.active, row_id, held, generation, beside
    )
