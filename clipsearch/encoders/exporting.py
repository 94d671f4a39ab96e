"""Both towers of a torch model written as ONNX, and only accepted when they give the same vectors.

Weights lie beside the graph in one `.data` file, which onnxruntime maps instead of reading: a cold
text query touches a tenth of it. The graph is optimised once here (to the level that does not
depend on the processor) so that opening it later is quick.
"""

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clipsearch.encoders.openclip import LoadedModel
from clipsearch.encoders.sessions import DATA_SUFFIX, IMAGE_GRAPH, TEXT_GRAPH, open_session, run
from clipsearch.encoders.tokenizing import PROBES
from clipsearch.errors import ModelUnavailableError
from clipsearch.types import Floats

if TYPE_CHECKING:
    from torch import nn


# An export that is further than this from the original is not the same model.
LEAST_COSINE = 0.9999

_OPSET = 20


def export_image_tower(loaded: LoadedModel, folder: Path) -> None:
    """Write image.onnx and image.onnx.data: (n, height, width, 3) uint8 -> (n, dim) unit rows.

    Raises:
        ModelUnavailableError: it cannot be exported, or gives other vectors.
    """
    import torch

    from clipsearch.encoders.towers_torch import image_tower, original_image_tower

    tower = image_tower(loaded.model, loaded.preprocess).eval()
    original = original_image_tower(loaded.model, loaded.preprocess).eval()
    pixels = sample_photos(loaded.preprocess.size)
    batch = torch.export.Dim("batch")
    _export(tower, torch.from_numpy(pixels[:2]), {0: batch}, folder / IMAGE_GRAPH)
    for part in (pixels[:1], pixels):
        _verify(original, part, folder / IMAGE_GRAPH, "image")


def export_text_tower(loaded: LoadedModel, folder: Path) -> bool:
    """Write text.onnx and text.onnx.data: (n, length) int64 ids -> (n, dim) unit rows.

    Returns whether rows may be shorter than the context (see `CausalTextTower`).

    Raises:
        ModelUnavailableError: it cannot be exported, or gives other vectors.
    """
    import torch

    from clipsearch.encoders.towers_torch import CausalTextTower, TextTower, text_tower

    tower = text_tower(loaded.model).eval()
    any_length = isinstance(tower, CausalTextTower)
    context = loaded.context_length
    ids = loaded.tokenizer(list(PROBES), context_length=context).numpy()
    axes = {0: torch.export.Dim("batch")}
    if any_length:
        axes[1] = torch.export.Dim("length", max=context)
    example = ids[:2, : context - 1] if any_length else ids[:2]
    _export(tower, torch.from_numpy(example), axes, folder / TEXT_GRAPH)

    original = TextTower(loaded.model).eval()
    _verify(original, ids, folder / TEXT_GRAPH, "text")
    _verify(original, ids[1:2], folder / TEXT_GRAPH, "text")
    if any_length:
        # The second probe is short: without its padding the vector must stay what it is.
        length = int(np.flatnonzero(ids[1])[-1]) + 1
        _compare(
            _torch_rows(original, ids[1:2]),
            _onnx_rows(folder / TEXT_GRAPH, ids[1:2, :length]),
            "text",
        )
    return any_length


def _export(module: "nn.Module", example: Any, axes: dict[int, Any], path: Path) -> None:
    import torch

    with tempfile.TemporaryDirectory(dir=path.parent) as scratch, warnings.catch_warnings():
        # The exporter warns about its own internals, which neither we nor users can act on.
        warnings.simplefilter("ignore")
        raw = Path(scratch) / path.name
        try:
            torch.onnx.export(
                module,
                (example,),
                str(raw),
                input_names=["input"],
                output_names=["output"],
                dynamic_shapes=(axes,),
                opset_version=_OPSET,
                dynamo=True,
                optimize=False,  # onnxruntime does it below, in a fraction of the time
                external_data=True,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise ModelUnavailableError(
                f"this model cannot be exported: {type(error).__name__}", "Choose another model"
            ) from error
        _optimise(raw, path)


def _optimise(raw: Path, path: Path) -> None:
    """Let onnxruntime simplify the graph once and store it with its weights in one data file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path)
    for key, value in (
        ("session.disable_prepacking", "1"),
        ("session.optimized_model_external_initializers_file_name", path.name + DATA_SUFFIX),
        ("session.optimized_model_external_initializers_min_size_in_bytes", "1024"),
    ):
        options.add_session_config_entry(key, value)
    onnxruntime.InferenceSession(str(raw), options, providers=["CPUExecutionProvider"])


def _verify(module: "nn.Module", inputs: np.ndarray, path: Path, what: str) -> None:
    _compare(_torch_rows(module, inputs), _onnx_rows(path, inputs), what)


def _torch_rows(module: "nn.Module", inputs: np.ndarray) -> Floats:
    import torch

    with torch.inference_mode():
        rows: Floats = module(torch.from_numpy(inputs)).numpy()
    return rows


def _onnx_rows(path: Path, inputs: np.ndarray) -> Floats:
    return run(open_session(path, bulk=False), inputs)


def _compare(wanted: Floats, got: Floats, what: str) -> None:
    cosines = (wanted * got).sum(axis=1)  # (n,)
    if wanted.shape != got.shape or not bool(np.all(cosines >= LEAST_COSINE)):
        worst = float(cosines.min())
        raise ModelUnavailableError(
            f"the exported {what} tower differs from the original (cosine {worst:.5f})",
            "Choose another model, or report this one",
        )


def sample_photos(size: tuple[int, int], count: int = 5) -> np.ndarray:
    """(count, height, width, 3) uint8: flat, gradients and noise, always the same."""
    height, width = size
    rng = np.random.default_rng(0)
    photos = [np.full((height, width, 3), 128, np.uint8)]
    ramp = np.linspace(0, 255, width, dtype=np.uint8)
    photos.append(np.broadcast_to(ramp[None, :, None], (height, width, 3)).copy())
    while len(photos) < count:
        coarse = rng.integers(0, 256, (4, 4, 3), np.uint8)
        blocks = coarse.repeat(-(-height // 4), axis=0).repeat(-(-width // 4), axis=1)
        noise = rng.integers(0, 40, (height, width, 3), np.uint8)
        photos.append((blocks[:height, :width] // 2 + noise).astype(np.uint8))
    return np.stack(photos)
