"""Which index a snapshot gets: the exact one while it is fast enough, else measured lists."""

import os
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from clipsearch.storage.half_floats import Halves, unit_rows
from clipsearch.storage.snapshot_file import IndexChoice, Trial
from clipsearch.storage.vectors import Snapshot
from clipsearch.types import Floats

NEAREST = 10
MOST_QUERIES = 512
_TIMED_QUERIES = 12
# Rows that the speed of comparing is measured with: more than fit into a processor's cache.
SPEED_ROWS = 65536
_BLOCK_ROWS = 8192


@dataclass(frozen=True, slots=True)
class IndexPolicy:
    """What decides on the index.

    An exact index is taken while comparing a query with every row takes at most `exact_ms` of
    processor time and the rows fill at most `memory_share` of the memory. Otherwise the fewest
    lists are searched that reach `recall` (recall@10 in the measurement; above what is promised,
    0.99, because other queries than those measured are asked). Lists are learned again when there
    are `growth` times as many rows as then. `lists` is their number, None for one that fits the
    rows.
    """

    exact_ms: float = 10.0
    memory_share: float = 0.25
    recall: float = 0.998
    growth: float = 2.0
    lists: int | None = None


def exact_is_fine(policy: IndexPolicy, rows: int, some: Halves) -> tuple[bool, str]:
    """Whether comparing every row is fast enough on this machine, and the reason for people.

    The speed is measured with `some` of the rows, at best SPEED_ROWS.
    """
    if not rows:
        return True, "there are no rows"
    share = 2.0 * rows * some.shape[1] / _memory()
    if share > policy.memory_share:
        return False, f"all rows would fill {share:.0%} of the memory"
    milliseconds = rows * _row_ms(some)
    if milliseconds > policy.exact_ms:
        return False, (
            f"comparing every row would take {milliseconds:.1f} ms, over {policy.exact_ms:.1f}"
        )
    return True, f"comparing every row takes about {milliseconds:.1f} ms"


def worth_learning_again(policy: IndexPolicy, choice: IndexChoice, rows: int) -> bool:
    """Whether the lists were learned from so few of now so many rows that they fit badly."""
    return choice.kind == "ivf" and rows > policy.growth * choice.trained_rows


def choose_probes(snapshot: Snapshot, policy: IndexPolicy, queries: Floats | None) -> IndexChoice:
    """Search more and more lists until recall@10 is what the policy wants; what was measured.

    `queries` (q, dim) are such as people ask; without, rows of the snapshot are taken for queries.
    """
    kind = "photos" if queries is None else "text"
    asked = some_rows(snapshot) if queries is None else queries[:MOST_QUERIES]
    edges = tenth_scores(snapshot, asked)
    trials = []
    for probes in _steps(snapshot.header.index.lists):
        trials.append(trial(snapshot, asked, edges, probes))
        if trials[-1].recall >= policy.recall:
            break
    reason = f"the fewest lists with a measured recall@10 of at least {policy.recall:.3f}"
    return replace(
        snapshot.header.index, probes=probes, queries=kind, reason=reason, trials=tuple(trials)
    )


def _steps(lists: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16 and so on up to all lists."""
    powers = [1 << power for power in range(lists.bit_length())]
    return sorted({min(each, lists) for each in [*powers, *(p + p // 2 for p in powers), lists]})


def trial(snapshot: Snapshot, queries: Floats, edges: Floats, probes: int) -> Trial:
    """Measure searching `probes` lists; `edges` (q,) are the scores of the 10th nearest rows."""
    k = min(NEAREST, snapshot.header.rows)
    _, scores = snapshot.search(queries, k, probes=probes)
    recall = float((scores >= edges[:, None]).mean())
    times = []
    for query in queries[:_TIMED_QUERIES]:
        start = time.perf_counter()
        snapshot.search(query[None], 2 * k, probes=probes)
        times.append(1000 * (time.perf_counter() - start))
    return Trial(snapshot.header.index.kind, probes, recall, float(np.median(times)))


def some_rows(snapshot: Snapshot) -> Floats:
    """Rows of the snapshot, evenly spread, each with as much noise, in place of queries.

    Words lie far from all photos: photos themselves as queries would ask for too few lists.
    """
    rows = snapshot.header.rows
    chosen = np.linspace(0, rows - 1, min(rows, MOST_QUERIES)).astype(np.int64)
    photos = unit_rows(snapshot.rows_at(chosen))  # (q, dim)
    noise = np.random.default_rng(rows).standard_normal(photos.shape, dtype=np.float32)
    mixed = photos + noise / np.linalg.norm(noise, axis=1, keepdims=True)
    queries: Floats = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    return queries


def tenth_scores(snapshot: Snapshot, queries: Floats) -> Floats:
    """(q,) the cosine of the 10th nearest row to each query, by comparing all, less a rounding."""
    rows = snapshot.header.rows
    k = min(NEAREST, rows)
    best = np.full((len(queries), k), -2, np.float32)
    for start in range(0, rows, _BLOCK_ROWS):
        positions = np.arange(start, min(start + _BLOCK_ROWS, rows))
        scores = queries @ unit_rows(snapshot.rows_at(positions)).T  # (q, block)
        both = np.concatenate([best, scores], axis=1)
        best = np.partition(both, both.shape[1] - k, axis=1)[:, -k:]
    edges: Floats = best.min(axis=1) - np.float32(1e-5)
    return edges


def _row_ms(halves: Halves) -> float:
    """What one row of one query takes, in milliseconds.

    Other work on the machine lengthens wall-clock time, and coarse clocks processor time: the
    smallest of several of both.
    """
    faiss = _faiss()
    half = faiss.ScalarQuantizer.QT_fp16
    index = faiss.IndexScalarQuantizer(halves.shape[1], half, faiss.METRIC_INNER_PRODUCT)
    index.add_sa_codes(np.ascontiguousarray(halves).view(np.uint8))
    query = unit_rows(halves[:1])
    times: list[float] = []
    for _ in range(8):
        wall, processor = time.perf_counter(), time.process_time()
        index.search(query, 2 * NEAREST)
        times += [time.perf_counter() - wall, time.process_time() - processor]
    return 1000 * min(times) / len(halves)


def _memory() -> float:
    """Bytes of memory of this machine; without a bound where that cannot be asked."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


def _faiss() -> Any:
    import faiss

    return faiss
