"""The demonstration finds real photographs, and says what to do where there are none."""

import importlib.util
import os
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from clipsearch.demonstrating import find_demo_photo, gather_demo_photos, read_demo
from clipsearch.errors import MissingExtraError

INSTALLED = all(importlib.util.find_spec(package) for package in ("skimage", "sklearn"))


def test_the_description_names_its_example_and_credits_everybody() -> None:
    demo = read_demo()
    names = [os.path.basename(photo.file) for photo in demo.photos]
    assert demo.samples.example in names
    assert len(set(names)) == len(names)
    assert all(photo.credit and photo.shows for photo in demo.photos)
    assert demo.own.queries
    assert demo.own.labels


@pytest.mark.skipif(not INSTALLED, reason="the demo extra is not installed")
def test_every_photograph_is_where_it_is_said_to_be(tmp_path: Path) -> None:
    demo = read_demo()
    copies = gather_demo_photos(demo, os.fsencode(tmp_path / "photos"))
    assert [photo for photo, _ in copies] == list(demo.photos)
    for photo, path in copies:
        assert os.path.basename(photo.file) == os.path.basename(os.fsdecode(path))
        with Image.open(os.fsdecode(path)) as image:
            assert min(image.size) >= 300


def test_a_package_that_is_not_there_has_no_photograph() -> None:
    photo = replace(read_demo().photos[0], package="no_such_package_of_photographs")
    assert find_demo_photo(photo) is None


def test_without_photographs_the_remedy_is_named(tmp_path: Path) -> None:
    nothing = replace(read_demo(), photos=())
    with pytest.raises(MissingExtraError, match=r"clipsearch\[demo\]"):
        gather_demo_photos(nothing, os.fsencode(tmp_path))
