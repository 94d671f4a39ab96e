"""Weights files: which one of a directory, and which kinds are refused before anything reads them.

Loading a TorchScript or `.pt2` archive runs code that came with it, so both are refused. Other
pickles are only ever opened with `weights_only=True` (in `openclip`).
"""

import struct
import zipfile
from pathlib import Path

from clipsearch.encoders.tensor_scan import check_tensors
from clipsearch.errors import ModelUnavailableError

CONFIG_NAME = "open_clip_config.json"
SAFE_NAME = "open_clip_model.safetensors"
PICKLE_NAME = "open_clip_pytorch_model.bin"

# open_clip's own order of preference, safetensors first.
_PREFERRED = (
    SAFE_NAME,
    "open_clip_pytorch_model.safetensors",
    "model.safetensors",
    PICKLE_NAME,
    "open_clip_pytorch_model.pth",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)
_PICKLES = (".bin", ".pt", ".pth")

# What zipfile raises over a damaged or unusual archive.
_UNREADABLE_ZIP = (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error)

SAFE_ALTERNATIVE = "Save the weights as safetensors (safetensors.torch.save_file) and use that file"


def preferred_weights(names: list[str]) -> str | None:
    """The weights file that open_clip would take from a directory with files of these names.

    Raises:
        ModelUnavailableError: there are several and none has a customary name.
    """
    for name in _PREFERRED:
        if name in names:
            return name
    for suffixes in ((".safetensors",), _PICKLES):
        found = sorted(name for name in names if name.endswith(suffixes))
        if len(found) > 1:
            raise ModelUnavailableError(
                f"several weights files: {', '.join(found)}", "Name the one to use by its path"
            )
        if found:
            return found[0]
    return None


def stored_name(weights: Path) -> str:
    """The name under which a weights file is kept, which tells open_clip how to read it.

    Raises:
        ModelUnavailableError: it is of a kind that is not read, or not what its name says.
    """
    if weights.suffix == ".safetensors":
        _refuse_malformed(weights)
        return SAFE_NAME
    if weights.suffix not in _PICKLES:
        raise ModelUnavailableError(
            f"{weights} is not a kind of weights file that is read here", SAFE_ALTERNATIVE
        )
    refuse_programs(weights)
    return PICKLE_NAME


def _refuse_malformed(weights: Path) -> None:
    try:
        check_tensors(weights)
    except (ValueError, OSError) as error:
        raise ModelUnavailableError(
            f"{weights} is no safetensors file that can be used: {error}",
            "Fetch or save it again",
        ) from error


def refuse_programs(weights: Path) -> None:
    """Refuse TorchScript and exported-program archives by what is inside, not by name.

    Raises:
        ModelUnavailableError: the file is one, or is not a zip archive: PyTorch before 1.6 wrote
            bare pickles, which nobody needs any more.
    """
    try:
        with zipfile.ZipFile(weights) as archive:
            members = archive.namelist()
    except _UNREADABLE_ZIP as error:
        raise ModelUnavailableError(
            f"{weights} is not a PyTorch checkpoint: {error}", SAFE_ALTERNATIVE
        ) from error
    for member in members:
        _, _, inner = member.partition("/")
        if inner == "constants.pkl" or inner.startswith("code/"):
            raise ModelUnavailableError(
                f"{weights} is a TorchScript archive, which holds a program", SAFE_ALTERNATIVE
            )
        if inner == "archive_format" or inner.startswith("models/"):
            raise ModelUnavailableError(
                f"{weights} is an exported program (.pt2), not weights", SAFE_ALTERNATIVE
            )
