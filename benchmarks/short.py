"""The ratios that matter, small, in under a minute: printed by CI so that a loss is seen.

    python benchmarks/short.py

Each line is a fast path beside its slow, obvious twin on the same data in the same process, the
better of a few turns each. Nothing fails on a ratio: machines differ. Needs the `demo` extra for
its photos and no other files.
"""

import io
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from machine import load_average, machine
from PIL import Image
from storage_speed import clustered, fill

from clipsearch.encoders import install, load_bulk_encoder, load_towers
from clipsearch.indexing import index
from clipsearch.library import Library
from clipsearch.photos.opening import decode, open_photo
from clipsearch.photos.resize import to_pixels

PHOTOS = 256
STORED = 20_000
DIM = 512


def best_of(turns: int, work: Callable[[], object]) -> float:
    """The shortest of some turns, in seconds."""
    seconds = []
    for _ in range(turns):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def line(what: str, fast: float, slow: float, remark: str = "") -> None:
    print(
        f"{what:58} {slow / fast:6.1f}x  ({fast:.3f} s against {slow:.3f} s) {remark}", flush=True
    )


def sample_photos() -> list[Image.Image]:
    from skimage import data

    return [Image.fromarray(photo) for photo in (data.astronaut(), data.coffee(), data.chelsea())]


def jpeg(photo: Image.Image, size: tuple[int, int], quality: int) -> bytes:
    stream = io.BytesIO()
    photo.resize(size, Image.Resampling.BICUBIC).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def decoding(models: Path) -> None:
    """A 12-megapixel JPEG at a fraction of its size against all of it."""
    towers = load_towers(install("starter", models), models)
    preprocess = towers.info.preprocess
    data = jpeg(sample_photos()[0], (4000, 3000), 90)
    whole = open_photo(data)
    vectors = towers.image.encode_image(
        np.stack([decode(data, preprocess)[1], to_pixels(whole, preprocess)])
    )
    line(
        "12 MP JPEG, scaled against full decoding",
        best_of(3, lambda: decode(data, preprocess)),
        best_of(3, lambda: to_pixels(open_photo(data), preprocess)),
        f"cosine {float(vectors[0] @ vectors[1]):.4f}",
    )


def indexing(models: Path, folder: Path) -> None:
    """A folder indexed in this process against a loop over open_clip, model loading left out."""
    import open_clip
    import torch

    album = folder / "album"
    album.mkdir()
    samples = sample_photos()
    for number in range(PHOTOS):
        photo = samples[number % len(samples)]
        (album / f"{number}.jpg").write_bytes(jpeg(photo, (500, 375), 60 + number // 8))
    info = install("starter", models)
    source = Path(__file__).parent.parent / "data" / "starter"
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{source}")
    model.eval()

    def plainly() -> None:
        paths = sorted(album.iterdir())
        for start in range(0, len(paths), 32):
            batch = [preprocess(Image.open(path)) for path in paths[start : start + 32]]
            with torch.inference_mode():
                model.encode_image(torch.stack(batch), normalize=True)

    with Library.open(folder / "library", create=True) as library:
        encoder = load_bulk_encoder(info, models, PHOTOS)
        root = bytes(album)
        first = best_of(1, lambda: index(library, info, lambda _: encoder, [root]))
        again = best_of(3, lambda: index(library, info, lambda _: encoder, [root]))
    line(f"index {PHOTOS} photos against an open_clip loop", first, best_of(2, plainly))
    line(f"index {PHOTOS} photos, nothing new against all new", again, first)


def searching(folder: Path) -> None:
    """The library's answer against reading every row of a table and sorting, as rclip does."""
    rows = clustered(STORED, DIM)
    fill(folder / "stored", rows)
    query = rows[:1].copy()
    table = sqlite3.connect(folder / "table.sqlite")
    table.execute("CREATE TABLE photos (path TEXT, vector BLOB)")
    table.executemany(
        "INSERT INTO photos VALUES (?, ?)",
        ((f"{i}.jpg", row.tobytes()) for i, row in enumerate(rows)),
    )

    def plainly() -> list[tuple[float, str]]:
        found = list(table.execute("SELECT path, vector FROM photos"))
        stored = np.stack([np.frombuffer(vector, np.float32) for _, vector in found])
        scored = [(score, path) for score, (path, _) in zip(stored @ query[0], found, strict=True)]
        return sorted(scored)[-20:]

    with Library.open(folder / "stored") as library:
        library.nearest(query, 20)
        fast = best_of(5, lambda: library.nearest(query, 20))
    line(f"search {STORED} embeddings against reading and sorting all", fast, best_of(5, plainly))
    table.close()


def main() -> None:
    print(f"{machine()}; {load_average()}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        models = folder / "models"
        decoding(models)
        indexing(models, folder)
        searching(folder)


if __name__ == "__main__":
    main()
