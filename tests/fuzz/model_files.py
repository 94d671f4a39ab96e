"""What looks into model files before anything loads them: it answers, and holds little."""

import json
import os
import struct
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from clipsearch.encoders.graph_scan import external_locations
from clipsearch.encoders.tensor_scan import check_tensors
from clipsearch.encoders.weights import refuse_programs
from clipsearch.errors import ModelUnavailableError
from tests.fuzz.driving import main

# Python's own objects around a few bytes of input, and what reading a file or a zip needs.
_ANYWAY = 1_000_000
_PER_BYTE = 64


def tensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(kind: str = "F32", shape: object = (2,), start: int = 0, stop: int = 8) -> object:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, stop]}


_ZIP = (
    b"PK\x03\x04\x14\0\0\0\0\0\0\0!\0\0\0\0\0\0\0\0\0\0\0\0\0\n\0\0\0m/data.pkl"
    b"PK\x01\x02\x14\x03\x14\0\0\0\0\0\0\0!\0\0\0\0\0\0\0\0\0\0\0\0\0\n\0\0\0\0\0\0\0\0\0\0\0\x80\x01"
    b"\0\0\0\0m/data.pklPK\x05\x06\0\0\0\0\x01\0\x01\x008\0\0\0(\0\0\0\0\0"
)
SEEDS = [
    b"S" + tensors({"w": entry()}, bytes(8)),
    b"S" + tensors({"w": entry(), "x": entry(start=8, stop=16)}, bytes(16)),
    b"S" + tensors({"__metadata__": {"a": "b"}, "w": entry(shape=[])}, bytes(8)),
    b"S" + tensors({"w": entry(shape=[1 << 40, 1 << 40])}, bytes(8)),
    b"S" + tensors(b"[" * 500),
    b"S" + struct.pack("<Q", 1 << 63),
    b"G" + b"\x08\x0a\x3a\x1a\x0a\x10\x12\x01c\x22\x08Constant\x2a\x01\x0a\x12\x01g",
    b"G" + b"\x3a\x10\x2a\x0e\x42\x01w\x70\x01\x6a\x07\x0a\x08location",
    b"G" + b"\x3a\x06\x0a\x04\x2a\x02\x32\x00" * 20,
    b"Z" + _ZIP,
    b"Z" + b"\x80\x02}q\x00.",
]


def fuzz_one(data: bytes) -> None:
    """Raises when a scan raises anything but its refusal, or holds far more than the file."""
    fast = "/dev/shm" if os.path.isdir("/dev/shm") else None
    kind, body = data[:1], data[1:]
    with tempfile.NamedTemporaryFile(dir=fast) as file:
        file.write(body)
        file.flush()
        path = Path(file.name)
        if kind == b"G":
            _refused(lambda: external_locations(body), len(body))
        elif kind == b"Z":
            _refused(lambda: refuse_programs(path), len(body))
        elif not _refused(lambda: check_tensors(path), len(body)):
            _is_readable(body)


def _refused(scan: Callable[[], object], length: int) -> bool:
    tracemalloc.start()
    try:
        scan()
    except (ValueError, ModelUnavailableError):
        return True
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < _ANYWAY + _PER_BYTE * length, f"{most} bytes held for {length}"
    return False


def _is_readable(body: bytes) -> None:
    """What our scan lets through, the package reads without a word, or refuses in its own way."""
    from safetensors import SafetensorError, deserialize

    try:
        deserialize(body)
    except SafetensorError as error:
        assert str(error)


if __name__ == "__main__":
    main(fuzz_one, SEEDS)
