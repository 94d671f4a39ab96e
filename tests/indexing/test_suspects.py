"""Who was in hand when runs died: read alone, and after DEATHS of them left alone."""

import os
from pathlib import Path

from clipsearch.indexing.scan import PendingFile
from clipsearch.indexing.suspects import divide
from clipsearch.photos.files import file_stat
from clipsearch.photos.in_hand import DEATHS, InHand
from clipsearch.storage.layout import IN_HAND_NAME
from tests.indexing.album import Album, adds_up

ROOTS = {7: b"/photos"}
FILES = [PendingFile(7, b"x", name, "new", False) for name in (b"a.jpg", b"b.jpg", b"c.jpg")]


def test_without_a_record_nobody_is_suspected() -> None:
    suspects, others = divide(FILES, ROOTS, {})
    assert (suspects.alone, suspects.refused, others) == ([], [], FILES)


def test_those_in_hand_are_read_alone_and_in_the_end_refused() -> None:
    left = {b"/photos/x/a.jpg": DEATHS - 1, b"/photos/x/b.jpg": DEATHS}
    suspects, others = divide(FILES, ROOTS, left)
    assert suspects.alone == FILES[:1]
    assert others == FILES[2:]
    ((file, problem),) = suspects.refused
    assert file == FILES[1]
    assert (problem.path, problem.stat, problem.kind) == (b"/photos/x/b.jpg", None, "refused")
    assert f"the last that {DEATHS} runs did" in problem.reason


def test_a_run_after_the_last_death_refuses_the_photo_and_reads_the_others(tmp_path: Path) -> None:
    album = Album(tmp_path)
    poison = album.add("a.png", (200, 0, 0))
    album.add("b.png", (0, 200, 0))
    album.add("c.png", (0, 0, 200))
    album.library.mkdir()
    deaths = {poison: DEATHS, album.photos / "b.png": 1}
    (album.library / IN_HAND_NAME).write_bytes(left_behind(tmp_path / "record", deaths))
    summary = album.index()
    assert summary.problems == {"refused": 1}
    assert adds_up(summary)
    (problem,) = summary.fresh_problems
    assert problem.path == os.fsencode(poison)
    # Known by its facts: it is tried again when they change, and not before.
    assert problem.stat == file_stat(poison.lstat())
    album.check({"b.png": (0, 200, 0), "c.png": (0, 0, 200)})
    assert album.index().problems == {"refused": 1}
    poison.unlink()
    album.add("a.png", (200, 0, 0))
    assert album.index().complete


def left_behind(record: Path, deaths: dict[Path, int]) -> bytes:
    """The record as runs leave it that died with these photos in hand."""
    dying = []
    for death in range(max(deaths.values())):
        in_hand = InHand(record, len(deaths))
        for slot, (path, times) in enumerate(deaths.items()):
            if times >= max(deaths.values()) - death:
                # Kept, or the end of the block would be the end of holding it.
                dying.append(in_hand.holding(slot, os.fsencode(path)))
                dying[-1].__enter__()
    return record.read_bytes()
