"""The demonstration: which real photographs it shows, where they are found, what is asked of them.

The photographs ship inside two well-known packages. Those are only looked up, never imported.
"""

import importlib.util
import os
import tomllib
from dataclasses import dataclass

from clipsearch.errors import MissingExtraError
from clipsearch.photos.copying import copy_photo
from clipsearch.storage.layout import data_dir


@dataclass(frozen=True, slots=True)
class DemoPhoto:
    """A photograph inside an installed package; `file` is relative to the package's folder.

    `shows` says what is on it and `credit` whose it is, under which terms.
    """

    package: str
    file: str
    shows: str
    credit: str


@dataclass(frozen=True, slots=True)
class DemoQuestions:
    """What to look for: texts, the name of an example photo ("" for any), and labels."""

    queries: tuple[str, ...]
    labels: tuple[str, ...]
    example: str = ""


@dataclass(frozen=True, slots=True)
class Demo:
    """The whole demonstration: for the sample photos, and for a folder of the user's own."""

    photos: tuple[DemoPhoto, ...]
    samples: DemoQuestions
    own: DemoQuestions


def read_demo() -> Demo:
    """The demonstration as `data/demo/demo.toml` describes it."""
    with open(data_dir() / "demo" / "demo.toml", "rb") as file:
        written = tomllib.load(file)
    return Demo(
        photos=tuple(DemoPhoto(**photo) for photo in written["photos"]),
        samples=_questions(written["samples"]),
        own=_questions(written["own"]),
    )


def find_demo_photo(photo: DemoPhoto) -> bytes | None:
    """The path of a photograph, or None when its package does not have it."""
    spec = importlib.util.find_spec(photo.package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = os.path.join(folder, *photo.file.split("/"))
        if os.path.isfile(path):
            return os.fsencode(path)
    return None


def gather_demo_photos(demo: Demo, folder: bytes) -> list[tuple[DemoPhoto, bytes]]:
    """Copy the photographs that are installed here into `folder`; each with its copy's path.

    Raises MissingExtraError when none is installed.
    """
    found = [(photo, path) for photo in demo.photos if (path := find_demo_photo(photo)) is not None]
    if not found:
        raise MissingExtraError(
            "the demo's photographs are not installed",
            'Run: pip install "clipsearch[demo]"; or give a folder: clipsearch demo ~/Pictures',
        )
    return [(photo, copy_photo(path, folder).target) for photo, path in found]


def _questions(written: dict[str, object]) -> DemoQuestions:
    queries, labels = written["queries"], written["labels"]
    assert isinstance(queries, list)
    assert isinstance(labels, list)
    return DemoQuestions(tuple(queries), tuple(labels), str(written.get("example", "")))
