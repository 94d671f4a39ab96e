"""G2: safetensors files that lie about themselves are refused from their header."""

import json
import shutil
import struct
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from clipsearch.encoders import install
from clipsearch.encoders.tensor_scan import check_tensors
from clipsearch.errors import ModelUnavailableError
from tests.encoders.tiny import silent

Header = dict[str, object]


def parts(data: bytes) -> tuple[Header, bytes]:
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def whole(header: Header | bytes, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def small(name: str = "w", dtype: str = "F32", shape: object = (2,), start: int = 0) -> Header:
    return {name: {"dtype": dtype, "shape": shape, "data_offsets": [start, start + 8]}}


GOOD = whole(small(), bytes(8))
HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "only a length": struct.pack("<Q", 10),
    "header of 2^63 bytes": struct.pack("<Q", 1 << 63) + bytes(100),
    "header longer than the file": struct.pack("<Q", 1000) + b"{}",
    "cut": GOOD[:-1],
    "more than its tensors": GOOD + b"x",
    "no JSON": whole(b"\x80\x04", bytes(8)),
    "a list": whole(b"[1, 2]", b""),
    "deep nesting": whole(b"[" * 100_000, b""),
    "overlapping": whole(small("a") | small("b", start=4), bytes(12)),
    "the same bytes twice": whole(small("a") | small("b"), bytes(8)),
    "a gap": whole(small("a") | small("b", start=12), bytes(20)),
    "backwards": whole({"w": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}, bytes(8)),
    "negative": whole({"w": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, bytes(8)),
    "huge shape": whole(small(shape=[1 << 40, 1 << 40]), bytes(8)),
    "shape that overflows": whole(small(shape=[1 << 32, 1 << 32]), bytes(8)),
    "many dimensions": whole(small(shape=[1] * 1000 + [2]), bytes(8)),
    "fractions": whole(small(shape=[2.0]), bytes(8)),
    "booleans": whole(small(shape=[True, 2]), bytes(8)),
    "another length than its shape": whole(small(shape=[3]), bytes(8)),
    "an unknown type": whole(small(dtype="PICKLE"), bytes(8)),
    "quantised": whole(small(dtype="I8", shape=[8]), bytes(8)),
    "no entry": whole({"w": None}, bytes(8)),
    "half an entry": whole({"w": {"dtype": "F32"}}, bytes(8)),
    "100,000 tensors": whole(
        {f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(100_000)},
        b"",
    ),
}


@pytest.mark.row("G2")
@pytest.mark.parametrize("name", HOSTILE)
def test_refused_from_the_header(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(HOSTILE[name])
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"^(its|it|'w') ?"):
        check_tensors(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 200_000_000


@pytest.mark.row("G2")
def test_what_is_written_by_others_is_let_through(tiny_clip: Path, tmp_path: Path) -> None:
    check_tensors(tiny_clip / "open_clip_model.safetensors")
    (tmp_path / "x").write_bytes(GOOD)
    check_tensors(tmp_path / "x")
    with_note = whole({"__metadata__": {"format": "pt"}, **small()}, bytes(8))
    (tmp_path / "x").write_bytes(with_note)
    check_tensors(tmp_path / "x")


def rename(header: Header) -> None:
    header["another"] = header.pop("visual.proj")


def reshape(header: Header) -> None:
    entry = header["visual.proj"]
    assert isinstance(entry, dict)
    entry["shape"] = entry["shape"][::-1]


def as_integers(header: Header) -> None:
    entry = header["visual.proj"]
    assert isinstance(entry, dict)
    rows, columns = entry["shape"]
    entry["dtype"], entry["shape"] = "U8", [rows * 4, columns]


@pytest.mark.real
@pytest.mark.row("G2")
@pytest.mark.parametrize(
    "change",
    [rename, reshape, as_integers, *HOSTILE],
    ids=lambda each: getattr(each, "__name__", each),
)
@pytest.mark.skipif(sys.platform == "win32", reason="bounds the memory of the process")
def test_as_a_model_nothing_is_installed(
    tiny_clip: Path, tmp_path: Path, change: Callable[[Header], None] | str
) -> None:
    weights = "open_clip_model.safetensors"
    shutil.copytree(tiny_clip, tmp_path / "model")
    if isinstance(change, str):
        (tmp_path / "model" / weights).write_bytes(HOSTILE[change])
    else:
        header, data = parts((tiny_clip / weights).read_bytes())
        change(header)
        (tmp_path / "model" / weights).write_bytes(whole(header, data))
    with pytest.raises(ModelUnavailableError) as caught:
        install(str(tmp_path / "model"), tmp_path / "models", silent)
    assert caught.value.remedy
    assert list((tmp_path / "models").iterdir()) == []
