"""A filter that is asked about some contents, beside the list of all that pass it."""

from collections.abc import Iterator
from datetime import date, datetime

import numpy as np
import pytest

from clipsearch.storage import passing
from clipsearch.storage.catalogue import Catalogue
from clipsearch.types import PhotoFilter
from tests.storage.small_library import MODEL, ROOT, add, ids_at, new_catalogue, photo

FILTERS = [
    PhotoFilter(folders=("even",)),
    PhotoFilter(folders=("even", "third"), not_folders=("7",)),
    PhotoFilter(not_folders=("even",)),
    PhotoFilter(folders=("nowhere",)),
    PhotoFilter(after=date(2023, 2, 1)),
    PhotoFilter(before=date(2023, 2, 1), folders=("even",)),
    PhotoFilter(camera="x100"),
]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """Photos in two folders, some dated, some by a camera, some twice, some gone."""
    catalogue = new_catalogue(tmp_path_factory.mktemp("filled"))
    catalogue.activate_model(catalogue.register_model(MODEL))
    root = catalogue.add_root(ROOT, 5, 6)
    photos = []
    for i in range(120):
        folder = f"{'even' if i % 2 == 0 else 'odd'}/{i % 10}"
        taken = datetime(2023, 1 + i % 3, 1) if i % 4 else None
        camera = "FUJIFILM X100V" if i % 5 == 0 else None
        photos.append(photo(root, f"{folder}/{i}.jpg", str(i), taken_at=taken, camera=camera))
    add(catalogue, photos)
    # Copies: the content passes by either place.
    add(catalogue, [photo(root, f"third/{i}.jpg", str(i), facts=None) for i in range(0, 120, 7)])
    catalogue.mark_missing(list(ids_at(catalogue, root, b"even/4").values()))
    yield catalogue
    catalogue.close()


@pytest.mark.parametrize("wanted", FILTERS, ids=str)
def test_being_asked_equals_listing(filled: Catalogue, wanted: PhotoFilter) -> None:
    # Contents that are there, dead ones among them, and some that are not; in no order.
    ids = np.random.default_rng(5).permutation(np.arange(0, 140))
    listed = filled.live_contents(wanted)
    asked = filled.passing(wanted)
    # In parts, so that folders are met again.
    told = np.concatenate([asked.which(part) for part in np.array_split(ids, 9)])
    assert told.tolist() == np.isin(ids, listed).tolist()
    assert asked.contents().tolist() == listed.tolist()
    assert asked.listed is not None
    assert asked.which(ids).tolist() == np.isin(ids, listed).tolist()
    assert asked.which(ids[:0]).tolist() == []


@pytest.mark.parametrize("wanted", [FILTERS[0], FILTERS[4]], ids=["folder", "date"])
def test_what_is_asked_often_enough_is_listed_once(
    filled: Catalogue, wanted: PhotoFilter, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists: list[PhotoFilter | None] = []
    real = passing.live_contents

    def counted(connection: object, wanted: PhotoFilter | None) -> object:
        lists.append(wanted)
        return real(connection, wanted)  # type: ignore[arg-type]

    monkeypatch.setattr(passing, "live_contents", counted)
    monkeypatch.setattr(passing, "_LISTED_MEANWHILE", 2)
    ids = np.arange(1, 121)
    expected = np.isin(ids, filled.live_contents(wanted))
    lists.clear()
    asked = filled.passing(wanted)
    # Photos of a folder are listed by their folder, about half of all; others by reading all.
    enough = 60 if wanted.after else 30
    for start in range(0, 2 * enough, 6):
        part = slice(start % 120, start % 120 + 6)
        assert asked.which(ids[part]).tolist() == expected[part].tolist()
        assert (asked.listed is not None) is (start >= enough)
    assert lists == [wanted]
