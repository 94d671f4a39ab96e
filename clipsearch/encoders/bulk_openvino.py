"""The exported image tower in OpenVINO: the fastest on processors, and it starts in a second.

OpenVINO reads the same image.onnx as onnxruntime. In bfloat16 it does twice the work where the
processor multiplies that, with int8 (see `int8`) nearly four times.
"""

import sys
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from clipsearch.encoders.checks import check_pixels
from clipsearch.encoders.sessions import available_cores, refuse_foreign_data
from clipsearch.types import Floats, ModelInfo, Pixels

# Photos in one request: more only take memory, and Ctrl-C waits for a request to end.
_LARGEST_REQUEST = 16
# Each stream computes photos of its own, on its share of the cores: no core waits for another.
_MOST_STREAMS = 8
_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
# Importing this part of OpenVINO sends a message over the network.
_CALLS_HOME = "openvino.tools.ovc"


class OpenVinoImageEncoder:
    """An image tower that OpenVINO has read, compiled in `precision` ("float32", "bfloat16").

    Raises:
        RuntimeError: OpenVINO cannot compile it.
    """

    def __init__(self, info: ModelInfo, tower: Any, precision: str) -> None:
        self.info = info
        streams = min(available_cores(), _MOST_STREAMS)
        compiled = compile_tower(tower, precision, streams)
        self._requests = [compiled.create_infer_request() for _ in range(streams)]

    def encode_image(self, pixels: Pixels) -> Floats:
        """(batch, height, width, 3) uint8 -> (batch, dim) unit rows."""
        check_pixels(pixels, self.info)
        vectors = np.empty((len(pixels), self.info.embed_dim), np.float32)
        streams = len(self._requests)
        # As many requests for each stream, as even as they come: none waits long for the last.
        rounds = -(-len(pixels) // (streams * _LARGEST_REQUEST))
        share = max(1, -(-len(pixels) // max(1, streams * rounds)))
        free = list(self._requests)
        running: deque[tuple[Any, int]] = deque()
        for start in range(0, len(pixels), share):
            if not free:
                free.append(_finish(*running.popleft(), vectors))
            request = free.pop()
            request.start_async({0: pixels[start : start + share]})
            running.append((request, start))
        while running:
            _finish(*running.popleft(), vectors)
        return vectors


def _finish(request: Any, start: int, vectors: Floats) -> Any:
    """Wait for a request and put its rows where they belong; gives the request back."""
    request.wait()
    rows = request.get_output_tensor(0).data  # (share, dim)
    vectors[start : start + len(rows)] = rows
    return request


def read_tower(graph: Path) -> Any:
    """Read an exported tower as an `openvino.Model`.

    Raises:
        ImportError: OpenVINO is not installed.
        DamageError: the graph refers to other files than its own.
        RuntimeError: OpenVINO cannot read it.
    """
    refuse_foreign_data(graph)
    openvino = import_openvino()
    tower = openvino.Core().read_model(graph)
    # A matrix that the graph cuts out of a larger one becomes one of its own.
    passes = openvino.passes.Manager()
    passes.register_pass(openvino.passes.ConstantFolding())
    passes.run_passes(tower)
    return tower


def compile_tower(tower: Any, precision: str, streams: int) -> Any:
    """Compile for the processor, on all cores that this process may use.

    Threads are not pinned to cores: processes that decode photos want them too.
    """
    options = {
        "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": available_cores(),
        "ENABLE_CPU_PINNING": False,
    }
    return import_openvino().Core().compile_model(tower, "CPU", options)


def capabilities() -> frozenset[str]:
    """What the processor is good at, in OpenVINO's words: "FP32", "BF16", "INT8" and others.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    found = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return frozenset(found)


def import_openvino() -> Any:
    """The openvino package, imported without the part that reports each import to its makers.

    Raises:
        ImportError: it is not installed.
    """
    hidden = _CALLS_HOME not in sys.modules
    if hidden:
        # None stands for a module that cannot be imported; openvino goes on without it.
        sys.modules[_CALLS_HOME] = None  # type: ignore[assignment]
    try:
        import openvino
        import openvino.passes
    finally:
        if hidden:
            del sys.modules[_CALLS_HOME]
    return openvino
