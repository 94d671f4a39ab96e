"""When a candidate's vectors count as the same, what is remembered, and what is chosen."""

import numpy as np
import pytest

from clipsearch.encoders.fake import FakeImageEncoder
from clipsearch.encoders.measuring import (
    Measured,
    agrees,
    choose,
    keeps_neighbours,
    read_measured,
    shared_neighbours,
    try_out,
    write_measured,
)

ONNX = Measured("onnxruntime", 0.0, 10.0)
SLOW_START = Measured("torch cuda bfloat16", 6.0, 40.0)
WRONG = Measured("openvino int8", 0.0, 1000.0, agreed=False)


def test_few_photos_are_done_before_a_slow_start():
    # 10 a second at once, or 40 a second after 6 s: both take 8 s for 80 photos.
    assert choose([ONNX, SLOW_START], 79) == ONNX
    assert choose([ONNX, SLOW_START], 81) == SLOW_START


def test_for_endless_photos_only_the_rate_counts():
    assert choose([ONNX, SLOW_START], float("inf")) == SLOW_START


@pytest.mark.parametrize("photos", [1, float("inf")])
def test_what_gave_other_vectors_is_never_chosen(photos):
    assert choose([ONNX, WRONG], photos) == ONNX


def test_measurements_are_kept_for_each_machine(tmp_path):
    write_measured(tmp_path, "here", [ONNX, WRONG])
    write_measured(tmp_path, "there", [ONNX])
    assert read_measured(tmp_path, "here") == [ONNX, WRONG]
    assert read_measured(tmp_path, "there") == [ONNX]
    assert read_measured(tmp_path, "elsewhere") == []


def test_a_damaged_file_of_measurements_means_measuring_again(tmp_path):
    for text in ("{", "[]", '{"here": [{"name": "x"}]}', '{"here": 3}'):
        (tmp_path / "bulk.json").write_text(text)
        assert read_measured(tmp_path, "here") == []


def test_one_wrong_vector_among_many_is_a_disagreement():
    rows = np.eye(5, dtype=np.float32)
    assert agrees(rows, rows)
    turned = rows.copy()
    turned[3] = (0, 0, 0, 0.99, (1 - 0.99**2) ** 0.5)
    assert not agrees(rows, turned)


def test_all_vectors_slightly_wrong_are_a_disagreement():
    rows = np.tile(np.array([1, 0], np.float32), (5, 1))
    turned = np.tile(np.array([0.997, (1 - 0.997**2) ** 0.5], np.float32), (5, 1))
    assert not agrees(rows, turned)


def test_vectors_that_are_no_numbers_disagree():
    rows = np.eye(5, dtype=np.float32)
    assert not agrees(rows, np.where(rows > 0, np.nan, rows))


def at_angles(*degrees):
    """Unit rows in the plane."""
    turns = np.radians(degrees)
    return np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)


def test_shared_neighbours_by_hand():
    exact = at_angles(0, 10, 25, 60)
    assert shared_neighbours(exact, exact, 1) == 1.0
    # The second photo, at 19 degrees now, is nearer to the third than to the first: one of four.
    assert shared_neighbours(exact, at_angles(0, 19, 25, 60), 1) == 0.75


def test_close_vectors_with_other_neighbours_are_found_out():
    # Photos half a degree apart: turning each by up to 2 degrees keeps a cosine of 0.9993.
    exact = at_angles(*np.arange(30) * 0.5)
    turned = at_angles(*(np.arange(30) * 0.5 + np.where(np.arange(30) % 2, 2.0, -2.0)))
    assert agrees(exact, turned)
    assert not keeps_neighbours(exact, turned)
    assert keeps_neighbours(exact, exact)


def test_the_best_part_is_the_rate(monkeypatch):
    class Slower(FakeImageEncoder):
        """Takes 4 s for the first part, then 2 s."""

        def __init__(self, clock):
            self.clock, self.took = clock, 4.0

        def encode_image(self, pixels):
            self.clock[0] += self.took
            self.took = 2.0
            return super().encode_image(pixels)

    clock = [0.0]
    monkeypatch.setattr("clipsearch.encoders.measuring.time.perf_counter", lambda: clock[0])
    photos = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), np.uint8)
    vectors, rate = try_out(Slower(clock), photos)
    assert rate == 4.0
    assert np.array_equal(vectors, FakeImageEncoder().encode_image(photos))
