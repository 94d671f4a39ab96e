"""How fast the catalogue and its snapshot are: writing, opening, searching, filtering, re-scanning.

    python benchmarks/storage_speed.py [--photos 100000] [--dim 512] [--keep DIRECTORY]

Vectors are synthetic: noise around 2,000 centres. Each search runs in a process of its own, as the
command line does; imports are timed apart. "cold" means that the library's files were dropped from
the page cache first (posix_fadvise, so Linux only).
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from clipsearch.library import Library
from clipsearch.storage.catalogue import IndexedPhoto
from clipsearch.types import FileStat, Floats, ModelInfo, PhotoFacts, PhotoRead, Preprocess

BATCH = 256
FOLDERS = 1000

SEARCH = """
import json, sys, time
times, last = {}, (time.perf_counter(), time.process_time())
def lap(name):
    global last
    now = time.perf_counter(), time.process_time()
    times[name] = [now[0] - last[0], now[1] - last[1]]
    last = time.perf_counter(), time.process_time()
import numpy as np
lap("import numpy")
from pathlib import Path
from clipsearch.library import Library
from clipsearch.types import PhotoFilter
lap("import clipsearch.library")
if int(sys.argv[3]) > 8192:
    import faiss
    lap("import faiss")
rng = np.random.default_rng(7)
query = rng.standard_normal((1, int(sys.argv[2])), dtype=np.float32)
query /= np.linalg.norm(query)
lap("-")
with Library.open(Path(sys.argv[1])) as library:
    ids, _ = library.nearest(query, 20)
    library.catalogue.photos_of(ids[0])
    lap("open + answer")
    for name in ("second search", "third search"):
        library.nearest(query, 20)
        lap(name)
    for share, folders in ((1, ("part-00",)), (10, ("decade-0",)), (50, ("half-0",))):
        allowed = library.catalogue.live_contents(PhotoFilter(folders))
        lap(f"filter {share} %: choose {len(allowed)}")
        library.nearest(query, 20, allowed)
        lap(f"filter {share} %: search")
del times["-"]
print(json.dumps(times))
"""

Times = dict[str, tuple[float, float]]


class Clock:
    """Laps of wall-clock and processor seconds: on a busy machine only the second means much."""

    def __init__(self) -> None:
        self.times: Times = {}
        self._last = time.perf_counter(), time.process_time()

    def lap(self, name: str) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        self.times[name] = wall - self._last[0], cpu - self._last[1]
        self._last = time.perf_counter(), time.process_time()


def folder_of(photo: int) -> bytes:
    """1,000 folders, arranged so that names select 1 %, 10 % and 50 % of the photos."""
    number = photo % FOLDERS
    return b"half-%d/decade-%d/part-%02d/%04d" % (number % 2, number % 10, number % 100, number)


def clustered(number: int, dim: int) -> Floats:
    """(number, dim) unit rows around 2,000 centres."""
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((2000, dim), dtype=np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    rows = centres[rng.integers(2000, size=number)]
    rows += rng.standard_normal((number, dim), dtype=np.float32) * np.float32(0.7 / np.sqrt(dim))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def stat_of(photo: int) -> FileStat:
    return FileStat(1_000_000 + photo, 10**18 + photo, 10**18 + photo, 10**7 + photo, 2049)


def fill(directory: Path, rows: Floats) -> Times:
    info = ModelInfo(
        "synthetic", "ab" * 32, rows.shape[1],
        Preprocess((224, 224), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), 77, 100.0,
    )  # fmt: skip
    facts = PhotoFacts("JPEG", 4000, 3000)
    with Library.open(directory, create=True) as library, library.writer():
        catalogue = library.catalogue
        model_id = catalogue.register_model(info)
        root = catalogue.add_root(b"/photos", 1, 2)
        clock = Clock()
        for start in range(0, len(rows), BATCH):
            photos, vectors = [], {}
            for i in range(start, min(start + BATCH, len(rows))):
                digest, name = hashlib.sha256(str(i).encode()).digest(), b"IMG_%06d.JPG" % i
                read = PhotoRead(b"", stat_of(i), digest, facts, None)
                photos.append(IndexedPhoto(root.root_id, folder_of(i), name, read))
                vectors[digest] = rows[i]
            catalogue.write_batch(model_id, photos, vectors)
        clock.lap("write")
        catalogue.activate_model(model_id)
        library.rebuild_snapshot()
        clock.lap("build snapshot")
        library.rebuild_snapshot()
        clock.lap("see that the snapshot is current")
        return clock.times


def rescan(directory: Path, photos: int) -> Times:
    """Compare every file of every folder with the catalogue, without the disk walk."""
    found: dict[bytes, dict[bytes, FileStat]] = {folder_of(i): {} for i in range(FOLDERS)}
    for i in range(photos):
        found[folder_of(i)][b"IMG_%06d.JPG" % i] = stat_of(i)
    with Library.open(directory) as library:
        clock = Clock()
        unchanged = 0
        for folder, files in found.items():
            known = library.catalogue.photos_in_folder(1, folder, 1)
            for name, stat in files.items():
                row = known[name]
                unchanged += row.embedded and not row.missing and row.stat == stat
        assert unchanged == photos
        clock.lap(f"{photos} unchanged files")
        return clock.times


def forget_cached_pages(directory: Path) -> None:
    for path in directory.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def search(directory: Path, dim: int, photos: int) -> Times:
    command = [sys.executable, "-c", SEARCH, str(directory), str(dim), str(photos)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    times: Times = json.loads(done.stdout)
    return times


def show(title: str, times: Times) -> None:
    print(f"{title:42} {'wall':>11} {'processor':>13}")
    for name, (wall, cpu) in times.items():
        print(f"  {name:40} {wall * 1000:8.1f} ms {cpu * 1000:10.1f} ms")


def median(runs: list[Times]) -> Times:
    return {
        name: (
            float(np.median([run[name][0] for run in runs])),
            float(np.median([run[name][1] for run in runs])),
        )
        for name in runs[0]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = given.keep or Path(temporary) / "library"
        if not directory.exists():
            show("filling", fill(directory, clustered(given.photos, given.dim)))
        for path in sorted(directory.iterdir()):
            print(f"  {path.name:40} {path.stat().st_size / 1e6:10.1f} MB")
        show("comparing", rescan(directory, given.photos))
        forget_cached_pages(directory)
        show("cold", search(directory, given.dim, given.photos))
        runs = [search(directory, given.dim, given.photos) for _ in range(5)]
        show("warm, median of 5", median(runs))


if __name__ == "__main__":
    main()
