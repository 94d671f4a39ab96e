"""What was measured of each candidate on a machine, and when two towers give the same vectors."""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from clipsearch.types import Floats, ImageEncoder, Pixels

BULK_JSON = "bulk.json"

# Between a candidate's vectors and the exact ones, at worst and in the median.
LEAST_COSINE = 0.995
LEAST_MEDIAN_COSINE = 0.999
# Of each photo's nearest ones by exact vectors, the share that must be there still when its own
# vector is the candidate's and theirs are exact: both kinds live together in one library.
NEIGHBOURS = 10
LEAST_SHARED_NEIGHBOURS = 0.9

# Opening and judging a candidate takes about so long: below it, nobody gains.
WORTH_MEASURING_S = 5.0
WORTH_MEASURING_PHOTOS = 256

# Photos encoded at a time while measuring.
_PART = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """One candidate on one machine: `name`, seconds until it can start, photos per second.

    One that gave other vectors is remembered too, with `agreed` false, so that it is not tried in
    every run.
    """

    name: str
    start_s: float
    rate: float
    agreed: bool = True

    def seconds(self, photos: float) -> float:
        """How long that many photos take."""
        return self.start_s + photos / self.rate


def choose(measured: list[Measured], photos: float) -> Measured:
    """The candidate that finishes first; with endless photos, the one with the highest rate.

    Raises:
        ValueError: none of them agreed.
    """
    usable = [each for each in measured if each.agreed]
    if photos == float("inf"):
        return max(usable, key=lambda each: each.rate)
    return min(usable, key=lambda each: each.seconds(photos))


def worth_measuring(photos: float, seconds_a_photo: float) -> bool:
    """Whether so many photos can repay opening and trying every candidate."""
    enough_work = photos * seconds_a_photo > WORTH_MEASURING_S
    return enough_work and photos > WORTH_MEASURING_PHOTOS


def try_out(encoder: ImageEncoder, photos: Pixels) -> tuple[Floats, float]:
    """The vectors of some photos, and the photos per second of its best part.

    The best, because the first part of a tower's life, and other work on the machine, only ever
    make a part slower.
    """
    parts, rates = [], []
    for start in range(0, len(photos), _PART):
        part = photos[start : start + _PART]
        started = time.perf_counter()
        parts.append(encoder.encode_image(part))
        rates.append(len(part) / (time.perf_counter() - started))
    return np.concatenate(parts), max(rates)


def agrees(wanted: Floats, got: Floats) -> bool:
    """Whether two towers' unit rows are the same up to what lower precision may change."""
    cosines = (wanted * got).sum(axis=1)  # (n,)
    # Written so that a NaN disagrees.
    return bool(cosines.min() >= LEAST_COSINE and np.median(cosines) >= LEAST_MEDIAN_COSINE)


def keeps_neighbours(wanted: Floats, got: Floats) -> bool:
    """Whether the nearest photos of each photo stay the same, as far as so few can tell."""
    count = min(NEIGHBOURS, len(wanted) // 3)
    return shared_neighbours(wanted, got, count) >= LEAST_SHARED_NEIGHBOURS


def shared_neighbours(wanted: Floats, got: Floats, count: int) -> float:
    """The mean share of each row's `count` nearest rows of `wanted` that `got`'s row finds too."""
    exact, found = (_nearest(queries, wanted, count) for queries in (wanted, got))
    shared = [len(set(one) & set(other)) for one, other in zip(exact, found, strict=True)]
    return sum(shared) / (count * len(wanted))


def _nearest(queries: Floats, rows: Floats, count: int) -> list[list[int]]:
    scores = queries @ rows.T  # (n, n)
    np.fill_diagonal(scores, -np.inf)
    nearest: list[list[int]] = np.argsort(-scores, axis=1)[:, :count].tolist()
    return nearest


def read_measured(folder: Path, machine: str) -> list[Measured]:
    """What was measured on that machine before; [] when nothing was, or it cannot be read."""
    try:
        value = json.loads((folder / BULK_JSON).read_text(encoding="utf-8"))
        return [Measured(**each) for each in value[machine]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def write_measured(folder: Path, machine: str, measured: list[Measured]) -> None:
    """Remember measurements. A folder that cannot be written only means measuring again."""
    path = folder / BULK_JSON
    try:
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        known[machine] = [asdict(each) for each in measured]
        temporary = path.with_name(f"{BULK_JSON}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(known, indent=1), encoding="utf-8")
        temporary.replace(path)
    except (OSError, ValueError, TypeError):
        return
