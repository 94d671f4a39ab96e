"""How a run begins, and how it is taken up again: the same in everything, or not at all."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import clipsearch
from clipsearch.errors import DamageError, UsageError
from clipsearch.finetuning.asking import Request
from clipsearch.finetuning.gathering import Parts
from clipsearch.finetuning.places import unfinished
from clipsearch.finetuning.settings import Settings, Wishes
from clipsearch.pairs.learned import NAME as PHOTOS_NAME
from clipsearch.pairs.learned import as_lines
from clipsearch.types import Progress

if TYPE_CHECKING:
    from clipsearch.training.precision import MeasuredPrecision
    from clipsearch.training.runs import RunDirectory

_FORMAT = 1


def resumed(run: Path, wishes: Wishes) -> Request:
    """The request that a run was begun with, for `--resume RUN`, with the wishes given now.

    Raises UsageError when no run was begun there.
    """
    from clipsearch.training.runs import RunDirectory, read_json

    directory = RunDirectory(run)
    if not directory.began:
        raise UsageError(f"no training was begun in {run}", "Check the path")
    try:
        asked: dict[str, Any] = read_json(directory.settings)["asked"]
        before = Wishes(**asked.pop("wishes"))
        given = {name: value for name, value in asdict(wishes).items() if value is not None}
        return Request(
            kind=asked["kind"],
            run=run,
            data=_path(asked["data"]),
            library=_path(asked["library"]),
            model=asked["model"],
            architecture=asked["architecture"],
            photo_root=asked["photo_root"],
            wishes=replace(before, **given),
            retain=_path(asked["retain"]),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise DamageError(
            f"{directory.settings} is of another version or damaged ({error})",
            "Start the run anew with another --out",
        ) from error


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def fetch_original(request: Request, folder: Path, models_dir: Path, progress: Progress) -> None:
    """Put a copy of the model that the run begins with into `folder`.

    One that is there stays when something was learned from it; else it is replaced.
    """
    from clipsearch.encoders.originals import copy_original, write_random
    from clipsearch.training.runs import RunDirectory
    from clipsearch.training.whole_file import rename_folder

    if folder.is_dir() and RunDirectory(request.run).holds_work:
        return
    if (request.model is None) == (request.architecture is None):
        raise UsageError(
            "say what to begin with",
            "--model NAME goes on from a model, --architecture NAME begins from nothing",
        )
    making = unfinished(folder)
    shutil.rmtree(making, ignore_errors=True)
    if request.model is not None:
        copy_original(request.model, making, models_dir, progress)
    else:
        assert request.architecture is not None
        write_random(request.architecture, making, request.wishes.resolved_seed)
    shutil.rmtree(folder, ignore_errors=True)
    rename_folder(making, folder)


def asked_of(request: Request) -> dict[str, Any]:
    """The request as it is written down, paths absolute: a run may be resumed from anywhere."""
    return {
        "kind": request.kind,
        "data": _absolute(request.data),
        "library": _absolute(request.library),
        "model": _model_name(request.model),
        "architecture": request.architecture,
        "photo_root": _absolute(request.photo_root),
        "retain": _absolute(request.retain),
        "wishes": asdict(request.wishes),
    }


def _absolute(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.path.abspath(os.path.expanduser(path))


def _model_name(name: str | None) -> str | None:
    # A relative path is another model's when the run is resumed from elsewhere.
    if name is not None and os.path.exists(os.path.expanduser(name)) and os.sep in name:
        return _absolute(name)
    return name


def write_down(
    request: Request,
    settings: Settings,
    parts: Parts,
    weights_digest: str,
    measured: "MeasuredPrecision | None",
) -> str:
    """Record what the run depends on, or make sure that it is what it was; the run's fingerprint.

    Before anything was learned nothing has to be what it was. Raises UsageError naming what
    differs, unless the request says that it may.
    """
    from clipsearch.training.runs import (
        RunDirectory,
        fingerprint,
        read_json,
        refuse_differences,
        write_json,
    )
    from clipsearch.training.states import newest_state

    directory = RunDirectory(request.run)
    asked = asked_of(request)
    basis = _basis(asked, settings, parts, weights_digest)
    if directory.began and directory.holds_work:
        before = read_json(directory.settings).get("basis", {})
        if not request.force:
            refuse_differences(request.run, before, basis)
        elif newest_state(directory.checkpoints) is not None:
            _refuse_another_division(request.run, before, parts)
    record: dict[str, Any] = {"asked": asked, "basis": basis}
    if measured is not None:
        record["measured_precision"] = asdict(measured)
    write_json(directory.settings, record)
    _write_photos(directory, parts)
    return fingerprint(basis)


def _basis(
    asked: Mapping[str, Any], settings: Settings, parts: Parts, weights_digest: str
) -> dict[str, Any]:
    """Everything that the weights depend on, as JSON gives it back, so that two compare."""
    basis = {
        "format": _FORMAT,
        "begins_with": asked["model"] or asked["architecture"],
        "clipsearch": clipsearch.__version__,
        "torch": _torch_version(),
        "original_sha256": weights_digest,
        "data_sha256": parts.fingerprint,
        "division_sha256": parts.division,
        **asdict(settings),
    }
    found: dict[str, Any] = json.loads(json.dumps(basis))
    return found


def _write_photos(directory: "RunDirectory", parts: Parts) -> None:
    """Which photos the run learns from and is judged by."""
    from clipsearch.training.runs import write_json, write_whole

    lines = "".join(as_lines(parts.by_part()))
    write_whole(directory.path / PHOTOS_NAME, lines.encode(errors="backslashreplace"))
    learned, validation, test = parts.sizes
    write_json(
        directory.data,
        {
            "photos": len(parts.photos),
            "learned_from": learned,
            "validation": validation,
            "test": test,
            "sha256": parts.fingerprint,
            "validation_photos": [photo.source.name for photo in parts.of(parts.validation)],
            "test_photos": [photo.source.name for photo in parts.of(parts.test)],
        },
    )


def _refuse_another_division(run: Path, before: Mapping[str, Any], parts: Parts) -> None:
    """Whatever else may differ: a model is never judged by photos that it learned from."""
    if before.get("division_sha256") != parts.division:
        raise UsageError(
            f"the photos that {run} is judged by would be others now, and it may have learned from "
            "some of them",
            "Give the run another --out",
        )


def _torch_version() -> str:
    from importlib.metadata import version

    return version("torch")
