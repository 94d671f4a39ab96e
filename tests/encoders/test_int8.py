"""int8 on towers of one or two layers, small enough to know what has to come out."""

import numpy as np
import pytest

openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")

from clipsearch.encoders import int8  # noqa: E402
from clipsearch.encoders.bulk_openvino import compile_tower  # noqa: E402

RNG = np.random.default_rng(3)
WEIGHTS = RNG.normal(size=(12, 6)).astype(np.float32)
PHOTOS = RNG.integers(0, 256, (32, 2, 2, 3), np.uint8)


def tower(scales, weights=WEIGHTS, *, transposed=False):
    """(n, 2, 2, 3) uint8 -> pixels centred and times `scales`, times `weights`."""
    ops = openvino.opset13
    pixels = ops.parameter([-1, 2, 2, 3], np.uint8)
    flat = ops.reshape(ops.convert(pixels, np.float32), np.array([-1, 12], np.int64), False)
    values = ops.multiply(ops.subtract(flat, np.float32(127.5)), scales.astype(np.float32))
    matrix = np.ascontiguousarray(weights.T) if transposed else weights
    product = ops.matmul(values, ops.constant(matrix.astype(np.float32)), False, transposed)
    return openvino.Model([ops.result(product)], [pixels])


def rows(model):
    return compile_tower(model, "float32", 1)(PHOTOS)[0]


def worst_cosine(model, ranges):
    wanted, got = rows(model), rows(int8.quantise(model, ranges))
    assert not np.array_equal(wanted, got)  # it did round
    norms = np.linalg.norm(wanted, axis=1) * np.linalg.norm(got, axis=1)
    return float(((wanted * got).sum(axis=1) / norms).min())


@pytest.mark.parametrize("transposed", [False, True])
def test_a_well_behaved_layer_becomes_int8(transposed):
    model = tower(np.ones(12), transposed=transposed)
    ranges = int8.calibrate(model, PHOTOS)
    assert list(ranges) == [0]
    assert worst_cosine(model, ranges) > 0.999


def outlier():
    """One channel a thousand times larger, its weights a thousand times smaller: same rows."""
    scales, weights = np.ones(12), WEIGHTS.copy()
    scales[4], weights[4] = 1000, WEIGHTS[4] / 1000
    return tower(scales, weights)


def test_a_planted_outlier_channel_is_evened_out():
    model = outlier()
    ranges = int8.calibrate(model, PHOTOS)
    assert list(ranges) == [0]
    assert worst_cosine(model, ranges) > 0.999
    # Without the factors the other eleven channels would be rounded away.
    naive = int8.LayerRange(np.ones(12, np.float32), -127500.0, 127500.0)
    assert worst_cosine(model, {0: naive}) < 0.9


def test_a_layer_that_cannot_be_evened_out_stays_in_floating_point(monkeypatch):
    monkeypatch.setattr("clipsearch.encoders.int8._factors", lambda seen, weights: np.ones(12))
    assert int8.calibrate(outlier(), PHOTOS) == {}


def test_zero_is_one_of_the_steps():
    seen = int8._Seen(np.array([-0.17]), np.array([9.0]), np.array([1.0]), 1.0)
    found = int8._layer_range(seen, np.ones(1))
    assert (found.low / ((found.high - found.low) / 255)) % 1 == pytest.approx(0, abs=1e-6)
    assert found.low <= -0.15
    assert found.high >= 8.9


def test_ranges_are_found_again_and_damage_is_refused(tmp_path):
    ranges = int8.calibrate(tower(np.ones(12)), PHOTOS)
    digest = int8.write_ranges(tmp_path, ranges)
    (again,) = int8.read_ranges(tmp_path, digest).values()
    assert (again.low, again.high) == (ranges[0].low, ranges[0].high)
    assert np.array_equal(again.factors, ranges[0].factors)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        int8.read_ranges(tmp_path, digest)


def test_ranges_of_another_model_are_refused():
    ranges = int8.calibrate(tower(np.ones(12)), PHOTOS)
    with pytest.raises(ValueError, match="another model"):
        int8.quantise(tower(np.ones(12)), {1: ranges[0]})


def two_readers():
    """Two layers that read the same numbers, their products beside each other."""
    ops = openvino.opset13
    model = tower(np.linspace(0.5, 2, 12))
    (first,) = int8._linear_layers(model)
    matrix = ops.constant(RNG.normal(size=(12, 4)).astype(np.float32))
    second = ops.matmul(first.input_value(0), matrix, False, False)
    both = ops.concat([first.output(0), second.output(0)], 1)
    return openvino.Model([ops.result(both)], model.get_parameters())


def test_layers_that_read_the_same_numbers_round_them_once():
    model = two_readers()
    ranges = int8.calibrate(model, PHOTOS)
    assert list(ranges) == [0, 1]
    assert worst_cosine(model, ranges) > 0.999
    ops = int8.quantise(model, ranges).get_ops()
    assert sum(op.get_type_name() == "FakeQuantize" for op in ops) == 1


def test_ranges_that_differ_are_rounded_apart():
    model = two_readers()
    ranges = int8.calibrate(model, PHOTOS)
    wider = int8.LayerRange(ranges[1].factors * 2, ranges[1].low, ranges[1].high)
    assert worst_cosine(model, {0: ranges[0], 1: wider}) > 0.999
    ops = int8.quantise(model, {0: ranges[0], 1: wider}).get_ops()
    assert sum(op.get_type_name() == "FakeQuantize" for op in ops) == 2
    assert worst_cosine(model, {1: ranges[1]}) > 0.999
