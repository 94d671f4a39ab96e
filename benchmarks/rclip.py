"""clipsearch against rclip 3.3: the same photos, the same weights, one run on one machine.

    python benchmarks/rclip.py --photos FOLDER [--work DIR] [--count N] [--rounds N]

Both programs get a ViT-B-32-256 with the same random weights (speed does not depend on the
values): clipsearch as an open_clip directory, rclip as ONNX files in its data directory. Photos
are brought to 500 pixels on the long side, the size of the comparison in README. rclip is
installed into an environment of its own. Rounds alternate, so that whatever else the machine
does falls on both; CPU seconds are printed beside wall seconds because they suffer less from it.
clipsearch's first run includes measuring which runtime and precision suit this machine, unless
`models` in the work folder remembers it. More programs and sizes: indexing.py.
"""

import argparse
import statistics
from pathlib import Path

from machine import load_average, machine
from peers import ARCHITECTURE, Clipsearch, Rclip, Run, checkpoint, photos

QUERIES = ["a dog on the beach", "a red car", "people at a table", "mountains", "a street at night"]


def report(title: str, ours: list[Run], theirs: list[Run]) -> None:
    wall = [statistics.median(r.wall for r in runs) for runs in (ours, theirs)]
    cpu = [statistics.median(r.cpu for r in runs) for runs in (ours, theirs)]
    print(
        f"{title:24} clipsearch {wall[0]:7.2f} s ({cpu[0]:7.2f} s CPU)   "
        f"rclip {wall[1]:7.2f} s ({cpu[1]:7.2f} s CPU)   "
        f"ratio {wall[1] / wall[0]:.2f} wall, {cpu[1] / cpu[0]:.2f} CPU",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/indexing"))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    checkpoint(work)
    album = photos(arguments.photos, work / f"photos-500-{arguments.count}", arguments.count, 500)
    ours, theirs = Clipsearch(work), Rclip(work)
    print(f"{machine()}; {load_average()}; {ARCHITECTURE}, {arguments.count} photos", flush=True)
    indexed: tuple[list[Run], list[Run]] = ([], [])
    for _ in range(arguments.rounds):
        indexed[0].append(ours.index(album))
        indexed[1].append(theirs.index(album))
    report("index, end to end", *indexed)
    rates = [statistics.median(run.rate for run in runs) for runs in indexed]
    print(
        f"{'index, after start-up':24} clipsearch {rates[0]:.1f}/s   rclip {rates[1]:.1f}/s   "
        f"ratio {rates[0] / rates[1]:.2f}",
        flush=True,
    )
    searched: tuple[list[Run], list[Run]] = ([], [])
    for query in QUERIES:
        searched[0].append(ours.search(album, query))
        searched[1].append(theirs.search(album, query))
    report("search, cold process", *searched)


if __name__ == "__main__":
    main()
