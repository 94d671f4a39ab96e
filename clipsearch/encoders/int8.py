"""An image tower with its linear layers in int8, calibrated on a few real photos.

Weights get one scale per output, activations one range per layer (eight bits between the lowest and
highest value seen). A few channels of a trained transformer are far larger than the rest and would
take all of that range: such a channel is divided by a factor and its weights multiplied by the same
(SmoothQuant, Xiao et al. 2023, https://arxiv.org/abs/2211.10438, equation 4 with strength 1/2).
Layers in which the rounding still makes too much noise stay in floating point. What is left is for
the guard in `measuring` to judge.

Only what was calibrated is stored (int8-*.npz); the weights are rounded again at each opening, in
half a second, from the file whose SHA-256 is known.
"""

import hashlib
import io
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from clipsearch.encoders.bulk_openvino import compile_tower, import_openvino
from clipsearch.types import Floats, Pixels

_STRENGTH = 0.5
# Of a layer's output, the share of its power that rounding may turn into noise.
MOST_NOISE = 0.002
_STEPS = 255
_WEIGHT_STEPS = 127
_TINY = 1e-8
_BATCH = 8


@dataclass(frozen=True, slots=True)
class LayerRange:
    """How one linear layer's input becomes eight bits: divided by `factors`, `low` to `high`."""

    factors: Floats  # (inputs,)
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class _Seen:
    """What calibration saw of one layer: its inputs by channel, the power of its output."""

    low: Floats  # (inputs,)
    high: Floats  # (inputs,)
    power: Floats  # (inputs,), the mean square
    output_power: float  # summed over outputs


def calibrate(tower: Any, photos: Pixels) -> dict[int, LayerRange]:
    """Ranges of the layers that can be int8, by their number; (n, height, width, 3) uint8 photos.

    Leaves `tower`, an `openvino.Model`, as it was.

    Raises:
        RuntimeError: OpenVINO cannot run it.
    """
    ranges: dict[int, LayerRange] = {}
    layers = _linear_layers(tower)
    seen = _observe(tower, photos)
    for numbers in _with_one_input(layers):
        # Layers that read the same numbers round them the same way, so that it is done once.
        weights = np.concatenate([_weights(layers[number]) for number in numbers], axis=1)
        together = replace(
            seen[numbers[0]], output_power=sum(seen[number].output_power for number in numbers)
        )
        plain = _layer_range(together, np.ones(len(weights), np.float32))
        smoothed = _layer_range(together, _factors(together, weights))
        noises = [(_noise(together, weights, each), each) for each in (plain, smoothed)]
        noise, best = min(noises, key=lambda pair: pair[0])
        if noise <= MOST_NOISE:
            ranges |= dict.fromkeys(numbers, best)
    return ranges


def quantise(tower: Any, ranges: Mapping[int, LayerRange]) -> Any:
    """A copy of `tower` whose layers named in `ranges` multiply int8 numbers.

    Raises:
        ValueError: the ranges are of another model.
    """
    copy = tower.clone()
    layers = _linear_layers(copy)
    for number, each in ranges.items():
        if number >= len(layers) or len(each.factors) != len(_weights(layers[number])):
            raise ValueError("the int8 ranges are of another model")
    for numbers in _with_one_input(layers):
        source = layers[numbers[0]].input_value(0)
        rounded: list[tuple[LayerRange, Any]] = []
        for number in numbers:
            if number not in ranges:
                continue
            known = (input_ for each, input_ in rounded if _are_equal(each, ranges[number]))
            eight_bits = next(known, None) or _eight_bits(source, ranges[number])
            rounded.append((ranges[number], eight_bits))
            _quantise_layer(layers[number], eight_bits, ranges[number].factors)
    copy.validate_nodes_and_infer_types()
    return copy


def write_ranges(folder: Path, ranges: Mapping[int, LayerRange]) -> str:
    """Store ranges in `folder`; returns the digest they are found by.

    Raises:
        OSError: the folder cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    for number, each in ranges.items():
        arrays[f"factors{number}"] = each.factors
        arrays[f"limits{number}"] = np.array([each.low, each.high], np.float64)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    path = _ranges_path(folder, digest)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
    return digest


def read_ranges(folder: Path, digest: str) -> dict[int, LayerRange]:
    """Ranges that were stored before.

    Raises:
        OSError: they are not there.
        ValueError: they are not what was stored.
    """
    data = _ranges_path(folder, digest).read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError("the int8 ranges are damaged")
    ranges: dict[int, LayerRange] = {}
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            for name in arrays.files:
                if name.startswith("limits"):
                    number = int(name.removeprefix("limits"))
                    low, high = arrays[name].tolist()
                    ranges[number] = LayerRange(arrays[f"factors{number}"], low, high)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError("the int8 ranges are damaged") from error
    return ranges


def _ranges_path(folder: Path, digest: str) -> Path:
    return folder / f"int8-{digest[:16]}.npz"


def _linear_layers(tower: Any) -> list[Any]:
    """The products with a constant matrix, in the order in which they are computed."""
    return [
        op
        for op in tower.get_ordered_ops()
        if op.get_type_name() == "MatMul"
        and op.input_value(1).get_node().get_type_name() == "Constant"
        and len(op.input_value(1).get_node().shape) == 2
        and not op.get_attributes()["transpose_a"]
    ]


def _with_one_input(layers: list[Any]) -> list[list[int]]:
    """The layers' numbers, those that read the same numbers together."""
    groups: dict[tuple[str, int], list[int]] = {}
    for number, layer in enumerate(layers):
        source = layer.input_value(0)
        # Unlike the others, the unique name is unique.
        groups.setdefault((source.get_node().get_name(), source.get_index()), []).append(number)
    return list(groups.values())


def _weights(layer: Any) -> Floats:
    """(inputs, outputs)."""
    weights: Floats = np.array(layer.input_value(1).get_node().data, np.float32)
    return weights.T if layer.get_attributes()["transpose_b"] else weights


def _observe(tower: Any, photos: Pixels) -> list[_Seen]:
    """Run the tower on photos and watch every linear layer."""
    ops = import_openvino().opset13
    watched = tower.clone()
    results = []
    for layer in _linear_layers(watched):
        source, product = layer.input_value(0), layer.output(0)
        rank = len(source.get_partial_shape())
        axes = ops.constant(np.arange(rank - 1, dtype=np.int64))  # all but the channels
        results += [
            ops.result(ops.reduce_min(source, axes)),
            ops.result(ops.reduce_max(source, axes)),
            ops.result(ops.reduce_mean(ops.multiply(source, source), axes)),
            ops.result(ops.reduce_mean(ops.multiply(product, product), axes)),
        ]
    watched.add_results(results)
    request = compile_tower(watched, "float32", 1).create_infer_request()
    batches = []
    for start in range(0, len(photos), _BATCH):
        request.infer({0: photos[start : start + _BATCH]})
        count = len(results)
        batches.append([request.get_output_tensor(1 + i).data.copy() for i in range(count)])
    return [
        _Seen(
            low=np.min([batch[i] for batch in batches], axis=0),
            high=np.max([batch[i + 1] for batch in batches], axis=0),
            power=np.mean([batch[i + 2] for batch in batches], axis=0),
            output_power=float(np.sum(np.mean([batch[i + 3] for batch in batches], axis=0))),
        )
        for i in range(0, len(results), 4)
    ]


def _factors(seen: _Seen, weights: Floats) -> Floats:
    """SmoothQuant's factors: large where a channel is large and its weights are small."""
    largest = np.maximum(np.maximum(-seen.low, seen.high), _TINY)  # (inputs,)
    strongest = np.maximum(np.abs(weights).max(axis=1), _TINY)  # (inputs,)
    factors = largest**_STRENGTH / strongest ** (1 - _STRENGTH)
    even: Floats = np.clip(factors / np.exp(np.log(factors).mean()), 1e-4, 1e4).astype(np.float32)
    return even


def _layer_range(seen: _Seen, factors: Floats) -> LayerRange:
    """The range of the divided input, with zero exactly on one of its steps."""
    low = min(0.0, float((seen.low / factors).min()))
    high = max(_TINY, float((seen.high / factors).max()))
    step = (high - low) / _STEPS
    zero = round(-low / step)
    return LayerRange(factors, -zero * step, (_STEPS - zero) * step)


def _noise(seen: _Seen, weights: Floats, each: LayerRange) -> float:
    """The power that rounding adds to a layer's output, as a share of the output's power.

    Rounding to steps of size d adds d^2 / 12 to each number, independently (the usual model).
    """
    scaled = weights * each.factors[:, None]  # (inputs, outputs)
    step = (each.high - each.low) / _STEPS
    from_inputs = step**2 / 12 * float((scaled**2).sum())
    weight_steps = np.abs(scaled).max(axis=0) / _WEIGHT_STEPS  # (outputs,)
    power = float((seen.power / each.factors**2).sum())
    from_weights = float((weight_steps**2).sum()) / 12 * power
    return (from_inputs + from_weights) / max(seen.output_power, _TINY)


def _are_equal(one: LayerRange, other: LayerRange) -> bool:
    same_limits = (one.low, one.high) == (other.low, other.high)
    return same_limits and np.array_equal(one.factors, other.factors)


def _eight_bits(source: Any, each: LayerRange) -> Any:
    """`source` divided by the factors and rounded, as OpenVINO's low-precision passes know it."""
    ops = import_openvino().opset13
    if (each.factors != 1).any():
        source = ops.multiply(source, ops.constant(1 / each.factors)).output(0)
    shape = (1,) * len(source.get_partial_shape())
    low, high = (ops.constant(np.full(shape, limit, np.float32)) for limit in (each.low, each.high))
    return ops.fake_quantize(source, low, high, low, high, _STEPS + 1)


def _quantise_layer(layer: Any, eight_bits: Any, factors: Floats) -> None:
    ops = import_openvino().opset13
    scaled = _weights(layer)  # (inputs, outputs), a copy that is worked on in place
    scaled *= factors[:, None]
    largest = np.maximum(scaled.max(axis=0), -scaled.min(axis=0))  # (outputs,)
    steps = np.maximum(largest, _TINY) / _WEIGHT_STEPS
    scaled /= steps
    rounded = np.rint(scaled, out=scaled).astype(np.int8)
    # As OpenVINO's low-precision passes know it, too.
    if layer.get_attributes()["transpose_b"]:
        rounded, steps = np.ascontiguousarray(rounded.T), steps[:, None]
    whole = ops.convert(ops.constant(rounded), np.float32)
    weights = ops.multiply(whole, ops.constant(steps.astype(np.float32)))
    layer.input(0).replace_source_output(eight_bits.output(0))
    layer.input(1).replace_source_output(weights.output(0))
