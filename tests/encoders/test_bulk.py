"""Which image tower encodes many photos: tried on the first of them, remembered, checked again."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from clipsearch.encoders import bulk, int8, load_bulk_encoder, load_towers
from clipsearch.encoders.bulk import CHECKED, CHECKED_AGAIN, INT8, SAMPLES
from clipsearch.encoders.exported import ExportedImageEncoder
from clipsearch.encoders.measuring import worth_measuring
from tests.encoders.tiny import InstalledTiny

needs_openvino = pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", "import importlib.util as u, sys; "
                    "sys.exit(u.find_spec('openvino') is None)"], check=False).returncode != 0,
    reason="OpenVINO is not installed",
)  # fmt: skip
PHOTOS = np.random.default_rng(5).integers(0, 256, (SAMPLES + CHECKED + 8, 32, 32, 3), np.uint8)


@pytest.fixture
def own(installed, tmp_path):
    """A copy of the tiny model that a test may write in."""
    shutil.copytree(installed.models, tmp_path / "models")
    return InstalledTiny(installed.info, tmp_path / "models", installed.origin)


@pytest.fixture
def openvino_is_fastest(monkeypatch):
    """Whatever is faster with so tiny a model on this machine: int8, then bfloat16 or float32."""

    def choose(measured, photos):
        usable = [each for each in measured if each.agreed]
        return max(usable, key=lambda each: (each.name.startswith(INT8), each.name))

    monkeypatch.setattr(bulk, "choose", choose)


@pytest.fixture
def lenient(monkeypatch):
    """The tiny model's vectors are coarse: here it matters what is done when int8 agrees."""
    monkeypatch.setattr(bulk, "agrees", lambda wanted, got: True)
    monkeypatch.setattr(bulk, "keeps_neighbours", lambda wanted, got: True)


def run(own, expected=None):
    """Encode all photos as an index run does: in batches."""
    encoder = load_bulk_encoder(own.info, own.models, expected)
    parts = np.split(PHOTOS, range(8, len(PHOTOS), 8))
    return np.concatenate([encoder.encode_image(part) for part in parts])


def exact(own):
    return load_towers(own.info, own.models).image.encode_image(PHOTOS)


def known(own):
    (candidates,) = json.loads((own.folder / "bulk.json").read_text()).values()
    return {each["name"].partition(" int8")[0] + " int8" * ("int8" in each["name"]): each
            for each in candidates}  # fmt: skip


def without_openvino(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)


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


def test_few_photos_are_encoded_by_the_exported_tower_at_once(own):
    assert isinstance(load_bulk_encoder(own.info, own.models, expected=10), ExportedImageEncoder)
    assert not (own.folder / "bulk.json").exists()


@needs_openvino
def test_many_photos_are_measured_on_the_first_of_them(own):
    vectors, wanted = run(own), exact(own)
    assert np.allclose(vectors[:SAMPLES], wanted[:SAMPLES], atol=1e-5)
    assert (vectors * wanted).sum(axis=1).min() >= 0.995
    names = list(known(own))
    assert names[0] == "onnxruntime"
    assert names[1].startswith("openvino ")
    assert not any(name.startswith("torch cpu") for name in names)


def test_a_candidate_that_fails_costs_nothing_and_is_tried_again(own, monkeypatch):
    class Broken:
        def encode_image(self, pixels):
            raise RuntimeError("out of memory")

    monkeypatch.setattr(bulk, "_candidates", lambda _: iter([("torch cuda float32", 0, Broken())]))
    assert np.allclose(run(own), exact(own), atol=1e-5)
    assert not (own.folder / "bulk.json").exists()


@needs_openvino
def test_int8_that_fails_in_a_later_run_costs_nothing(
    own, openvino_is_fastest, lenient, monkeypatch
):
    run(own)
    assert known(own)["openvino int8"]["agreed"]
    opened = bulk._quantised

    def failing(*arguments):
        encoder = opened(*arguments)
        monkeypatch.setattr(encoder, "encode_image", lambda _: (_ for _ in ()).throw(RuntimeError))
        return encoder

    monkeypatch.setattr(bulk, "_quantised", failing)
    assert (run(own) * exact(own)).sum(axis=1).min() >= 0.995


@needs_openvino
def test_int8_that_agrees_is_kept_and_checked_again_in_the_next_run(
    own, openvino_is_fastest, lenient, monkeypatch
):
    run(own)
    assert known(own)["openvino int8"]["agreed"]
    assert len(list(own.folder.glob("int8-*.npz"))) == 1

    tried = []
    monkeypatch.setattr(int8, "calibrate", lambda *_: tried.append("again"))
    monkeypatch.setattr(bulk, "agrees", lambda wanted, got: tried.append(len(wanted)) or True)
    vectors = run(own)
    assert tried == [CHECKED_AGAIN]
    wanted = exact(own)
    assert np.allclose(vectors[:CHECKED_AGAIN], wanted[:CHECKED_AGAIN], atol=1e-5)
    assert not np.allclose(vectors[CHECKED_AGAIN:], wanted[CHECKED_AGAIN:], atol=1e-5)


@needs_openvino
def test_int8_with_other_vectors_is_rejected_once_and_for_all(
    own, openvino_is_fastest, monkeypatch
):
    true_calibrate = int8.calibrate

    def clipping(tower, photos):
        """Ranges as of a black photo: everything brighter is cut off."""
        ranges = true_calibrate(tower, photos)
        return {n: int8.LayerRange(r.factors, r.low / 20, r.high / 20) for n, r in ranges.items()}

    monkeypatch.setattr(int8, "MOST_NOISE", 1.0)
    monkeypatch.setattr(int8, "calibrate", clipping)
    vectors, wanted = run(own), exact(own)
    assert not known(own)["openvino int8"]["agreed"]
    assert not list(own.folder.glob("int8-*.npz"))
    assert (vectors * wanted).sum(axis=1).min() >= 0.995

    monkeypatch.setattr(int8, "calibrate", lambda *_: pytest.fail("tried again"))
    assert (run(own) * wanted).sum(axis=1).min() >= 0.995


@needs_openvino
def test_int8_that_does_not_suit_the_photos_of_a_later_run_is_dropped(
    own, openvino_is_fastest, monkeypatch
):
    with monkeypatch.context() as lenient:
        lenient.setattr(int8, "MOST_NOISE", 1.0)
        lenient.setattr(bulk, "agrees", lambda wanted, got: True)
        lenient.setattr(bulk, "keeps_neighbours", lambda wanted, got: True)
        run(own)
    record = json.loads((own.folder / "bulk.json").read_text())
    (candidates,) = record.values()
    digest = next(e["name"].split()[-1] for e in candidates if e["name"].startswith(INT8))
    ranges = int8.read_ranges(own.folder, digest)
    narrow = {n: int8.LayerRange(r.factors, r.low / 20, r.high / 20) for n, r in ranges.items()}
    narrow_digest = int8.write_ranges(own.folder, narrow)
    for each in candidates:
        if each["name"].startswith(INT8):
            each.update(name=f"{INT8} {narrow_digest}", rate=1e6, start_s=0.0)
    (own.folder / "bulk.json").write_text(json.dumps(record))

    assert (run(own) * exact(own)).sum(axis=1).min() >= 0.995
    assert not known(own)["openvino int8"]["agreed"]


@needs_openvino
def test_damaged_int8_ranges_are_not_used(own, openvino_is_fastest, lenient):
    run(own)
    (path,) = own.folder.glob("int8-*.npz")
    path.write_bytes(b"not an archive")
    assert (run(own) * exact(own)).sum(axis=1).min() >= 0.995


@pytest.mark.real
def test_without_openvino_torch_is_the_candidate(own, monkeypatch):
    without_openvino(monkeypatch)
    vectors = run(own)
    assert list(known(own))[:2] == ["onnxruntime", "torch cpu float32"]
    assert (vectors * exact(own)).sum(axis=1).min() >= 0.995
    assert (run(own) * exact(own)).sum(axis=1).min() >= 0.995  # as remembered


@needs_openvino
def test_openvino_that_went_away_costs_speed_only(own, openvino_is_fastest, lenient, monkeypatch):
    run(own)
    without_openvino(monkeypatch)
    assert np.allclose(run(own), exact(own), atol=1e-5)


@needs_openvino
def test_opening_openvino_calls_nobody_and_writes_nothing(own, tmp_path):
    """Its own import sends a message to its makers and keeps an identity in the home folder."""
    home = tmp_path / "home"
    home.mkdir()
    program = f"""
import socket, sys, time
def refuse(*arguments, **options):
    sys.stdout.write("a connection\\n")
    raise OSError("no network here")
socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = refuse
socket.getaddrinfo = socket.gethostbyname = socket.create_connection = refuse
from pathlib import Path
from clipsearch.encoders.bulk_openvino import capabilities, read_tower
capabilities(), read_tower(Path({str(own.folder / "image.onnx")!r}))
time.sleep(0.5)  # a message would come from another thread
loaded = [name for name in sys.modules if "telemetry" in name]
sys.stdout.write(f"loaded {{loaded}}\\n")
"""
    environment = {"HOME": str(home), "USERPROFILE": str(home), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.stdout == "loaded []\n", done.stderr
    assert not list(home.iterdir())
