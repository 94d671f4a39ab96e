"""onnxruntime sessions over our own exports: checked, mapped, on the processor."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from clipsearch.encoders.graph_scan import external_locations
from clipsearch.errors import DamageError
from clipsearch.types import Floats

IMAGE_GRAPH = "image.onnx"
TEXT_GRAPH = "text.onnx"
DATA_SUFFIX = ".data"
_REMEDY = "Run `clipsearch models verify`, then `clipsearch models pull` again"


def open_session(path: Path, *, bulk: bool) -> Any:
    """Open an exported tower.

    For one query the weights are used as they lie in the mapped file; for bulk they are repacked
    for the processor first, which costs time and memory once and makes every batch faster.

    Raises:
        DamageError: the graph is damaged or refers to other files than its own data file.
    """
    import onnxruntime

    refuse_foreign_data(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = available_cores()
    level = onnxruntime.GraphOptimizationLevel
    if bulk:
        options.graph_optimization_level = level.ORT_ENABLE_ALL
    else:
        options.graph_optimization_level = level.ORT_DISABLE_ALL
        options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base but this one
        raise DamageError(f"{path} cannot be opened: {_first_line(error)}", _REMEDY) from error


def run(session: Any, inputs: np.ndarray) -> Floats:
    """Run a tower on one batch: (n, ...) -> (n, dim) unit rows."""
    rows: Floats = session.run(None, {session.get_inputs()[0].name: inputs})[0]
    return rows


def available_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def refuse_foreign_data(path: Path) -> None:
    """Read the graph and refuse weights anywhere but in the file that belongs to it.

    ONNX lets a graph name any path as the place of its weights; ours name exactly one file.
    """
    data_name = path.name + DATA_SUFFIX
    for file in (path, path.with_name(data_name)):
        if file.is_symlink() or not file.is_file():
            raise DamageError(f"{file} is missing or not a file", _REMEDY)
        if file.stat().st_nlink > 1:
            raise DamageError(f"{file} has another name elsewhere (a hard link)", _REMEDY)
    try:
        locations = external_locations(path.read_bytes())
    except ValueError as error:
        raise DamageError(f"{path} is damaged: {error}", _REMEDY) from error
    foreign = locations - {data_name}
    if foreign:
        raise DamageError(f"{path} refers to other files: {sorted(foreign)}", _REMEDY)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
