"""How long a search takes, and why: cold and warm, with and without filters, as libraries grow.

    python benchmarks/search.py --work runs/search               # 1,000 and 100,000 photos
    python benchmarks/search.py --work runs/search --million     # and a million: 3 GB of disk
    python benchmarks/search.py --work runs/search --short       # 1,000 and 20,000: a minute

Libraries are synthetic, but made and searched by the real code, with the text tower of a
ViT-B-32-256 with random weights (`--model` takes any other). Photos lie around 2,000 centres, each
drawn towards the text embedding of an everyday word; queries are other words. Beside it runs a
plain script over the same rows: faiss IndexFlatIP, read from disk, its query vector given.

Each figure is wall-clock milliseconds, and processor milliseconds in brackets: on a busy machine
read those. The tables go to stdout as Markdown, a plot to WORK/search.png.
"""

import argparse
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from machine import load_average, machine

from clipsearch.classifying import Rule, classify_library, embed_labels
from clipsearch.encoders import Towers, install, load_towers
from clipsearch.encoders.everyday import EVERYDAY, everyday_queries
from clipsearch.labels import Label
from clipsearch.library import Library
from clipsearch.prompts import template_set
from clipsearch.query import parse_query
from clipsearch.searching import search
from clipsearch.storage.catalogue import IndexedPhoto
from clipsearch.storage.layout import data_dir
from clipsearch.storage.snapshot_choice import tenth_scores
from clipsearch.types import FileStat, Floats, ModelInfo, PhotoFacts, PhotoRead

ROOT = Path(__file__).resolve().parent.parent
BATCH = 4096
FOLDERS = 1000
COLD_RUNS = 5
QUERIES = (
    "a lighthouse on a cliff", "an old typewriter", "two zebras", "a violin", "a hot air balloon",
    "a bowl of ramen", "a fire engine", "a snail on a leaf", "a chessboard", "a wooden door",
    "kite surfing", "a vending machine", "an astronaut", "a steam locomotive", "a bookshelf",
    "a sleeping koala", "a neon sign", "a wind turbine", "a medieval helmet", "a pile of coins",
)  # fmt: skip
FILTERS = {"no filter": "", "1 %": "in:part-00", "10 %": "in:decade-0", "50 %": "in:half-0"}

PLAIN = """
import sys, time
started = time.perf_counter()
import faiss, numpy as np
query = np.load(sys.argv[2])
index = faiss.read_index(sys.argv[1])
index.search(query[:1], 20)
first = time.perf_counter() - started
times = []
for i in range(5):
    a, c = time.perf_counter(), time.process_time()
    index.search(query[:1], 20)
    times.append((time.perf_counter() - a, time.process_time() - c))
print(first, *min(times))
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """Milliseconds: by the clock on the wall, and of processors."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        digits = 1 if self.wall < 20 else 0
        return f"{self.wall:,.{digits}f} ({self.cpu:,.{digits}f})"


@dataclass(slots=True)
class Size:
    """What was measured with one number of photos."""

    photos: int
    index: str = ""
    made: Taken | None = None
    snapshot: Taken | None = None
    recall: float = 1.0
    cold: dict[str, Taken] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    warm: dict[str, Taken] = field(default_factory=dict)
    text_tower: Taken | None = None
    plain_cold: Taken | None = None
    plain_warm: Taken | None = None
    classified: Taken | None = None


def timed(work: Callable[[], object]) -> Taken:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Taken(1000 * wall, 1000 * cpu)


def median(taken: Sequence[Taken]) -> Taken:
    return Taken(
        float(np.median([each.wall for each in taken])),
        float(np.median([each.cpu for each in taken])),
    )


def rows_around_words(number: int, texts: Floats) -> Iterator[Floats]:
    """Blocks of unit rows (n, dim): a gap from all texts, a centre, a word, and noise."""
    dim = texts.shape[1]
    rng = np.random.default_rng(1)
    spectrum = (1 + np.arange(dim, dtype=np.float32)) ** np.float32(-0.3)
    spectrum /= np.linalg.norm(spectrum)
    centres = rng.standard_normal((2000, dim), dtype=np.float32) / np.float32(np.sqrt(dim))
    words = texts - texts.mean(axis=0)
    words /= np.maximum(np.linalg.norm(words, axis=1, keepdims=True), 1e-6)
    centres += np.float32(0.5) * words[rng.integers(len(words), size=2000)]
    gap = rng.standard_normal(dim, dtype=np.float32) / np.float32(np.sqrt(dim))
    for start in range(0, number, BATCH):
        count = min(BATCH, number - start)
        rows = centres[rng.integers(2000, size=count)] + np.float32(0.8) * gap
        rows += rng.standard_normal((count, dim), dtype=np.float32) * spectrum
        yield rows / np.linalg.norm(rows, axis=1, keepdims=True)


def folder_of(photo: int) -> bytes:
    """1,000 folders, arranged so that names select 1 %, 10 % and 50 % of the photos."""
    number = photo % FOLDERS
    return b"half-%d/decade-%d/part-%02d/%04d" % (number % 2, number % 10, number % 100, number)


def fill(directory: Path, info: ModelInfo, rows: Iterator[Floats]) -> None:
    facts = PhotoFacts("JPEG", 4000, 3000)
    with Library.open(directory, create=True) as library, library.writer():
        catalogue = library.catalogue
        model_id = catalogue.register_model(info)
        root = catalogue.add_root(b"/photos", 1, 2)
        made = 0
        for block in rows:
            photos, vectors = [], {}
            for i, row in enumerate(block, made):
                digest, name = hashlib.sha256(str(i).encode()).digest(), b"IMG_%07d.JPG" % i
                stat = FileStat(1_000_000 + i, 10**18 + i, 10**18 + i, 10**7 + i, 2049)
                read = PhotoRead(b"", stat, digest, facts, None)
                photos.append(IndexedPhoto(root.root_id, folder_of(i), name, read))
                vectors[digest] = row
            catalogue.write_batch(model_id, photos, vectors)
            made += len(block)
        catalogue.activate_model(model_id)


def other_words() -> list[str]:
    """Words that no index was chosen by, from the table of concepts."""
    table = (data_dir() / "labels" / "concepts.tsv").read_text("utf-8").splitlines()[1:]
    names = [line.split("\t")[1].split(";")[0].strip("~") for line in table]
    return [f"a photo of a {name}" for name in names[::3]]


def make(directory: Path, size: Size, towers: Towers, texts: Floats, models: Path) -> None:
    """A library of that size, with its snapshot."""
    if directory.exists():
        return
    size.made = timed(lambda: fill(directory, towers.info, rows_around_words(size.photos, texts)))
    with Library.open(directory) as library:
        library.typical_queries = everyday_queries(towers.info, models)
        size.snapshot = timed(library.refresh_snapshot)


def measure_recall(library: Library, size: Size, asked: Floats) -> None:
    """recall@10 of the library's own search, with other queries than its index was chosen by."""
    snapshot = library._answering().usable_snapshot()
    if snapshot is None:
        size.index = "none"
        return
    index = snapshot.header.index
    size.index = index.kind if index.kind == "exact" else f"ivf, {index.probes} of {index.lists}"
    edges = tenth_scores(snapshot, asked)
    _, scores = library.nearest(asked, 10)
    size.recall = float((scores >= edges[:, None]).mean())


def measure_cold(directory: Path, models: Path, size: Size) -> None:
    """Processes of their own, as a person starts them; the disk cache is warm after the first."""
    environment = os.environ | {"CLIPSEARCH_MODELS": str(models)}
    base = [sys.executable, "-m", "clipsearch", "search", "--library", str(directory), "--json"]
    stages: list[dict[str, float]] = []

    def run(words: str) -> None:
        command = [*base, *words.split(), "--timings"]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True)
        stages.append(json.loads(done.stderr.splitlines()[-1])["timings_ms"])

    for name, words in FILTERS.items():
        run(f"sunset {words}")
        stages.clear()
        size.cold[name] = median([timed(partial(run, f"{q} {words}")) for q in QUERIES[:COLD_RUNS]])
        if not words:
            size.stages = {
                stage: float(np.median([each.get(stage, 0.0) for each in stages]))
                for stage in stages[0]
            }


def measure_warm(library: Library, towers: Towers, size: Size) -> None:
    size.text_tower = median([timed(partial(towers.text.encode_text, [q])) for q in QUERIES])
    taken: dict[str, list[Taken]] = {name: [] for name in FILTERS}
    # Filters take turns, so that other work on the machine meets all of them; the first turn warms.
    for words in (QUERIES[0], *QUERIES):
        for name, more in FILTERS.items():
            query = parse_query([*words.split(), *more.split()])
            taken[name].append(timed(partial(search, library, towers, query)))
    size.warm = {name: median(each[1:]) for name, each in taken.items()}


def measure_plain(work: Path, size: Size, rows: Iterator[Floats], asked: Floats) -> None:
    """The few lines most people write: a flat float32 index, read whole for every search."""
    import faiss

    index = faiss.IndexFlatIP(asked.shape[1])
    for block in rows:
        index.add(block)
    path, query = work / "plain.faiss", work / "plain-query.npy"
    faiss.write_index(index, str(path))
    del index
    np.save(query, asked)
    command = [sys.executable, "-c", PLAIN, str(path), str(query)]
    outputs: list[list[float]] = []

    def run() -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        outputs.append([float(number) for number in done.stdout.split()])

    run()
    size.plain_cold = median([timed(run) for _ in range(3)])
    size.plain_warm = Taken(1000 * min(o[1] for o in outputs), 1000 * min(o[2] for o in outputs))
    path.unlink()


def measure_classification(library: Library, towers: Towers, size: Size, labels: int) -> None:
    """Every photo against so many labels, whose embeddings are made before the clock starts."""
    names = [f"{word} {i}" for i, word in enumerate((EVERYDAY * 20)[:labels])]
    classes = embed_labels(towers, [Label(n, n) for n in names], template_set("words"))
    rule = Rule(top_n=3)
    size.classified = timed(lambda: sum(1 for _ in classify_library(library, classes, rule)))


def tables(sizes: Sequence[Size]) -> Iterator[str]:
    heads = [f"{size.photos:,} photos" for size in sizes]

    def table(title: str, rows: dict[str, list[str]]) -> Iterator[str]:
        yield f"| {title} | " + " | ".join(heads) + " |"
        yield "|---|" + "---|" * len(sizes)
        for name, cells in rows.items():
            yield f"| {name} | " + " | ".join(cells) + " |"
        yield ""

    yield from table(
        "library",
        {
            "index (lists searched)": [size.index for size in sizes],
            "recall@10 against exact": [f"{size.recall:.4f}" for size in sizes],
            "written, ms": [str(size.made or "there before") for size in sizes],
            "snapshot made, ms": [str(size.snapshot or "there before") for size in sizes],
        },
    )
    cold = {f"cold, {n}": [str(size.cold[n]) for size in sizes] for n in FILTERS}
    warm = {f"warm, {n}": [str(size.warm[n]) for size in sizes] for n in FILTERS}
    yield from table(
        "search, ms",
        cold
        | {"plain script, cold": [str(size.plain_cold) for size in sizes]}
        | warm
        | {"of which text tower": [str(size.text_tower) for size in sizes]}
        | {"plain script, warm": [str(size.plain_warm) for size in sizes]},
    )
    stages = {s: [f"{size.stages.get(s, 0.0):.0f}" for size in sizes] for s in sizes[-1].stages}
    yield from table("a cold search, ms", stages)
    yield from table(
        "classification, ms", {"all photos": [str(size.classified or "-") for size in sizes]}
    )


def plot(sizes: Sequence[Size], target: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    photos = [size.photos for size in sizes]
    figure, (cold, warm) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axes, ours, theirs, title in (
        (cold, [s.cold for s in sizes], [s.plain_cold for s in sizes], "cold"),
        (warm, [s.warm for s in sizes], [s.plain_warm for s in sizes], "warm"),
    ):
        for name in FILTERS:
            axes.plot(photos, [each[name].cpu for each in ours], "o-", label=f"clipsearch, {name}")
        axes.plot(photos, [each.cpu for each in theirs if each], "k--", label="plain faiss script")
        axes.set(xscale="log", yscale="log", xlabel="photos", title=f"{title} search")
        axes.set_ylabel("processor milliseconds")
    cold.legend(fontsize=8)
    figure.suptitle(machine(), fontsize=7)
    figure.savefig(target, dpi=120)


def model_of(given: str | None, work: Path, models: Path) -> ModelInfo:
    """The model that was named, else a ViT-B-32-256 with random weights."""
    if given is None:
        from peers import checkpoint

        checkpoint(work)
    return install(given or str(work / "model"), models)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, default=Path("runs/search"))
    parser.add_argument("--models", type=Path, help="where models are; else in WORK")
    parser.add_argument("--model", help="a model's name, as for clipsearch index")
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--labels", type=int, default=1000)
    parser.add_argument("--keep", action="store_true", help="keep the libraries")
    given = parser.parse_args()
    numbers = [1000, 20_000] if given.short else [1000, 100_000] + [1_000_000] * given.million
    given.work.mkdir(parents=True, exist_ok=True)
    models = (given.models or given.work / "models").absolute()
    info = model_of(given.model, given.work, models)
    towers = load_towers(info, models)
    texts, asked = towers.text.encode_text(EVERYDAY), towers.text.encode_text(other_words())
    sizes = []
    for number in numbers:
        size = Size(number)
        directory = given.work / f"library-{info.fingerprint[:8]}-{number}"
        make(directory, size, towers, texts, models)
        with Library.open(directory) as library:
            measure_recall(library, size, asked)
            measure_warm(library, towers, size)
            if number <= 100_000:
                measure_classification(library, towers, size, given.labels)
        measure_cold(directory, models, size)
        measure_plain(given.work, size, rows_around_words(number, texts), asked)
        if not given.keep:
            shutil.rmtree(directory)
        sizes.append(size)
    print(f"{machine()}; {load_average()}; {info.name}, {info.embed_dim} numbers a photo\n")
    print("\n".join(tables(sizes)))
    plot(sizes, given.work / "search.png")


if __name__ == "__main__":
    main()
