"""What `doctor` looks at: this machine, the packages, the models, the library. Changes nothing.

Each check answers on its own, so that one broken part does not hide the others.
"""

from collections.abc import Iterator
from pathlib import Path

from clipsearch.checking.findings import Check
from clipsearch.checking.machine import check_machine
from clipsearch.checking.stored import (
    check_library,
    check_models,
    rebuild_snapshot,
    verify_model,
)

__all__ = ["Check", "check_everything", "rebuild_snapshot", "verify_model"]


def check_everything(library_dir: Path, models_dir: Path, *, torch: bool) -> Iterator[Check]:
    """Every check, one after the other. `torch` also starts torch, which takes seconds."""
    yield from check_machine({"library": library_dir, "models": models_dir}, torch=torch)
    yield from check_models(models_dir)
    yield from check_library(library_dir, models_dir)
