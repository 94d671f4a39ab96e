"""Which image tower to use for many photos: measured here on the first of them, then remembered.

Candidates are the exported tower in onnxruntime (float32, the exact one) and in OpenVINO, torch on
a GPU, and torch on the processor only where there is no OpenVINO: importing it and loading the
model takes ten seconds. The number of photos decides together with the measured rates, and a
candidate only counts when its vectors agree with the exact tower's on photos of this very run.

int8 is tried last and judged harder, because its vectors are stored beside exact ones: on photos
that it was not calibrated on, and by their neighbours. Each later run checks it again on its first
photos, which may be quite unlike those it was calibrated on.
"""

import copy
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipsearch.devices import working_device
from clipsearch.encoders import int8
from clipsearch.encoders.bulk_openvino import OpenVinoImageEncoder, capabilities, read_tower
from clipsearch.encoders.exported import ExportedImageEncoder
from clipsearch.encoders.machine import machine_key, may_have_gpu
from clipsearch.encoders.measuring import (
    WORTH_MEASURING_PHOTOS,
    Measured,
    agrees,
    choose,
    keeps_neighbours,
    read_measured,
    try_out,
    worth_measuring,
    write_measured,
)
from clipsearch.encoders.sessions import DATA_SUFFIX, IMAGE_GRAPH
from clipsearch.encoders.store import WEIGHTS_DIR, StoredModel, check_contents
from clipsearch.encoders.trial import Samples, Trial
from clipsearch.types import ImageEncoder

if TYPE_CHECKING:
    from clipsearch.encoders.towers_torch import ImageTower

EXPORTED = "onnxruntime"
INT8 = "openvino int8"

# Photos encoded exactly before other candidates are opened, to calibrate int8, and to judge it.
SAMPLES = 16
CHECKED = 32
# Photos on which a later run makes sure that int8 suits them too.
CHECKED_AGAIN = 8

# int8 saves at least this share of the time; calibrating and judging it has to be repaid by that.
_INT8_SAVES = 0.3
_INT8_OPENS_S = 2.0


@dataclass(frozen=True, slots=True)
class _Installed:
    """An installed model and the machine it runs on."""

    folder: Path
    stored: StoredModel
    machine: str

    def known(self) -> list[Measured]:
        return read_measured(self.folder, self.machine)

    def remember(self, *found: Measured) -> list[Measured]:
        """Add to what is known, in place of what the same candidates were known for."""
        names = {_kind(each.name) for each in found}
        kept = [each for each in self.known() if _kind(each.name) not in names]
        write_measured(self.folder, self.machine, [*kept, *found])
        return [*kept, *found]


def bulk_encoder(folder: Path, stored: StoredModel, expected: int | None) -> ImageEncoder:
    """The image tower that is done soonest with `expected` photos (None: very many).

    Raises:
        DamageError: the installed files are damaged; their hashes are checked here, because what
            they produce is stored.
    """
    photos = float("inf") if expected is None else float(expected)
    model = _Installed(folder, stored, machine_key())
    with ThreadPoolExecutor(1) as pool:
        # Hashing takes as long as opening and needs nothing of it; no vector leaves before both.
        names = [IMAGE_GRAPH, IMAGE_GRAPH + DATA_SUFFIX]
        intact = pool.submit(check_contents, folder, stored, names)
        try:
            return _choose(model, photos)
        finally:
            intact.result()


def _choose(model: _Installed, photos: float) -> ImageEncoder:
    known = model.known()
    if any(each.agreed for each in known):
        return _open_best(model, known, photos)
    started = time.perf_counter()
    exact = _open_exact(model, bulk=True)
    if photos <= WORTH_MEASURING_PHOTOS:
        return exact
    start_s = time.perf_counter() - started
    return Trial(exact, SAMPLES, partial(_judge, model, exact, start_s, photos - SAMPLES))


def _judge(
    model: _Installed, exact: ImageEncoder, start_s: float, photos: float, samples: Samples
) -> ImageEncoder:
    """Measure every candidate in floating point, remember them, and take the fastest.

    All of them are open now, so only the rates count.
    """
    rate = len(samples.pixels) / samples.seconds
    if not worth_measuring(photos, 1 / rate):
        return exact
    encoders: dict[str, ImageEncoder] = {EXPORTED: exact}
    measured = [Measured(EXPORTED, start_s, rate)]
    try:
        for name, started, encoder in _candidates(model):
            opened_s = time.perf_counter() - started
            vectors, candidate_rate = try_out(encoder, samples.pixels)
            agreed = agrees(samples.vectors, vectors)
            measured.append(Measured(name, opened_s, candidate_rate, agreed))
            if agreed:
                encoders[name] = encoder
    except RuntimeError:
        # A GPU whose memory others hold, say; it may be free in the next run.
        return encoders[choose(measured, float("inf")).name]
    known = model.remember(*measured)
    best = choose(known, float("inf"))
    if not _int8_may_pay(known, best, photos):
        return encoders[best.name]
    return Trial(exact, CHECKED, partial(_judge_int8, model, encoders[best.name], samples))


def _int8_may_pay(known: list[Measured], best: Measured, photos: float) -> bool:
    """Whether int8 is untried and would repay its trial within so many photos."""
    if not best.name.startswith("openvino ") or any(each.name.startswith(INT8) for each in known):
        return False
    if "INT8" not in capabilities():
        return False
    exact_rate = next((each.rate for each in known if each.name == EXPORTED), best.rate)
    costs = _INT8_OPENS_S + (SAMPLES + CHECKED) / exact_rate
    return photos / best.rate * _INT8_SAVES > costs


def _judge_int8(
    model: _Installed, otherwise: ImageEncoder, calibration: Samples, others: Samples
) -> ImageEncoder:
    """Calibrate int8, judge it on other photos, remember the verdict, and take what is faster."""
    try:
        tower = read_tower(model.folder / IMAGE_GRAPH)
        ranges = int8.calibrate(tower, calibration.pixels)
        started = time.perf_counter()
        encoder = _quantised(model, tower, ranges)
        opened_s = time.perf_counter() - started
        vectors, rate = try_out(encoder, others.pixels)
    except RuntimeError:
        model.remember(Measured(INT8, 0.0, 1.0, agreed=False))
        return otherwise
    agreed = agrees(others.vectors, vectors) and keeps_neighbours(others.vectors, vectors)
    name = INT8
    if agreed:
        try:
            name = f"{INT8} {int8.write_ranges(model.folder, ranges)}"
        except OSError:
            # A folder for reading only: int8 for this run, and nothing to remember.
            return encoder
    # What a later run pays before it can start: opening, and the photos it checks.
    opened_s += CHECKED_AGAIN * others.seconds / len(others.pixels)
    known = model.remember(Measured(name, opened_s, rate, agreed))
    return encoder if choose(known, float("inf")).name == name else otherwise


def _open_best(model: _Installed, known: list[Measured], photos: float) -> ImageEncoder:
    """Open what finishes first by what is known; what cannot be opened any more is forgotten."""
    best = choose(known, photos)
    if best.name == EXPORTED:
        return _open_exact(model, bulk=True)
    if best.name.startswith(INT8):
        return _open_int8(model, best, photos)
    encoder = _open(model, best.name)
    if encoder is None:
        return _open_best(model, [each for each in known if each != best], photos)
    if not _int8_may_pay(known, best, photos):
        return encoder
    return Trial(
        _open_exact(model, bulk=True),
        SAMPLES + CHECKED,
        lambda samples: _judge_int8(model, encoder, *_split(samples)),
    )


def _split(samples: Samples) -> tuple[Samples, Samples]:
    """The photos to calibrate with, and the others."""
    share = samples.seconds / len(samples.pixels)
    first, rest = slice(None, SAMPLES), slice(SAMPLES, None)
    return (
        Samples(samples.pixels[first], samples.vectors[first], share * SAMPLES),
        Samples(
            samples.pixels[rest],
            samples.vectors[rest],
            share * (len(samples.pixels) - SAMPLES),
        ),
    )


def _open_int8(model: _Installed, known: Measured, photos: float) -> ImageEncoder:
    """int8 as it was judged before, judged again on the first photos of this run."""
    others = [each for each in model.known() if each.name != known.name]
    try:
        ranges = int8.read_ranges(model.folder, known.name.rpartition(" ")[2])
    except (OSError, ValueError):
        return _open_best(model, others, photos)
    # Compiled while the exact tower encodes the first photos: each keeps one core busy.
    pool = ThreadPoolExecutor(1)
    opening = pool.submit(lambda: _quantised(model, read_tower(model.folder / IMAGE_GRAPH), ranges))
    pool.shutdown(wait=False)

    def judge(samples: Samples) -> ImageEncoder:
        try:
            encoder = opening.result()
            vectors = encoder.encode_image(samples.pixels)
        except (ImportError, OSError, RuntimeError, ValueError):
            return _open_best(model, others, photos)
        if agrees(samples.vectors, vectors):
            return encoder
        model.remember(replace(known, agreed=False))
        return _open_best(model, [*others, replace(known, agreed=False)], photos)

    return Trial(_open_exact(model, bulk=False), CHECKED_AGAIN, judge)


def _open(model: _Installed, name: str) -> ImageEncoder | None:
    """A candidate in floating point by its name; None when it cannot be opened here any more."""
    runtime, _, rest = name.partition(" ")
    try:
        if runtime == "openvino":
            tower = read_tower(model.folder / IMAGE_GRAPH)
            return OpenVinoImageEncoder(model.stored.info, tower, rest)
        from clipsearch.encoders.bulk_torch import TorchImageEncoder

        device, _, precision = rest.partition(" ")
        if device != "cpu" and working_device(device) != device:
            return None
        return TorchImageEncoder(model.stored.info, _load_tower(model), device, precision)
    except (ImportError, RuntimeError):
        return None


def _open_exact(model: _Installed, *, bulk: bool) -> ImageEncoder:
    return ExportedImageEncoder(model.stored.info, model.folder / IMAGE_GRAPH, bulk=bulk)


def _candidates(model: _Installed) -> Iterator[tuple[str, float, ImageEncoder]]:
    """Each candidate beside the exact one: its name, when its opening began, and itself."""
    has_openvino = False
    for precision in _openvino_precisions():
        started = time.perf_counter()
        name = f"openvino {precision}"
        encoder = _open(model, name)
        if encoder is not None:
            has_openvino = True
            yield name, started, encoder
    if has_openvino and not may_have_gpu():
        return
    started = time.perf_counter()
    from clipsearch.encoders.bulk_torch import TorchImageEncoder, torch_candidates

    wanted = [each for each in torch_candidates() if each[0] != "cpu" or not has_openvino]
    if not wanted:
        return
    tower = _load_tower(model)
    for device, precision in wanted:
        # Every one gets its own copy of the weights.
        encoder = TorchImageEncoder(model.stored.info, copy.deepcopy(tower), device, precision)
        yield f"torch {device} {precision}", started, encoder


def _openvino_precisions() -> tuple[str, ...]:
    """What OpenVINO computes here in floating point; bfloat16 only where the processor can."""
    try:
        return ("bfloat16",) if "BF16" in capabilities() else ("float32",)
    except ImportError:
        return ()


def _quantised(
    model: _Installed, tower: Any, ranges: Mapping[int, int8.LayerRange]
) -> OpenVinoImageEncoder:
    (precision,) = _openvino_precisions()  # of the layers that are not int8
    return OpenVinoImageEncoder(model.stored.info, int8.quantise(tower, ranges), precision)


def _load_tower(model: _Installed) -> "ImageTower":
    from clipsearch.encoders.bulk_torch import load_image_tower

    names = [name for name in model.stored.files if name.startswith(f"{WEIGHTS_DIR}/")]
    check_contents(model.folder, model.stored, names)
    return load_image_tower(model.folder / WEIGHTS_DIR)


def _kind(name: str) -> str:
    """A candidate's name without what it was calibrated to."""
    return INT8 if name.startswith(INT8) else name
