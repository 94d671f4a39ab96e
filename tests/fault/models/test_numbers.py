"""G5: an embedding that is no unit vector is never stored, and no answer is ranked by one."""

from pathlib import Path

import numpy as np
import pytest

from clipsearch.encoders import Towers
from clipsearch.encoders.fake import FAKE, FakeImageEncoder, FakeTextEncoder
from clipsearch.errors import ClipsearchError
from clipsearch.library import Library
from clipsearch.query import parse_query
from clipsearch.searching import search
from clipsearch.types import Floats, Pixels
from tests.indexing.album import Album, Colour, CountingEncoder, adds_up

PHOTOS: dict[str, Colour] = {f"{i:02}.png": (i * 20, 255 - i * 20, 40) for i in range(12)}
BAD = {
    "nan": np.full(4, np.nan),
    "one nan": np.array([1.0, np.nan, 0, 0]),
    "inf": np.array([np.inf, 0, 0, 0]),
    "minus inf": np.array([-np.inf, 0, 0, 0]),
    "zero": np.zeros(4),
    "short": np.array([0.5, 0, 0, 0]),
    "long": np.array([30.0, 0, 0, 0]),
    "huge": np.full(4, 1e38),
    "tiny": np.full(4, 1e-40),
}
pytestmark = pytest.mark.row("G5")


class SpoiltEncoder(CountingEncoder):
    """The fake tower, which gives something else for the photo at one position of each run."""

    def __init__(self, position: int, row: Floats) -> None:
        super().__init__()
        self._position, self._row = position, row
        self.spoilt: list[float] = []

    def encode_image(self, pixels: Pixels) -> Floats:
        rows = super().encode_image(pixels)
        at = self._position - (self.encoded - len(pixels))
        if 0 <= at < len(rows):
            rows[at] = self._row
            self.spoilt = pixels[at].mean(axis=(0, 1)).round().tolist()
        return rows


@pytest.fixture
def album(tmp_path: Path) -> Album:
    album = Album(tmp_path)
    for name, colour in PHOTOS.items():
        album.add(name, colour)
    return album


@pytest.mark.parametrize(
    ("what", "position"), [*((what, 3) for what in BAD), *(("nan", k) for k in range(12))]
)
def test_only_that_photo_fails_and_it_is_named(album: Album, what: str, position: int) -> None:
    encoder = SpoiltEncoder(position, BAD[what].astype(np.float32))
    summary = album.index(load_encoder=lambda _: encoder)
    (problem,) = summary.fresh_problems
    name = Path(problem.path.decode()).name
    assert list(PHOTOS[name]) == encoder.spoilt
    assert (problem.kind, problem.reason) == (
        "refused",
        "the model gave no usable embedding for it",
    )
    assert adds_up(summary)
    album.check({each: colour for each, colour in PHOTOS.items() if each != name})


@pytest.mark.parametrize("shape", [(3,), (5,), (1,)])
def test_rows_of_another_length_store_nothing(album: Album, shape: tuple[int, ...]) -> None:
    class Wrong(CountingEncoder):
        def encode_image(self, pixels: Pixels) -> Floats:
            rows = np.zeros((len(pixels), *shape), np.float32)
            rows[:, 0] = 1
            return rows

    with pytest.raises((ClipsearchError, ValueError)):
        album.index(load_encoder=lambda _: Wrong())
    assert album.stored() == {}


@pytest.mark.parametrize("number", [-1, 1])
def test_fewer_or_more_rows_than_photos_store_nothing(album: Album, number: int) -> None:
    class Wrong(CountingEncoder):
        def encode_image(self, pixels: Pixels) -> Floats:
            rows = FakeImageEncoder().encode_image(pixels)
            return rows[:-1] if number < 0 else np.concatenate([rows, rows[:1]])

    with pytest.raises((ClipsearchError, ValueError)):
        album.index(load_encoder=lambda _: Wrong())
    assert album.stored() == {}


@pytest.mark.parametrize("what", BAD)
def test_a_query_without_direction_is_an_error(album: Album, what: str) -> None:
    class Wrong(FakeTextEncoder):
        def encode_text(self, texts: object) -> Floats:
            return BAD[what].astype(np.float32)[None]

    album.index()
    towers = Towers(FAKE, Wrong, FakeImageEncoder)
    with Library.open(album.library) as library:
        if what in ("short", "long"):
            found = search(library, towers, parse_query("red")).results
            assert max(result.score or 0 for result in found) <= 1
            return
        with pytest.raises(ClipsearchError):
            search(library, towers, parse_query("red"))
