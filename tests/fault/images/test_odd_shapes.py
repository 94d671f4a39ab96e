"""D8: photos of one pixel, of one colour, of nothing at all, and of absurd shapes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.indexing.album import Album, vector_of
from tests.photos.samples import encoded

SHAPES = {
    "one-pixel.png": Image.new("RGB", (1, 1), (255, 0, 0)),
    "tall.png": Image.new("RGB", (1, 20_000), (0, 255, 0)),
    "wide.jpg": Image.new("RGB", (20_000, 1), (0, 0, 255)),
    "one-colour.webp": Image.new("RGB", (300, 200), (0, 0, 0)),
    "transparent.png": Image.new("RGBA", (30, 20), (0, 0, 0, 0)),
}
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP"}
COLOURS = {
    "one-pixel.png": (255, 0, 0),
    "tall.png": (0, 255, 0),
    "wide.jpg": (0, 0, 254),
    "one-colour.webp": (0, 0, 0),
    # What is transparent is white, as on a page.
    "transparent.png": (255, 255, 255),
}


@pytest.mark.row("D8")
def test_each_is_indexed_with_its_own_unit_vector(tmp_path: Path) -> None:
    album = Album(tmp_path)
    for name, image in SHAPES.items():
        data = encoded(image, FORMATS[Path(name).suffix])
        (album.photos / name).write_bytes(data)
    assert album.index().complete
    stored = album.stored()
    for name, colour in COLOURS.items():
        assert np.isfinite(stored[name]).all()
        assert np.linalg.norm(stored[name]) == pytest.approx(1, abs=1e-3)
        np.testing.assert_allclose(stored[name], vector_of(colour), atol=0.02)
