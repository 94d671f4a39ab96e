"""`clipsearch why`: all that is known of one photo, and where each fact comes from."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from clipsearch.cli.arguments import examples, refuse_empty
from clipsearch.cli.escape import path_fields
from clipsearch.cli.moments import shown_moment
from clipsearch.cli.opening import open_library
from clipsearch.cli.options import JsonOption, LibraryOption
from clipsearch.cli.output import Column, say_json, say_table

if TYPE_CHECKING:
    from clipsearch.storage.records import PhotoRecord
    from clipsearch.tracing import EmbeddingTrace, PhotoTrace
    from clipsearch.types import FileStat, PhotoFacts

EXAMPLES = examples(
    "clipsearch why ~/Pictures/rex.jpg               why is it found, or not?",
    "clipsearch why ./rex.jpg --json                 everything, for programs",
)

NOTHING_KNOWN = 1
NOW = "the file now"
PHOTO_ITSELF = "the photo, when it was read"
IN_HAND = "an index run's record"

# What is told of a fact: its name, where it comes from, the fact.
_Fact = tuple[str, str, str]


def why(
    photo: Annotated[
        str, typer.Argument(metavar="PHOTO", help="A file, indexed or not, there or not.")
    ],
    library: LibraryOption = None,
    json: JsonOption = False,
) -> int:
    """All that is known of a photo, as stored and as it is now, and where each fact comes from.

    Exit code 1 when the library knows nothing of it.
    """
    from clipsearch.tracing import trace

    refuse_empty("the photo's name", photo)
    with open_library(library) as opened:
        found = trace(opened, os.fsencode(photo))
    if json:
        say_json(_record(found))
    else:
        say_table([Column("fact"), Column("from"), Column("value", whole=True)], _facts(found))
    return 0 if found.record is not None else NOTHING_KNOWN


def _facts(found: "PhotoTrace") -> Iterator[_Fact]:
    record = found.record
    row = f"catalogue, row {record.photo_id}" if record is not None else "catalogue"
    yield "photo", "you", os.fsdecode(found.path)
    yield "state", row if record is not None else NOW, f"{found.state}: {found.why}"
    if found.root is not None:
        place = "there" if found.root_online else "not there now"
        yield "folder", "catalogue", f"{os.fsdecode(found.root)} ({place})"
    if record is not None:
        yield from _stored_facts(record, row)
    yield from _facts_now(found)
    if found.in_hand:
        yield "in hand", IN_HAND, _in_hand(found.in_hand)
    for embedding in found.embeddings:
        yield from _embedding_facts(embedding)
    for path, missing in found.copies:
        yield "copy", "catalogue", os.fsdecode(path) + (" (missing)" if missing else "")


def _stored_facts(record: "PhotoRecord", row: str) -> Iterator[_Fact]:
    if record.missing_since is not None:
        yield "missing since", row, shown_moment(record.missing_since)
    if _is_known(record.stat):
        yield "stat", row, _stat(record.stat)
    if record.content_hash is not None:
        yield "content", row, record.content_hash.hex()
    if record.facts is not None:
        yield "facts", PHOTO_ITSELF, _photo_facts(record.facts)


def _facts_now(found: "PhotoTrace") -> Iterator[_Fact]:
    now = found.now
    if now.stat is not None:
        same = "the same as stored" if found.same_stat else _stat(now.stat)
        yield "stat now", NOW, same
    if now.content_hash is not None:
        same = "the same as stored" if found.unchanged else now.content_hash.hex()
        yield "content now", NOW, same
    if now.reason is not None:
        yield "file now", NOW, now.reason


def _in_hand(runs: int) -> str:
    again = "" if runs == 1 else f"; {runs} runs in a row"
    return f"it is being read now, or was when a run died{again}"


def _embedding_facts(embedding: "EmbeddingTrace") -> Iterator[_Fact]:
    row = f"catalogue, embedding {embedding.row_id}"
    role = "answers" if embedding.active else "beside it"
    yield "model", row, f"{embedding.model} ({role}), fingerprint {embedding.fingerprint}"
    if embedding.snapshot is not None:
        held = f"generation {embedding.generation}"
        yield "snapshot", embedding.snapshot, held
    else:
        yield "snapshot", "catalogue", f"beside the snapshot: {embedding.beside}"


def _photo_facts(facts: "PhotoFacts") -> str:
    parts = [f"{facts.format}, {facts.width} x {facts.height}"]
    if facts.taken_at is not None:
        parts.append(f"taken {facts.taken_at.isoformat(sep=' ')}")
    if facts.camera is not None:
        parts.append(f"camera {facts.camera}")
    if facts.latitude is not None and facts.longitude is not None:
        parts.append(f"at {facts.latitude:.5f}, {facts.longitude:.5f}")
    return ", ".join(parts)


def _stat(stat: "FileStat") -> str:
    return (
        f"{stat.size:,} bytes, modified {shown_moment(stat.mtime_ns / 1e9)}, "
        f"changed {shown_moment(stat.ctime_ns / 1e9)}, inode {stat.inode}"
    )


def _is_known(stat: "FileStat") -> bool:
    # Of a file that could not even be asked the catalogue holds no size.
    return stat.size >= 0


def _record(found: "PhotoTrace") -> dict[str, object]:
    record: dict[str, object] = {
        **path_fields(found.path),
        "state": found.state,
        "why": found.why,
        "root": None if found.root is None else path_fields(found.root)["path"],
        "root_online": found.root_online,
        "stored": None if found.record is None else _stored(found.record),
        "now": _now(found),
        "unchanged": found.unchanged,
        "in_hand": found.in_hand,
        "embeddings": [_embedding(embedding) for embedding in found.embeddings],
        "copies": [{**path_fields(path), "missing": missing} for path, missing in found.copies],
    }
    return record


def _stored(record: "PhotoRecord") -> dict[str, object]:
    facts = record.facts
    return {
        "from": f"catalogue, row {record.photo_id}",
        "content_hash": None if record.content_hash is None else record.content_hash.hex(),
        "stat": _stat_fields(record.stat) if _is_known(record.stat) else None,
        "missing_since": record.missing_since,
        "problem": None if record.kind is None else {"kind": record.kind, "reason": record.reason},
        "facts": None
        if facts is None
        else {
            "from": PHOTO_ITSELF,
            "format": facts.format,
            "width": facts.width,
            "height": facts.height,
            "taken_at": None if facts.taken_at is None else facts.taken_at.isoformat(),
            "camera": facts.camera,
            "latitude": facts.latitude,
            "longitude": facts.longitude,
        },
    }


def _now(found: "PhotoTrace") -> dict[str, object]:
    now = found.now
    return {
        "from": NOW,
        "content_hash": None if now.content_hash is None else now.content_hash.hex(),
        "stat": None if now.stat is None else _stat_fields(now.stat),
        "reason": now.reason,
    }


def _stat_fields(stat: "FileStat") -> dict[str, object]:
    return {
        "size": stat.size,
        "mtime_ns": stat.mtime_ns,
        "ctime_ns": stat.ctime_ns,
        "inode": stat.inode,
        "device": stat.device,
    }


def _embedding(embedding: "EmbeddingTrace") -> dict[str, object]:
    return {
        "from": f"catalogue, embedding {embedding.row_id}",
        "model": embedding.model,
        "fingerprint": embedding.fingerprint,
        "active": embedding.active,
        "snapshot": embedding.snapshot,
        "generation": embedding.generation,
        "beside_snapshot": embedding.beside,
    }
