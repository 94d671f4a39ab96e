from collections.abc import Iterator
from datetime import date, datetime

import pytest

from clipsearch.errors import DamageError
from clipsearch.storage.catalogue import Catalogue, Root
from clipsearch.types import PhotoFilter
from tests.storage.small_library import MODEL, add, new_catalogue, photo


def names(catalogue: Catalogue, wanted: PhotoFilter) -> set[str]:
    contents = catalogue.live_contents(wanted)
    rows = catalogue.photos_of(contents, wanted)
    assert (list(rows) and sorted(rows) == contents.tolist()) or (not rows and not contents.size)
    return {row.path.decode().removeprefix("/photos/") for found in rows.values() for row in found}


PLACES = [
    (b"/photos/2023", "2023", True),
    (b"/photos/2023/may", "2023", True),
    (b"/photos/2023b", "2023", False),
    (b"/photos/b2023", "2023", False),
    (b"/photos/2023/may", "2023/may", True),
    (b"/photos/2023/10/may", "2023/may", False),
    (b"/photos/2023/May", "2023/mAY/", True),
    (b"/photos/x/2023", "/2023", False),
    (b"/photos/x/2023", "/photos", True),
    (b"/photos/x/2023", "/photos/x//2023/./", True),
    (b"/photos-old", "/photos", False),
    (b"/photos/100%", "100%", True),
    (b"/photos/1000", "100%", False),
    (b"/photos/a_b", "a_b", True),
    (b"/photos/axb", "a_b", False),
    (b"/photos/\xff", "\udcff", True),
    ("/photos/Été".encode(), "e\u0301te\u0301", True),
    (b"/photos", ".", True),
    (b"/photos", "/", True),
]


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """A photo in each folder of PLACES."""
    opened = new_catalogue(tmp_path_factory.mktemp("everywhere"))
    opened.activate_model(opened.register_model(MODEL))
    root = opened.add_root(b"/", 5, 6)
    folders = sorted({folder for folder, _, _ in PLACES})
    add(opened, [photo(root, folder[1:] + b"/a", str(i)) for i, folder in enumerate(folders)])
    yield opened
    opened.close()


@pytest.mark.parametrize(("folder", "wanted", "inside"), PLACES)
def test_folders_are_compared_by_whole_names(
    everywhere: Catalogue, folder: bytes, wanted: str, inside: bool
) -> None:
    found = everywhere.photos_of(everywhere.live_contents(), PhotoFilter(folders=(wanted,)))
    assert (folder + b"/a" in {row.path for rows in found.values() for row in rows}) is inside


@pytest.fixture
def filled(catalogue: Catalogue, root: Root) -> Catalogue:
    add(
        catalogue,
        [
            photo(root, "2022/a", "a", taken_at=datetime(2022, 12, 31, 23, 59, 59)),
            photo(root, "2023/b", "b", taken_at=datetime(2023, 1, 1), camera="FUJIFILM X100V"),
            photo(root, "2023/may/c", "c", taken_at=datetime(2023, 5, 1, 12), camera="100% _cam"),
            photo(root, "Screenshots/2023/d", "d"),
            photo(root, "e", "e"),
        ],
    )
    return catalogue


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (PhotoFilter(), {"2022/a", "2023/b", "2023/may/c", "Screenshots/2023/d", "e"}),
        (PhotoFilter(folders=("2023",)), {"2023/b", "2023/may/c", "Screenshots/2023/d"}),
        (PhotoFilter(folders=("/photos/2023",)), {"2023/b", "2023/may/c"}),
        (PhotoFilter(folders=("may", "2022")), {"2022/a", "2023/may/c"}),
        (PhotoFilter(("2023",), not_folders=("screenshots",)), {"2023/b", "2023/may/c"}),
        (PhotoFilter(not_folders=("2022", "2023")), {"e"}),
        (PhotoFilter(folders=("nowhere",)), set()),
        (PhotoFilter(after=date(2023, 1, 1)), {"2023/b", "2023/may/c"}),
        (PhotoFilter(before=date(2023, 1, 1)), {"2022/a"}),
        (PhotoFilter(after=date(2023, 5, 1), before=date(2023, 5, 2)), {"2023/may/c"}),
        (PhotoFilter(camera="x100v"), {"2023/b"}),
        (PhotoFilter(camera="% _"), {"2023/may/c"}),
        (PhotoFilter(camera="%"), {"2023/may/c"}),
    ],
)
def test_a_filter_keeps_exactly_the_photos_it_names(
    filled: Catalogue, wanted: PhotoFilter, expected: set[str]
) -> None:
    assert names(filled, wanted) == expected


def test_a_copy_outside_the_wanted_folder_is_not_listed(filled: Catalogue, root: Root) -> None:
    add(filled, [photo(root, "copies/b", "b", facts=None)])
    assert names(filled, PhotoFilter(folders=("copies",))) == {"copies/b"}


FILTERS = [
    PhotoFilter(),
    PhotoFilter(folders=("2023",)),
    PhotoFilter(not_folders=("x",), folders=("/photos",)),
    PhotoFilter(folders=("nowhere",)),
]


@pytest.mark.parametrize("wanted", FILTERS, ids=str)
def test_paths_alone_equal_those_of_the_whole_rows(
    everywhere: Catalogue, wanted: PhotoFilter
) -> None:
    ids = everywhere.live_contents()
    rows = everywhere.photos_of(ids, wanted)
    expected = {content_id: [row.path for row in found] for content_id, found in rows.items()}
    assert everywhere.paths_of_all(ids, wanted) == expected
    assert everywhere.paths_of_all(ids[:2]) == {
        content_id: [row.path for row in found]
        for content_id, found in everywhere.photos_of(ids[:2]).items()
    }


def test_copies_come_by_path_and_a_damaged_row_is_named(catalogue: Catalogue, root: Root) -> None:
    add(catalogue, [photo(root, name, "same") for name in ("b/1.jpg", "a/2.jpg", "c.jpg")])
    ids = catalogue.live_contents()
    (paths,) = catalogue.paths_of_all(ids).values()
    assert paths == [b"/photos/a/2.jpg", b"/photos/b/1.jpg", b"/photos/c.jpg"]
    catalogue._db.change(
        "UPDATE photos SET name = CAST('d.jpg' AS BLOB) WHERE name = ?", (b"c.jpg",)
    )
    with pytest.raises(DamageError, match=r"d\.jpg"):
        catalogue.paths_of_all(ids)
