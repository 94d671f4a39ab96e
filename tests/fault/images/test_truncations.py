"""D1: a photo that was cut short is reported, and no part of it is ever indexed."""

from pathlib import Path

import pytest
from PIL import ImageFile

from tests.fault.images.folder_facts import facts_of
from tests.fault.images.spoiled import CUTS, ENDINGS, FORMATS, cuts, whole
from tests.indexing.album import Album, adds_up


@pytest.mark.row("D1")
def test_all_448_truncations_are_reported_and_none_is_indexed(tmp_path: Path) -> None:
    album = Album(tmp_path)
    expected: dict[bytes, str] = {}
    for name in FORMATS:
        for length, data in cuts(name).items():
            path = album.photos / f"{name}-{length}{ENDINGS[name]}"
            path.write_bytes(data)
            expected[bytes(path)] = name
        (album.photos / f"whole{ENDINGS[name]}").write_bytes(whole(name))
    assert len(expected) == CUTS * len(FORMATS) == 448
    before = facts_of(album.photos)

    summary = album.index()

    assert {problem.path for problem in summary.fresh_problems} == expected.keys()
    assert {problem.kind for problem in summary.fresh_problems} == {"damaged"}
    assert all(problem.reason and "\n" not in problem.reason for problem in summary.fresh_problems)
    assert album.stored().keys() == {f"whole{ending}" for ending in ENDINGS.values()}
    assert adds_up(summary)
    assert facts_of(album.photos) == before
    # Known now: not one of them is tried again.
    again = album.index()
    assert (again.fresh_problems, again.problems) == ((), {"damaged": 448})


@pytest.mark.row("D1")
def test_pillow_is_never_told_to_fill_in_what_is_missing() -> None:
    import clipsearch.photos.opening
    import clipsearch.photos.worker  # noqa: F401 - what is asserted is true after both

    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
