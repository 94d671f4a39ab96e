"""Tensor files: equal to the package's, whole or absent, and any change is noticed."""

import errno
import json
import os
import pickle
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from clipsearch.errors import DamageError
from clipsearch.training import tensor_files
from clipsearch.training.tensor_files import read_tensors, write_tensors

TENSORS: dict[str, Tensor] = {
    "b": torch.arange(6.0).reshape(2, 3).T,  # not contiguous
    "a": torch.tensor(2.5),
    "half": torch.ones(3, dtype=torch.float16),
    "brain": torch.ones(3, dtype=torch.bfloat16),
    "count": torch.tensor([1, 2], dtype=torch.int64),
    "state": torch.arange(5, dtype=torch.uint8),
    "flag": torch.tensor([True, False]),
    "none": torch.empty(0, 4),
}


def test_the_package_reads_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS, {"note": "0" * 64})
    for found in (load_file(path), read_tensors(path)[0]):
        assert found.keys() == TENSORS.keys()
        for name, tensor in TENSORS.items():
            assert found[name].dtype == tensor.dtype
            assert torch.equal(found[name], tensor), name
    assert read_tensors(path)[1] == {"note": "0" * 64}


def test_the_same_tensors_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    write_tensors(one, TENSORS, {"x": "1", "y": "2"})
    write_tensors(two, dict(reversed(TENSORS.items())), {"x": "1", "y": "2"})
    assert one.read_bytes() == two.read_bytes()


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS, {"note": "n"})
    good = path.read_bytes()
    places = random.Random(0).sample(range(len(good)), 150)
    for place in places:
        changed = bytearray(good)
        changed[place] ^= 1 << (place % 8)
        path.write_bytes(changed)
        with pytest.raises(DamageError, match=r"x\.safetensors is damaged"):
            read_tensors(path)
    for length in range(0, len(good), 97):
        path.write_bytes(good[:length])
        with pytest.raises(DamageError):
            read_tensors(path)


@pytest.mark.row("G1")
def test_a_pickle_under_that_name_is_never_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Poison:
        def __reduce__(self) -> object:
            return (os.system, (f"touch {canary}",))

    path = tmp_path / "step-00000001.safetensors"
    path.write_bytes(pickle.dumps(Poison()))
    with pytest.raises(DamageError):
        read_tensors(path)
    torch.save({"model": Poison()}, path)
    with pytest.raises(DamageError):
        read_tensors(path)
    assert not canary.exists()


@pytest.mark.row("G2")
def test_a_file_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes((2**63).to_bytes(8, "little") + b"{}")
    with pytest.raises(DamageError):
        read_tensors(path)
    text = json.dumps({"__metadata__": {"sha256": "0" * 64}}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(DamageError, match="changed"):
        read_tensors(path)


def test_a_file_without_a_digest_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(1)}, tmp_path / "x.safetensors", metadata={"format": "pt"})
    with pytest.raises(DamageError, match="sha256"):
        read_tensors(tmp_path / "x.safetensors")


@pytest.mark.parametrize("digest", ["abc", 7])
def test_a_digest_that_is_none_is_refused(tmp_path: Path, digest: object) -> None:
    path = tmp_path / "x.safetensors"
    text = json.dumps({"__metadata__": {"sha256": digest}}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(DamageError, match="no SHA-256 of its own"):
        read_tensors(path)


@pytest.mark.parametrize("place", ["before_tensors", "between_tensors", "after_tensors"])
def test_a_failure_while_writing_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"a": torch.ones(1)}, {})
    before = path.read_bytes()

    def full(name: str) -> None:
        if name == place:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tensor_files, "reach", full)
    with pytest.raises(OSError, match="No space"):
        write_tensors(path, TENSORS, {})
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["x.safetensors"]
