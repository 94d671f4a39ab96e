"""The locks by which processes know that others use a catalogue."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clipsearch.errors import DamageError
from clipsearch.storage.catalogue import Catalogue
from clipsearch.storage.layout import CATALOGUE_NAME
from tests.storage.small_library import MODEL, ROOT, add, hash_of, new_catalogue, photo

LOCKS = Path("/proc/locks")
ALBUM_SIZE = 40

INDEX = """
import sys
from pathlib import Path
from clipsearch.library import Library
from tests.storage.small_library import add, hash_of, photo

with Library.open(Path(sys.argv[1])) as library:
    catalogue = library.catalogue
    root = catalogue.roots()[0]
    for batch in range(2):
        add(catalogue, [photo(root, f"{batch}/{i}.jpg", f"{batch} {i}") for i in range(20)])
        catalogue.has_embedding(1, hash_of("0 0"))
        print("committed", flush=True)
        sys.stdin.readline()
"""


def locks_on(path: Path) -> int:
    """How many POSIX locks this process holds on a file."""
    # The device is left out: some file systems show another one there.
    inode = str(os.stat(path).st_ino)
    lines = [line.split() for line in LOCKS.read_text().splitlines()]
    return sum(
        line[1] == "POSIX" and line[4] == str(os.getpid()) and line[5].split(":")[2] == inode
        for line in lines
        if len(line) == 8  # a longer line is of someone who waits
    )


@pytest.mark.skipif(not LOCKS.exists(), reason="only Linux lists the locks of a process")
def test_no_second_connection_takes_the_locks_of_the_first(catalogue: Catalogue) -> None:
    root = catalogue.add_root(ROOT, 5, 6)
    add(catalogue, [photo(root, "a.jpg", "dog")])
    held = locks_on(catalogue.path)
    assert held > 0
    assert catalogue.has_embedding(1, hash_of("dog"))
    assert locks_on(catalogue.path) >= held
    Catalogue(catalogue.path).close()
    assert locks_on(catalogue.path) >= held
    link = catalogue.path.with_name("link.sqlite")
    link.symlink_to(catalogue.path)
    Catalogue(link).close()
    assert locks_on(catalogue.path) >= held


def test_pages_are_read_to_the_end(catalogue: Catalogue) -> None:
    query = "SELECT value FROM json_each('[1, 2, 5, 7]') WHERE value > ?"
    pages = catalogue._db.pages(query, (), 1, 2)
    assert list(pages) == [[(2,), (5,)], [(7,)]]
    assert list(catalogue._db.pages(query, (), 7, 2)) == []


def test_rows_that_do_not_ascend_are_damage_and_not_read_for_ever(catalogue: Catalogue) -> None:
    pages = catalogue._db.pages("SELECT value FROM json_each('[1, 2, 5]') WHERE ? < 9", (), 0, 3)
    assert next(pages) == [(1,), (2,), (5,)]
    with pytest.raises(DamageError, match="out of order"):
        next(pages)


def test_a_failure_that_is_not_the_catalogues_keeps_its_own_words(catalogue: Catalogue) -> None:
    with pytest.raises(FileNotFoundError), catalogue.reading():
        raise FileNotFoundError("an example photo")
    before = catalogue.library_id()
    with pytest.raises(FileNotFoundError), catalogue._db.transaction():
        change_and_fail(catalogue)
    assert catalogue.library_id() == before, "what was changed before the failure was not undone"
    catalogue.add_root(ROOT, 5, 6)  # and the next change can begin


def change_and_fail(catalogue: Catalogue) -> None:
    catalogue._db.change("UPDATE meta SET library_id = ?", ("lost",))
    raise FileNotFoundError("a photo")


@pytest.mark.row("A7")
def test_a_search_meanwhile_and_a_kill_lose_nothing_that_was_committed(tmp_path: Path) -> None:
    catalogue = new_catalogue(tmp_path)
    catalogue.activate_model(catalogue.register_model(MODEL))
    catalogue.add_root(ROOT, 1, 2)
    catalogue.close()
    path = tmp_path / CATALOGUE_NAME
    with subprocess.Popen(
        [sys.executable, "-c", INDEX, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as indexing:
        assert indexing.stdin
        assert indexing.stdout
        assert indexing.stdout.readline() == "committed\n"
        # This process is the search: the last one to close deletes the log.
        searching = Catalogue(path)
        assert len(searching.live_contents()) == ALBUM_SIZE / 2
        searching.close()
        indexing.stdin.write("\n")
        indexing.stdin.flush()
        assert indexing.stdout.readline() == "committed\n"
        indexing.kill()
    kept = Catalogue(path)
    assert len(kept.live_contents()) == ALBUM_SIZE
    kept.close()
