"""Which image tower to use for many photos: measured here once, then remembered.

Candidates are the exported tower (onnxruntime, starts in a fraction of a second) and torch on this
machine's devices (seconds to import and load, then often faster). For few photos the exported
tower wins by starting sooner, so the number of photos decides together with the measured rates. A
candidate only counts when its vectors agree with the exported tower's.
"""

import copy
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clipsearch.encoders.exported import ExportedImageEncoder
from clipsearch.encoders.exporting import sample_photos
from clipsearch.encoders.machine import machine_key
from clipsearch.encoders.sessions import DATA_SUFFIX, IMAGE_GRAPH, available_cores
from clipsearch.encoders.store import WEIGHTS_DIR, StoredModel, check_contents
from clipsearch.types import Floats, ImageEncoder, Pixels

if TYPE_CHECKING:
    from clipsearch.encoders.towers_torch import ImageTower

BULK_JSON = "bulk.json"
EXPORTED = "onnxruntime"

# Between a candidate's vectors and the exported tower's, at worst and in the median.
LEAST_COSINE = 0.995
LEAST_MEDIAN_COSINE = 0.999

# Starting torch and loading the model takes about so long, and measuring encodes a hundred photos
# or so: below either, nobody gains, however slow the machine is just now.
_WORTH_MEASURING_S = 10.0
_WORTH_MEASURING_PHOTOS = 256
_BUDGET_S = 2.0
_ROUNDS = 4
_SAMPLES = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """One candidate on one machine: `name`, seconds until it can start, photos per second."""

    name: str
    start_s: float
    rate: float

    def seconds(self, photos: float) -> float:
        """How long that many photos take."""
        return self.start_s + photos / self.rate


def bulk_encoder(folder: Path, stored: StoredModel, expected: int | None) -> ImageEncoder:
    """The image tower that is done soonest with `expected` photos (None: very many).

    Raises:
        DamageError: the installed files are damaged; their hashes are checked here, because what
            they produce is stored.
    """
    photos = float("inf") if expected is None else float(expected)
    known = read_measured(folder, machine_key())
    if known:
        return _open(folder, stored, choose(known, photos).name)
    exported = _open_exported(folder, stored)
    samples = sample_photos(stored.info.preprocess.size, _SAMPLES)
    vectors = exported.encode_image(samples)
    if not worth_measuring(photos, _seconds(exported, samples) / len(samples)):
        return exported
    started = time.perf_counter()
    tower = _load_tower(folder, stored)
    start_s = time.perf_counter() - started
    candidates: dict[str, ImageEncoder] = {EXPORTED: exported}
    for name, encoder in _torch_encoders(stored, tower):
        if agrees(vectors, encoder.encode_image(samples)):
            candidates[name] = encoder
    rates = measure(candidates, samples)
    measured = [
        Measured(name, 0.0 if name == EXPORTED else start_s, rate) for name, rate in rates.items()
    ]
    if not _is_busy():
        write_measured(folder, machine_key(), measured)
    # All of them are open now, so only the rate counts.
    return candidates[max(rates, key=lambda name: rates[name])]


def worth_measuring(photos: float, seconds_a_photo: float) -> bool:
    """Whether so many photos can repay starting torch and trying every candidate."""
    enough_work = photos * seconds_a_photo > _WORTH_MEASURING_S
    return enough_work and photos > _WORTH_MEASURING_PHOTOS


def measure(encoders: Mapping[str, ImageEncoder], samples: Pixels) -> dict[str, float]:
    """Photos per second of each encoder: the best of several rounds in which they take turns.

    The best, because other work on the machine only ever makes a batch slower.
    """
    best = dict.fromkeys(encoders, float("inf"))
    started = time.perf_counter()
    for round_ in range(_ROUNDS):
        if round_ and time.perf_counter() - started > _BUDGET_S:
            break
        for name, encoder in encoders.items():
            best[name] = min(best[name], _seconds(encoder, samples))
    return {name: len(samples) / seconds for name, seconds in best.items()}


def choose(measured: list[Measured], photos: float) -> Measured:
    """The candidate that finishes first; with endless photos, the one with the highest rate."""
    if photos == float("inf"):
        return max(measured, key=lambda each: each.rate)
    return min(measured, key=lambda each: each.seconds(photos))


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


def agrees(wanted: Floats, got: Floats) -> bool:
    """Whether two towers' unit rows are the same up to what lower precision may change."""
    cosines = (wanted * got).sum(axis=1)  # (n,)
    return bool(cosines.min() >= LEAST_COSINE and np.median(cosines) >= LEAST_MEDIAN_COSINE)


def _seconds(encoder: ImageEncoder, samples: Pixels) -> float:
    started = time.perf_counter()
    encoder.encode_image(samples)
    return time.perf_counter() - started


def _is_busy() -> bool:
    """Whether so much else runs that what was measured now says little about other days."""
    if not hasattr(os, "getloadavg"):
        return False
    return os.getloadavg()[0] > 1.5 * available_cores()


def _open(folder: Path, stored: StoredModel, name: str) -> ImageEncoder:
    if name == EXPORTED:
        return _open_exported(folder, stored)
    from clipsearch.encoders.bulk_torch import TorchImageEncoder

    _, device, precision = name.split()
    return TorchImageEncoder(stored.info, _load_tower(folder, stored), device, precision)


def _open_exported(folder: Path, stored: StoredModel) -> ImageEncoder:
    check_contents(folder, stored, [IMAGE_GRAPH, IMAGE_GRAPH + DATA_SUFFIX])
    return ExportedImageEncoder(stored.info, folder / IMAGE_GRAPH, bulk=True)


def _load_tower(folder: Path, stored: StoredModel) -> "ImageTower":
    from clipsearch.encoders.bulk_torch import load_image_tower

    check_contents(folder, stored, [name for name in stored.files if _is_weights(name)])
    return load_image_tower(folder / WEIGHTS_DIR)


def _is_weights(name: str) -> bool:
    return name.startswith(f"{WEIGHTS_DIR}/")


def _torch_encoders(stored: StoredModel, tower: "ImageTower") -> Iterator[tuple[str, ImageEncoder]]:
    """Each torch candidate with its name; every one gets its own copy of the weights."""
    from clipsearch.encoders.bulk_torch import TorchImageEncoder, torch_candidates

    for device, precision in torch_candidates():
        encoder = TorchImageEncoder(stored.info, copy.deepcopy(tower), device, precision)
        yield f"torch {device} {precision}", encoder
