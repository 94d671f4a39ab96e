"""Whether a safetensors file is what it says, told from its header before anything reads it.

Format: https://github.com/huggingface/safetensors#format
"""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# Models have up to some 2,000 tensors, and about 100 bytes of header for each.
_MOST_TENSORS = 50_000
_MOST_HEADER = 10_000_000
_MOST_DIMENSIONS = 8
# Weights, and the counters and positions beside them. Anything else is packed or quantised: its
# numbers would be taken for weights as they lie there.
_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8}


def check_tensors(path: Path) -> None:
    """Check the header of a safetensors file against its rules and its size.

    Raises:
        ValueError: it is damaged, made up, or holds other things than plain weights.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        entries = _header(file, length)
        end = 0
        for start, stop in sorted(_places(entries)):
            if start != end:
                raise ValueError("its tensors overlap, or leave gaps")
            end = stop
        if file.tell() + end != length:
            raise ValueError("its length is not that of its tensors")


def _header(file: BinaryIO, length: int) -> dict[str, object]:
    size = int.from_bytes(file.read(8), "little")
    if length < 8 or not 2 <= size <= min(_MOST_HEADER, length - 8):
        raise ValueError("its header has no possible length")
    try:
        entries = json.loads(file.read(size))
    except (ValueError, RecursionError) as error:
        raise ValueError("its header cannot be read") from error
    if not isinstance(entries, dict):
        raise ValueError("its header cannot be read")
    entries.pop("__metadata__", None)
    if len(entries) > _MOST_TENSORS:
        raise ValueError(f"it has {len(entries)} tensors, over the limit of {_MOST_TENSORS}")
    return entries


def _places(entries: dict[str, object]) -> Iterator[tuple[int, int]]:
    """Where each tensor begins and ends behind the header."""
    for name, entry in entries.items():
        try:
            kind, shape = entry["dtype"], entry["shape"]  # type: ignore[index]
            start, stop = entry["data_offsets"]  # type: ignore[index]
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"its entry {name[:100]!r} cannot be read") from error
        if not _is_counts([start, stop]) or not _is_counts(shape) or len(shape) > _MOST_DIMENSIONS:
            raise ValueError(f"its entry {name[:100]!r} has no possible place or shape")
        if not isinstance(kind, str) or kind not in _SIZES:
            raise ValueError(f"{name[:100]!r} is of the type {str(kind)[:20]!r}, not plain weights")
        if stop - start != math.prod(shape) * _SIZES[kind]:
            raise ValueError(f"its entry {name[:100]!r} has another length than its shape")
        yield start, stop


def _is_counts(value: object) -> bool:
    return isinstance(value, list) and all(
        type(each) is int and 0 <= each < 1 << 62 for each in value
    )
