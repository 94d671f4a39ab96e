"""Tensors in a safetensors file: there whole or not at all, and verified when they are read.

The file is written here and not by the safetensors package: in order and tensor by tensor, so that
the same tensors give the same bytes, a full disk is an ordinary OSError, and no second copy of the
weights is made in memory. Reading is left to the package.

Format: https://github.com/huggingface/safetensors#format
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from clipsearch.errors import DamageError
from clipsearch.failpoints import reach
from clipsearch.training.whole_file import whole_file

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_DIGEST = "sha256"
_NO_DIGEST = "0" * 64
# A header has about 100 bytes a tensor; the largest model of open_clip has some 2,000 tensors.
_MOST_HEADER = 50_000_000
_BLOCK = 1 << 20


def write_tensors(target: Path, tensors: Mapping[str, Tensor], note: Mapping[str, str]) -> None:
    """Write tensors as a `whole_file`; raises as that does.

    `note` becomes the file's metadata, with the SHA-256 of everything else beside it.
    """
    with whole_file(target) as file:
        reach("before_tensors")
        _write(file, tensors, note)
        reach("after_tensors")
    reach("after_tensors_renamed")


def _write(file: BinaryIO, tensors: Mapping[str, Tensor], note: Mapping[str, str]) -> None:
    header = _header(tensors, {**note, _DIGEST: _NO_DIGEST})
    digest = hashlib.sha256(header)
    file.write(header)
    for name in sorted(tensors):
        data = _bytes_of(tensors[name])
        digest.update(data)
        file.write(data)
        reach("between_tensors")
    file.seek(header.index(_NO_DIGEST.encode()))
    file.write(digest.hexdigest().encode())


def _header(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Length and JSON: the digest's key comes first, before anything that may look like zeros."""
    digest_first = {_DIGEST: metadata[_DIGEST], **metadata}
    entries: dict[str, Any] = {"__metadata__": digest_first}
    offset = 0
    for name in sorted(tensors):
        tensor = tensors[name]
        size = tensor.numel() * tensor.element_size()
        entries[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _bytes_of(tensor: Tensor) -> memoryview:
    # On the processor and one after the other in memory, whatever the layout was.
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the note of a file that `write_tensors` wrote, its digest checked.

    Raises DamageError for anything else; nothing of such a file is ever run.
    """
    try:
        verify(path)
        with safe_open(path, framework="pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            note = dict(stored.metadata() or {})
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DamageError(
            f"{path} is damaged ({reason})", "Delete it: what was saved before it is used instead"
        ) from error
    note.pop(_DIGEST)
    return tensors, note


def verify(path: Path) -> None:
    """Hash the file as it was before its digest was filled in. Raises ValueError when it differs.

    Also raises OSError, KeyError or TypeError for what is no such file at all.
    """
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
        if not 0 < length <= min(_MOST_HEADER, path.stat().st_size):
            raise ValueError("it is no safetensors file")
        text = file.read(length)
        found = json.loads(text)["__metadata__"][_DIGEST]
        if not isinstance(found, str) or len(found) != len(_NO_DIGEST):
            raise ValueError("it holds no SHA-256 of its own")
        digest = hashlib.sha256(start + text.replace(found.encode(), _NO_DIGEST.encode(), 1))
        while block := file.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != found:
        raise ValueError("its SHA-256 changed")
