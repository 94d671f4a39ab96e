"""Lost folders are found again by what indexes of a damaged catalogue still say."""

import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from clipsearch.storage.connection import Connection
from clipsearch.storage.lost_places import LostPlaces
from clipsearch.storage.pages import Pages, Value
from clipsearch.storage.records import photo_checksum
from tests.storage.small_library import hash_of, new_catalogue


class _OnlyIndexes(Pages):
    def index_entries(self) -> Iterator[tuple[Value, ...]]:
        # Root 7 was forgotten and added again as root 1; the folder's entry is older than that.
        yield from ((b"/photos", 7), (7, b"trip", 3))


def test_a_root_that_had_another_id_before_keeps_the_one_it_has(tmp_path: Path) -> None:
    catalogue = new_catalogue(tmp_path)
    catalogue.add_root(b"/photos", 5, 6)
    catalogue.close()
    connection = Connection(tmp_path / "catalogue.sqlite")
    with FileIO(os.devnull) as nothing:
        places = LostPlaces(connection, _OnlyIndexes(nothing, b"", {}, 512, 512, 0))
    content_hash = hash_of("cat")
    checksum = photo_checksum(b"/photos/trip/cat.jpg", content_hash)
    assert places.find(3, b"cat.jpg", content_hash, checksum) == (b"/photos", b"trip")
    assert places.find(3, b"dog.jpg", content_hash, checksum) is None
    assert connection.rows("SELECT id, root_id, path FROM folders") == [(3, 1, b"trip")]
    connection.close()
