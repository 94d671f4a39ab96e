"""How fast photos are indexed, beside other programs with the same weights, in one run.

    python benchmarks/indexing.py --photos FOLDER [--sets small,large,mixed,few] [--programs ...]

Sets: `small` photos of 500 pixels on the long side; `large` ones of 12 megapixels (4000 x 3000 when
the source is 4:3); `mixed`, a large one after every four small ones; `few`, a handful of small
ones, once: only there clip-retrieval's inference takes part, which needs minutes. The other
programs: clipsearch, rclip 3.3 and plain_script.py; all but the first are skipped by leaving them
out of `--programs`. Rounds alternate. A model that was never measured on this machine is measured
before, in a run of its own. Afterwards clipsearch alone: the same folder again with nothing new,
with ten new photos, and how the rate and the memory change with the number of photos.

Prints tables in Markdown and draws `indexing.png` into the work folder.
"""

import argparse
import os
import shutil
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from machine import load_average, machine
from peers import (
    ARCHITECTURE,
    ClipRetrieval,
    Clipsearch,
    PlainScript,
    Program,
    Rclip,
    Run,
    checkpoint,
    photos,
)

PROGRAMS: dict[str, Callable[[Path], Program]] = {
    "clipsearch": Clipsearch,
    "rclip": Rclip,
    "plain": PlainScript,
    "clip-retrieval": ClipRetrieval,
}
SMALL_SIDE, LARGE_SIDE = 500, 4000


def album_of(kind: str, source: Path, work: Path, count: int) -> Path:
    """The folder of `count` photos of a set."""
    if kind in ("small", "few"):
        return photos(source, work / f"photos-500-{count}", count, SMALL_SIDE)
    if kind == "large":
        return photos(source, work / f"photos-4000-{count}", count, LARGE_SIDE)
    target = work / f"photos-mixed-{count}"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    large = album_of("large", source, work, max(1, count // 5))
    small = album_of("small", source, work, count - max(1, count // 5))
    for number, path in enumerate([*sorted(large.iterdir()), *sorted(small.iterdir())]):
        os.link(path, target / f"{path.parent.name}-{number:05}.jpg")
    return target


def compare(programs: Sequence[Program], album: Path, rounds: int) -> dict[str, Run]:
    """Median runs by program name; every round runs each of them once."""
    runs: dict[str, list[Run]] = {program.name: [] for program in programs}
    for _ in range(rounds):
        for program in programs:
            runs[program.name].append(program.index(album))
            print(f"  {program.name}: {runs[program.name][-1]}; {load_average()}", flush=True)
    return {name: median(each) for name, each in runs.items()}


def median(runs: Sequence[Run]) -> Run:
    return Run(
        statistics.median(run.wall for run in runs),
        statistics.median(run.cpu for run in runs),
        statistics.median(run.rate for run in runs),
        max(run.peak_mb for run in runs),
    )


def table(title: str, count: int, found: dict[str, Run]) -> None:
    """One row a program; ratios above 1 are in clipsearch's favour."""
    ours = found["clipsearch"]
    print(f"\n{title}, {count} photos\n")
    print("| | wall s | CPU s | photos/s after start-up | peak MB | wall ratio | rate ratio |")
    print("|---|---|---|---|---|---|---|")
    for name, run in found.items():
        rate = f"{run.rate:.1f}" if run.rate else "not told"
        ratio = f"{ours.rate / run.rate:.2f}" if run.rate else ""
        print(
            f"| {name} | {run.wall:.1f} | {run.cpu:.1f} | {rate} | {run.peak_mb:.0f} | "
            f"{run.wall / ours.wall:.2f} | {ratio} |",
            flush=True,
        )


def first_run(clipsearch: Clipsearch, album: Path) -> None:
    """The run that tries every way of encoding, unless one did before on this machine."""
    if clipsearch.has_measured():
        return
    run = clipsearch.index(album)
    print(
        f"\nclipsearch's first run, which tries everything: {run.wall:.1f} s, {run.cpu:.1f} CPU s"
    )


def small_changes(clipsearch: Clipsearch, source: Path, work: Path, album: Path) -> None:
    """What a run costs when little or nothing is new."""
    clipsearch.index(album)
    nothing = clipsearch.index_again(album)
    extra = work / "photos-changing"
    shutil.rmtree(extra, ignore_errors=True)
    shutil.copytree(album, extra)
    clipsearch.index_again(extra)
    for path in sorted(photos(source, work / "photos-510-10", 10, 510).iterdir()):
        shutil.copy(path, extra / f"new-{path.name}")
    ten = clipsearch.index_again(extra)
    print("\n| clipsearch | wall s | CPU s | peak MB |\n|---|---|---|---|")
    for title, run in (("nothing new", nothing), ("ten new photos", ten)):
        print(f"| {title} | {run.wall:.2f} | {run.cpu:.2f} | {run.peak_mb:.0f} |", flush=True)


def growth(clipsearch: Clipsearch, source: Path, work: Path, counts: Sequence[int]) -> None:
    """Seconds and memory by the number of photos."""
    print("\n| photos | wall s | photos/s after start-up | peak MB |\n|---|---|---|---|")
    for count in counts:
        run = clipsearch.index(album_of("small", source, work, count))
        print(f"| {count} | {run.wall:.1f} | {run.rate:.1f} | {run.peak_mb:.0f} |", flush=True)


def plot(found: dict[str, dict[str, Run]], counts: dict[str, int], target: Path) -> None:
    """Photos a second end to end, a group of bars for each set."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(name for runs in found.values() for name in runs))
    figure, axes = pyplot.subplots(figsize=(8, 4))
    for position, name in enumerate(names):
        groups = [group for group, runs in enumerate(found.values()) if name in runs]
        heights = [counts[kind] / runs[name].wall for kind, runs in found.items() if name in runs]
        places = [group + position * 0.8 / len(names) for group in groups]
        bars = axes.bar(places, heights, width=0.8 / len(names), label=name)
        axes.bar_label(bars, fmt="%.1f")
    axes.set_xticks([group + 0.4 - 0.4 / len(names) for group in range(len(found))], list(found))
    axes.set_ylabel("photos a second, end to end")
    axes.set_title(machine(), fontsize=7)
    axes.legend()
    figure.savefig(target, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="a folder to make the sets of")
    parser.add_argument("--work", type=Path, default=Path("runs/indexing"))
    parser.add_argument("--sets", default="small,large,mixed,few")
    parser.add_argument("--programs", default=",".join(PROGRAMS))
    parser.add_argument("--count", type=int, default=1000, help="photos of the small set")
    parser.add_argument("--count-large", type=int, default=200, help="of the large and mixed sets")
    parser.add_argument("--count-few", type=int, default=16, help="of the set with all programs")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--growth", default="250,1000,2000", help="numbers of photos")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    checkpoint(work)
    programs: list[Program] = [PROGRAMS[name](work) for name in arguments.programs.split(",")]
    quick = [program for program in programs if not isinstance(program, ClipRetrieval)]
    print(f"{machine()}; {load_average()}; {ARCHITECTURE}, random weights", flush=True)
    counts = {
        "small": arguments.count,
        "few": arguments.count_few,
        "large": arguments.count_large,
        "mixed": arguments.count_large,
    }
    clipsearch = Clipsearch(work)
    small = album_of("small", arguments.photos, work, arguments.count)
    first_run(clipsearch, small)
    found = {}
    for kind in arguments.sets.split(","):
        album = album_of(kind, arguments.photos, work, counts[kind])
        few = kind == "few"
        found[kind] = compare(programs if few else quick, album, 1 if few else arguments.rounds)
    for kind, runs in found.items():
        table(kind, counts[kind], runs)
    plot(found, counts, work / "indexing.png")
    small_changes(clipsearch, arguments.photos, work, small)
    growth(clipsearch, arguments.photos, work, [int(n) for n in arguments.growth.split(",")])


if __name__ == "__main__":
    main()
