"""What it costs to find out that nothing has changed, and memory, by the number of photos.

    python benchmarks/rescan.py [--counts 1000,10000,100000] [--work DIR]

Photos are pictures of 8 x 8 pixels, a hundred to a folder, indexed by the fake model: what is
measured is walking, comparing, and the catalogue, in a process of its own as the command line runs
it. Beside it stands the least that anything can do: os.scandir and lstat of every file.
"""

import argparse
import os
import struct
import sys
import tempfile
import time
import zlib
from pathlib import Path

from machine import load_average, machine
from peers import OUR_COUNT, Run, timed

PER_FOLDER = 100


def png(number: int) -> bytes:
    """A picture of 8 x 8 pixels that no other number has."""
    row = b"\0" + number.to_bytes(3, "big") * 8

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * 8)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def make(album: Path, count: int) -> None:
    for start in range(0, count, PER_FOLDER):
        folder = album / f"{start // 10_000:03}" / f"{start:07}"
        folder.mkdir(parents=True)
        for number in range(start, min(start + PER_FOLDER, count)):
            (folder / f"{number}.png").write_bytes(png(number))


def least(album: Path) -> float:
    """Seconds to list every folder and to lstat every file."""
    started = time.perf_counter()
    waiting = [bytes(album)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    entry.stat(follow_symlinks=False)
    return time.perf_counter() - started


def measure(work: Path, count: int) -> tuple[Run, list[Run], float]:
    album = work / f"album-{count}"
    make(album, count)
    environment = {"CLIPSEARCH_LIBRARY": str(work / f"library-{count}")}
    command = [sys.executable, "-m", "clipsearch", "index", str(album), "--model", "fake", "--json"]
    first = timed(command, environment, work, OUR_COUNT)
    again = [timed(command, environment, work, OUR_COUNT) for _ in range(3)]
    return first, again, min(least(album) for _ in range(3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", default="1000,10000,100000")
    parser.add_argument("--work", type=Path)
    given = parser.parse_args()
    print(f"{machine()}; {load_average()}\n")
    print(
        "| photos | first index s | photos/s | peak MB | again s | CPU s | peak MB | lstat all s |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(dir=given.work) as temporary:
        for count in (int(number) for number in given.counts.split(",")):
            first, again, lstat = measure(Path(temporary), count)
            best = min(again, key=lambda run: run.wall)
            print(
                f"| {count} | {first.wall:.1f} | {count / first.wall:.0f} | {first.peak_mb:.0f} "
                f"| {best.wall:.2f} | {best.cpu:.2f} | {best.peak_mb:.0f} | {lstat:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
