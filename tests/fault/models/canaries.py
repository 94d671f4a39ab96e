"""Files that run a program when they are unpickled: the program makes a file, the canary."""

import builtins
import functools
import io
import os
import pickle
import subprocess
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np


class Gadget:
    """Unpickled, it is `call(*arguments)`."""

    def __init__(self, call: Callable[..., Any], *arguments: object) -> None:
        self._recipe = (call, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self._recipe


def gadgets(canary: Path) -> dict[str, object]:
    """Ways to make the file `canary` while unpickling."""
    import torch

    code = f"open({str(canary)!r}, 'w').close()"
    command = ["touch", str(canary)]
    touch = Gadget(os.system, f"touch '{canary}'")
    # Unpickling fails first in the way after which open_clip tries again with less care.
    fails = Gadget(torch._utils._rebuild_tensor_v2, "too", "few")
    return {
        "system": touch,
        "eval": Gadget(builtins.eval, code),
        "exec": Gadget(builtins.exec, code),
        "popen": Gadget(subprocess.Popen, command),
        "partial": Gadget(functools.partial(subprocess.call), command),
        "open": Gadget(builtins.open, str(canary), "w"),
        "ordered-dict": {"state_dict": {"w": torch.zeros(2), "x": touch}},
        "deep": {"state_dict": [[[touch]]]},
        "after-a-type-error": {"a": touch, "b": fails},
    }


def containers(payload: object) -> Iterator[tuple[str, bytes]]:
    """Files of every kind that people keep weights in, each with `payload` inside, by name."""
    yield "zip.pt", saved(payload)
    yield "zip.pth", saved(payload)
    yield "open_clip_pytorch_model.bin", saved(payload)
    yield "legacy.pt", saved(payload, _use_new_zipfile_serialization=False)
    yield "legacy.bin", saved(payload, _use_new_zipfile_serialization=False)
    yield "plain.pt", pickled(payload)
    yield "tar.pt", in_tar(pickled(payload))
    yield "program.pt2", in_zip("m/archive_format", "m/models/model.json", pickle=pickled(payload))
    yield "program-renamed.pt", in_zip("m/models/model.json", pickle=pickled(payload))
    yield "script.pt", in_zip("m/constants.pkl", "m/code/x.py", pickle=pickled(payload))
    yield "two-pickles.pt", in_zip("m/data.pkl", "m/version", pickle=pickled(payload))
    yield "array.npy", as_array(payload)
    yield "array-renamed.pt", as_array(payload)
    yield "arrays.npz", as_arrays(payload)
    yield "arrays-renamed.bin", as_arrays(payload)
    yield "model.safetensors", pickled(payload)
    yield "zip.safetensors", saved(payload)


def pickled(payload: object, protocol: int = 2) -> bytes:
    return pickle.dumps(payload, protocol)


def saved(payload: object, **options: Any) -> bytes:
    """As torch saves it."""
    import torch

    stream = io.BytesIO()
    torch.save(payload, stream, **options)
    return stream.getvalue()


def in_tar(data: bytes) -> bytes:
    """The layout of torch before 0.2."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def in_zip(*names: str, pickle: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one name twice: readers differ in which one they take
        for name in ("m/data.pkl", *names):
            archive.writestr(name, pickle)
    return stream.getvalue()


def as_array(payload: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([payload], dtype=object), allow_pickle=True)
    return stream.getvalue()


def as_arrays(payload: object) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, limits0=np.zeros(2), factors0=np.array([payload], dtype=object))
    return stream.getvalue()
