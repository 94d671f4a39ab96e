"""Concepts and labels taught with a few photos, against the words alone, on held-out photos.

    python benchmarks/few_shot.py --data ../shared/data [--model starter] [--seeds 5]

For every label of the val-* sets: k of its photos teach it, the library is a mixture of all sets,
and the rest of its own set is ranked (average precision) or decided (threshold). For labels: k
photos of each label of a set teach the set, the rest is classified (top-1).
"""

import argparse
import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipsearch.classifying import Classes, Odds, Rule
from clipsearch.classifying.classes import neutral_embedding
from clipsearch.classifying.deciding import decide
from clipsearch.concepts.labelling import learn_labels
from clipsearch.concepts.learning import Background, Doubles, Learned, learn
from clipsearch.encoders import Towers, install, load_towers
from clipsearch.labels import Label
from clipsearch.photos.resize import to_pixels
from clipsearch.prompts import template_set
from clipsearch.ranking import unit
from clipsearch.types import Floats, Ids, ModelInfo

SETS = ("caltech", "scenes", "clothing", "grocery", "mini", "tiny")
EXAMPLES = (1, 3, 5, 10, 20)
# Photos of one set at most, and of every other set in the library; labels of one set at most.
MOST_PHOTOS, FROM_EACH, MOST_LABELS = 2000, 400, 25
FEWEST_HELD_OUT = 3
WRONG = 4
MIXED = 20


@dataclass(frozen=True, eq=False)
class Embedded:
    """One set: unit rows (n, dim), their labels (n,), and the unit vectors of the labels' words.

    `neutral` (dim,) is that of words that say nothing.
    """

    name: str
    model: ModelInfo
    neutral: Floats
    rows: Floats
    labels: Ids
    words: Floats


@dataclass(frozen=True, eq=False)
class Lesson:
    """One label taught with k photos: what is learned from, and what is ranked."""

    examples: Floats
    library: Floats
    words: Floats
    held_out: Floats
    is_right: NDArray[np.bool_]


Method = Callable[[Lesson], Doubles]


def zero_shot(lesson: Lesson) -> Doubles:
    scores: Doubles = (lesson.held_out @ lesson.words).astype(np.float64)
    return scores


def prototype(lesson: Lesson) -> Doubles:
    scores: Doubles = (lesson.held_out @ lesson.examples.mean(axis=0)).astype(np.float64)
    return scores


def centred_prototype(lesson: Lesson) -> Doubles:
    direction = lesson.examples.mean(axis=0) - lesson.library.mean(axis=0)
    scores: Doubles = (lesson.held_out @ direction).astype(np.float64)
    return scores


def ridge(lesson: Lesson) -> Doubles:
    """Two classes of equal weight: the examples, and 500 photos of the library."""
    others = lesson.library[:500]
    x = np.concatenate([lesson.examples, others]).astype(np.float64)
    k, n = len(lesson.examples), len(others)
    y = np.repeat([1.0, -1.0], [k, n])
    weight = np.repeat([0.5 / k, 0.5 / n], [k, n])
    x = x - weight @ x
    gram = (x.T * weight) @ x + 0.03 * np.eye(x.shape[1])
    direction: Doubles = np.linalg.solve(gram, (x.T * weight) @ y)
    scores: Doubles = lesson.held_out @ direction
    return scores


def tip_adapter(lesson: Lesson) -> Doubles:
    """The cache of Zhang et al. 2022 with beta 5.5, without words."""
    affinity = np.exp(-5.5 * (1 - lesson.held_out @ lesson.examples.T))
    scores: Doubles = affinity.sum(axis=1).astype(np.float64)
    return scores


def taught(lesson: Lesson) -> Doubles:
    found = learn(lesson.examples, _background(lesson))
    return (lesson.held_out @ found.weights + found.bias).astype(np.float64)


def taught_with_words(lesson: Lesson) -> Doubles:
    found = learn(lesson.examples, _background(lesson), words=lesson.words)
    return (lesson.held_out @ found.weights + found.bias).astype(np.float64)


METHODS: dict[str, Method] = {
    "words alone (zero-shot)": zero_shot,
    "prototype": prototype,
    "centred prototype": centred_prototype,
    "Tip-Adapter cache": tip_adapter,
    "ridge, 500 negatives": ridge,
    "teach": taught,
    "teach --is words": taught_with_words,
}
LABELLING = ("words alone", "prototypes", "ridge", "teach --folders")
DECIDING = ("teach", "teach --is words")


def _background(lesson: Lesson) -> Background:
    near = (lesson.library @ lesson.examples.T).max(axis=1) >= 0.95
    return Background(lesson.library[~near])


def average_precision(scores: Doubles, is_right: NDArray[np.bool_]) -> float:
    """The mean, over the right ones, of the share of right ones down to it."""
    hits = is_right[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


def lessons(embedded: Embedded, others: Floats, k: int, seed: int) -> Iterator[Lesson]:
    """A lesson for each label that has photos enough."""
    rng = np.random.default_rng([seed, k])
    every = np.unique(embedded.labels)
    for label in every[:: max(1, len(every) // MOST_LABELS)]:
        own = np.flatnonzero(embedded.labels == label)
        if len(own) < k + FEWEST_HELD_OUT:
            continue
        chosen = rng.choice(own, k, replace=False)
        rest = np.setdiff1d(np.arange(len(embedded.rows)), chosen)
        held_out = embedded.rows[rest]
        # The library holds the photos to be found as well, unlabelled, as a real one does.
        library = np.concatenate([held_out[rng.permutation(len(rest))[:800]], others])
        yield Lesson(
            embedded.rows[chosen],
            library[rng.permutation(len(library))],
            embedded.words[label],
            held_out,
            embedded.labels[rest] == label,
        )


def labels_taught(embedded: Embedded, k: int, seed: int) -> tuple[float, ...] | None:
    """Top-1, on photos that taught nothing, of LABELLING in this order; None with too few photos.

    The last number is what the left-out photos promised of the last method.
    """
    rng = np.random.default_rng([seed, k])
    counts = np.bincount(embedded.labels, minlength=len(embedded.words))
    usable = np.flatnonzero(counts >= k + FEWEST_HELD_OUT)
    if len(usable) < 2:
        return None
    train = np.concatenate(
        [rng.choice(np.flatnonzero(embedded.labels == j), k, replace=False) for j in usable]
    )
    test = np.setdiff1d(np.flatnonzero(np.isin(embedded.labels, usable)), train)
    number = np.searchsorted(usable, embedded.labels)
    rows, words = embedded.rows[train], embedded.words[usable]
    means = np.stack([rows[number[train] == j].mean(axis=0) for j in range(len(usable))])
    plain = learn_labels(rows, number[train], len(usable))
    told = learn_labels(rows, number[train], len(usable), words)
    tested = embedded.rows[test]
    scores = (
        tested @ words.T,
        tested @ means.T,
        tested @ plain.weights.T + plain.biases,
        tested @ told.weights.T + told.biases,
    )
    right = [float((each.argmax(axis=1) == number[test]).mean()) for each in scores]
    return (*right, told.accuracy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--models", type=Path, default=Path("runs/few_shot/models"))
    parser.add_argument("--cache", type=Path, default=Path("runs/few_shot"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--part", choices=("concepts", "counter", "mixed", "labels"), help="only one"
    )
    given = parser.parse_args()
    towers = load_towers(install(given.model, given.models), given.models)
    sets = [embed(given.data, name, towers, given.cache) for name in SETS]
    parts = {
        "concepts": say_concepts,
        "counter": say_counter,
        "mixed": say_mixed,
        "labels": say_labels,
    }
    for name in [given.part] if given.part else list(parts):
        parts[name](sets, given.seeds)


def say_concepts(sets: list[Embedded], seeds: int) -> None:
    """Two tables: how photos are ranked, and what is decided at the threshold."""
    precision: dict[tuple[str, str, int, int], list[float]] = {}
    decided: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for embedded in sets:
        others = np.concatenate([s.rows[:FROM_EACH] for s in sets if s is not embedded])
        for k in EXAMPLES:
            for seed in range(seeds):
                for lesson in lessons(embedded, others, k, seed):
                    for name, method in METHODS.items():
                        scores = method(lesson)
                        found = average_precision(scores, lesson.is_right)
                        precision.setdefault((name, embedded.name, k, seed), []).append(found)
                        if name in DECIDING:
                            yes = scores > 0
                            rates = yes[lesson.is_right].mean(), yes[~lesson.is_right].mean()
                            decided.setdefault((name, k), []).append(rates)
    names = [s.name for s in sets]
    for k in EXAMPLES:
        told = [n for n in names if (next(iter(METHODS)), n, k, 0) in precision]
        print(f"\nk = {k}: average precision in percent (spread over {seeds} seeds)\n")
        print(f"| method | {' | '.join(told)} |\n|---|{'---|' * len(told)}")
        for how in METHODS:
            cells = []
            for name in told:
                means = [100 * np.mean(precision[how, name, k, seed]) for seed in range(seeds)]
                cells.append(f"{np.mean(means):.1f} ± {np.std(means):.1f}")
            print(f"| {how} | {' | '.join(cells)} |")
    print("\nat the threshold, all sets: found / wrongly taken, in percent\n")
    print(f"| | {' | '.join(f'k = {k}' for k in EXAMPLES)} |\n|---|{'---|' * len(EXAMPLES)}")
    for how in DECIDING:
        shares = [np.mean(decided[how, k], axis=0) * 100 for k in EXAMPLES]
        print(f"| {how} | {' | '.join(f'{own:.0f} / {other:.1f}' for own, other in shares)} |")


def say_counter(sets: list[Embedded], seeds: int) -> None:
    """One table: what showing the WRONG most likely photos as what it is not changes."""
    print(f"\nfound / wrongly taken without and with the {WRONG} likeliest wrong ones as --not")
    print("(average precision of both), in percent; those photos are not counted\n")
    print(f"| | {' | '.join(f'k = {k}' for k in (3, 5))} |\n|---|---|---|")
    for embedded in sets:
        others = np.concatenate([s.rows[:FROM_EACH] for s in sets if s is not embedded])
        cells = []
        for k in (3, 5):
            taught_both = (
                rates
                for seed in range(seeds)
                for lesson in lessons(embedded, others, k, seed)
                for rates in [_with_and_without(lesson)]
            )
            means = 100 * np.mean(list(taught_both), axis=0)
            cells.append("{:.0f} / {:.1f} ({:.1f}) → {:.0f} / {:.1f} ({:.1f})".format(*means))
        print(f"| {embedded.name} | {' | '.join(cells)} |")


def _with_and_without(lesson: Lesson) -> list[float]:
    background = _background(lesson)
    plain = learn(lesson.examples, background)
    wrong = np.flatnonzero(~lesson.is_right)
    worst = wrong[np.argsort(-(lesson.held_out[wrong] @ plain.weights))[:WRONG]]
    told = learn(lesson.examples, background, counter=lesson.held_out[worst])
    rest = np.setdiff1d(np.arange(len(lesson.held_out)), worst)
    is_right = lesson.is_right[rest]
    rates = []
    for found in (plain, told):
        scores = (lesson.held_out[rest] @ found.weights + found.bias).astype(np.float64)
        yes = scores > 0
        rates += [float(yes[is_right].mean()), float(yes[~is_right].mean())]
        rates.append(average_precision(scores, is_right))
    return rates


def say_mixed(sets: list[Embedded], seeds: int) -> None:
    """One table: labels as words, as taught names, and both in one list (5 photos a name)."""
    print("\ntop-1 / decided for at all / photos of other sets decided for, in percent;")
    print(
        f"at most {MIXED} labels, decided with none-of-these; both: every second is a taught name\n"
    )
    print("| | words | one taught name | both | taught names |\n|---|---|---|---|---|")
    for embedded in sets:
        others = np.concatenate([s.rows[:FROM_EACH] for s in sets if s is not embedded])
        rows = [_mixed(embedded, others, seed) for seed in range(seeds)]
        means = 100 * np.mean(rows, axis=0)  # (4, 3)
        cells = (f"{top:.0f} / {own:.0f} / {other:.0f}" for top, own, other in means)
        print(f"| {embedded.name} | {' | '.join(cells)} |")


def _mixed(embedded: Embedded, others: Floats, seed: int) -> list[tuple[float, float, float]]:
    rng = np.random.default_rng(seed)
    counts = np.bincount(embedded.labels, minlength=len(embedded.words))
    usable = np.flatnonzero(counts >= 5 + FEWEST_HELD_OUT)[:MIXED]
    chosen = [rng.choice(np.flatnonzero(embedded.labels == j), 5, replace=False) for j in usable]
    test = np.setdiff1d(np.flatnonzero(np.isin(embedded.labels, usable)), np.concatenate(chosen))
    library = np.concatenate([embedded.rows[test], others])
    found = []
    for numbers in chosen:
        examples = embedded.rows[numbers]
        told = library[(library @ examples.T).max(axis=1) < 0.95]
        found.append(learn(examples, Background(told)))
    truth = np.searchsorted(usable, embedded.labels[test])
    every = np.arange(len(usable))
    outcomes = []
    for taught_ones in (every < 0, every < 1, every % 2 == 0, every >= 0):
        classes = _classes(embedded, embedded.words[usable], found, taught_ones)
        best, own = _decisions(classes, embedded.rows[test])
        outcomes.append(
            (
                float((best == truth).mean()),
                float(own.mean()),
                float(_decisions(classes, others)[1].mean()),
            )
        )
    return outcomes


def _classes(
    embedded: Embedded, words: Floats, found: list[Learned], is_taught: NDArray[np.bool_]
) -> Classes:
    weights = np.stack([each.weights for each in found])
    lengths = np.linalg.norm(weights, axis=1)
    biases = np.array([each.bias for each in found], np.float32)
    return Classes(
        model=embedded.model,
        labels=tuple(Label(str(i), str(i)) for i in range(len(words))),
        embeddings=np.where(is_taught[:, None], weights / lengths[:, None], words),
        neutral=embedded.neutral,
        odds=Odds(is_taught, lengths * is_taught, biases * is_taught),
    )


def _decisions(classes: Classes, rows: Floats) -> tuple[Ids, NDArray[np.bool_]]:
    """The best label of each row, and whether it was decided for."""
    nobody = [[None]] * len(rows)
    results = list(decide(classes, Rule("best-or-none"), [[b""]] * len(rows), rows, nobody))
    best = np.array([int(result.labels[0].label) for result in results])
    return best, np.array([bool(result.assigned) for result in results])


def say_labels(sets: list[Embedded], seeds: int) -> None:
    """One table a set: top-1 of words, of photos, and of both."""
    print("\ntop-1 in percent, k photos a label (spread over the seeds)")
    for embedded in sets:
        runs = {k: [labels_taught(embedded, k, seed) for seed in range(seeds)] for k in EXAMPLES}
        found = {
            k: 100 * np.array([run for run in rows if run is not None])
            for k, rows in runs.items()
            if rows[0] is not None
        }
        print(f"\n| {embedded.name} | {' | '.join(f'k = {k}' for k in found)} |")
        print(f"|---|{'---|' * len(found)}")
        for i, name in enumerate(LABELLING):
            cells = (f"{x[:, i].mean():.1f} ± {x[:, i].std():.1f}" for x in found.values())
            print(f"| {name} | {' | '.join(cells)} |")
        promised = (f"{x[:, -1].mean():.1f}" for x in found.values())
        print(f"| (promised by leave-one-out) | {' | '.join(promised)} |")


def embed(data: Path, name: str, towers: Towers, cache: Path) -> Embedded:
    """A val-* set, evenly thinned to MOST_PHOTOS; embeddings are kept in the cache folder."""
    with np.load(data / f"val-{name}.npz") as packed:
        blob, offset, labels, names = (packed[key] for key in ("blob", "offset", "label", "names"))
    step = -(-len(labels) // MOST_PHOTOS)
    numbers = np.arange(0, len(labels), step)
    kept = cache / f"{towers.info.fingerprint[:16]}-{name}.npy"
    if not kept.exists():
        rows = []
        for start in range(0, len(numbers), 64):
            some = numbers[start : start + 64]
            photos = [Image.open(io.BytesIO(blob[offset[i] : offset[i + 1]])) for i in some]
            pixels = [to_pixels(photo.convert("RGB"), towers.info.preprocess) for photo in photos]
            rows.append(towers.image.encode_image(np.stack(pixels)))
        cache.mkdir(parents=True, exist_ok=True)
        np.save(kept, np.concatenate(rows))
    words = _words(data, name)
    templates = template_set()
    means = [
        towers.text.encode_text(templates.prompts(words.get(str(label), str(label)))).mean(axis=0)
        for label in names
    ]
    return Embedded(
        name,
        towers.info,
        neutral_embedding(towers),
        np.load(kept),
        labels[numbers].astype(np.int64),
        unit(np.stack(means)),
    )


def _words(data: Path, name: str) -> dict[str, str]:
    """The first English name of every label of a set."""
    with (data / "labels.tsv").open(encoding="utf-8") as lines:
        rows = csv.DictReader(lines, delimiter="\t")
        return {r["label"]: r["names"].split(",")[0].strip() for r in rows if r["set"] == name}


if __name__ == "__main__":
    main()
