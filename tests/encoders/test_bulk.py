"""Which encoder is taken for how many photos."""

import numpy as np
import pytest

from clipsearch.encoders.bulk import (
    Measured,
    agrees,
    choose,
    measure,
    read_measured,
    worth_measuring,
    write_measured,
)
from clipsearch.encoders.fake import FakeImageEncoder

ONNX = Measured("onnxruntime", 0.0, 10.0)
TORCH = Measured("torch cpu bfloat16", 6.0, 40.0)


def test_few_photos_are_done_before_torch_has_started():
    # 10 a second at once, or 40 a second after 6 s: both take 8 s for 80 photos.
    assert choose([ONNX, TORCH], 79) == ONNX
    assert choose([ONNX, TORCH], 81) == TORCH


def test_for_endless_photos_only_the_rate_counts():
    assert choose([ONNX, TORCH], float("inf")) == TORCH


@pytest.mark.parametrize(
    ("photos", "seconds_a_photo", "worth"),
    [
        (1000, 0.1, True),
        (1000, 0.001, False),  # one second of work in all
        (20, 1.0, False),  # a busy machine: measuring would encode more than these twenty
        (float("inf"), 0.0001, True),
    ],
)
def test_measuring_has_to_be_repaid(photos, seconds_a_photo, worth):
    assert worth_measuring(photos, seconds_a_photo) == worth


def test_measurements_are_kept_for_each_machine(tmp_path):
    write_measured(tmp_path, "here", [ONNX, TORCH])
    write_measured(tmp_path, "there", [ONNX])
    assert read_measured(tmp_path, "here") == [ONNX, TORCH]
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


def test_the_best_round_is_the_rate(monkeypatch):
    class Slower(FakeImageEncoder):
        """Takes 4 s for the first batch, then 2 s."""

        def __init__(self, clock):
            self.clock, self.took = clock, 4.0

        def encode_image(self, pixels):
            self.clock[0] += self.took
            self.took = 2.0
            return super().encode_image(pixels)

    clock = [0.0]
    monkeypatch.setattr("clipsearch.encoders.bulk.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr("clipsearch.encoders.bulk._BUDGET_S", 100.0)
    photos = np.zeros((8, 32, 32, 3), np.uint8)
    assert measure({"a": Slower(clock)}, photos) == {"a": 4.0}
