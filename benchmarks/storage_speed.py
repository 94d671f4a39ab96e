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
import sys, time, json
started = time.perf_counter()
import numpy as np
after_numpy = time.perf_counter()
from pathlib import Path
from clipsearch.library import Library
from clipsearch.types import PhotoFilter
after_library = time.perf_counter()
photos = int(sys.argv[3])
if photos > 8192:
    import faiss
after_faiss = time.perf_counter()
rng = np.random.default_rng(7)
query = rng.standard_normal((1, int(sys.argv[2])), dtype=np.float32)
query /= np.linalg.norm(query)
t = {"numpy": after_numpy - started, "clipsearch": after_library - after_numpy,
     "faiss": after_faiss - after_library}
begin = time.perf_counter()
with Library.open(Path(sys.argv[1])) as library:
    ids, _ = library.nearest(query, 20)
    library.catalogue.photos_of(ids[0])
    t["open + answer"] = time.perf_counter() - begin
    for name in ("second search", "third search"):
        begin = time.perf_counter()
        library.nearest(query, 20)
        t[name] = time.perf_counter() - begin
    for share, folders in ((1, ("part-00",)), (10, ("decade-0",)), (50, ("half-0",))):
        begin = time.perf_counter()
        allowed = library.catalogue.live_contents(PhotoFilter(folders))
        chosen = time.perf_counter()
        library.nearest(query, 20, allowed)
        t[f"filter {share} %: choose {len(allowed)}"] = chosen - begin
        t[f"filter {share} %: search"] = time.perf_counter() - chosen
print(json.dumps(t))
"""


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


def fill(directory: Path, rows: Floats) -> dict[str, float]:
    info = ModelInfo(
        "synthetic", "ab" * 32, rows.shape[1],
        Preprocess((224, 224), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), 77, 100.0,
    )  # fmt: skip
    facts = PhotoFacts("JPEG", 4000, 3000)
    with Library.open(directory, create=True) as library, library.writer():
        catalogue = library.catalogue
        model_id = catalogue.register_model(info)
        root = catalogue.add_root(b"/photos", 1, 2)
        begin = time.perf_counter()
        for start in range(0, len(rows), BATCH):
            photos, vectors = [], {}
            for i in range(start, min(start + BATCH, len(rows))):
                digest, name = hashlib.sha256(str(i).encode()).digest(), b"IMG_%06d.JPG" % i
                read = PhotoRead(b"", stat_of(i), digest, facts, None)
                photos.append(IndexedPhoto(root.root_id, folder_of(i), name, read))
                vectors[digest] = rows[i]
            catalogue.write_batch(model_id, photos, vectors)
        written = time.perf_counter()
        catalogue.activate_model(model_id)
        library.rebuild_snapshot()
        built = time.perf_counter()
        library.rebuild_snapshot()
        return {
            "write": written - begin,
            "build snapshot": built - written,
            "see that the snapshot is current": time.perf_counter() - built,
        }


def rescan(directory: Path, photos: int) -> float:
    """Seconds to compare every file of every folder with the catalogue, without the disk walk."""
    found = {folder_of(i): {} for i in range(FOLDERS)}
    for i in range(photos):
        found[folder_of(i)][b"IMG_%06d.JPG" % i] = stat_of(i)
    with Library.open(directory) as library:
        begin = time.perf_counter()
        unchanged = 0
        for folder, files in found.items():
            known = library.catalogue.photos_in_folder(1, folder, 1)
            for name, stat in files.items():
                row = known[name]
                unchanged += row.embedded and not row.missing and row.stat == stat
        assert unchanged == photos
        return time.perf_counter() - begin


def forget_cached_pages(directory: Path) -> None:
    for path in directory.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def search(directory: Path, dim: int, photos: int) -> dict[str, float]:
    command = [sys.executable, "-c", SEARCH, str(directory), str(dim), str(photos)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def show(title: str, seconds: dict[str, float]) -> None:
    print(title)
    for name, value in seconds.items():
        print(f"  {name:40} {value * 1000:10.1f} ms")


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
        show("comparing", {f"{given.photos} unchanged files": rescan(directory, given.photos)})
        forget_cached_pages(directory)
        show("cold", search(directory, given.dim, given.photos))
        runs = [search(directory, given.dim, given.photos) for _ in range(5)]
        show("warm, median of 5", {n: float(np.median([r[n] for r in runs])) for n in runs[0]})


if __name__ == "__main__":
    main()
