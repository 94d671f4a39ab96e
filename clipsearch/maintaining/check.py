"""Look through a whole library: every row, the snapshot, the models, on request every photo."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from clipsearch.encoders import require_own, verify
from clipsearch.errors import ClipsearchError, DamageError
from clipsearch.library import Library
from clipsearch.maintaining.findings import CheckReport, Finding, Part
from clipsearch.maintaining.photo_files import compare_photos
from clipsearch.storage.catalogue import RegisteredModel
from clipsearch.storage.directory import catalogue_in
from clipsearch.storage.examining import RowFault
from clipsearch.storage.layout import (
    CATALOGUE_NAME,
    TEMPORARY_SUFFIX,
    snapshot_name,
    temporary_files,
)
from clipsearch.storage.model_snapshot import ModelSnapshot
from clipsearch.storage.snapshot_file import UnusableSnapshot
from clipsearch.types import Progress, no_progress

_PART_OF_TABLE: dict[str, Part] = {
    "embeddings": "embeddings",
    "concepts": "names",
    "concept_embeddings": "names",
    "concept_classifiers": "names",
}


def check(
    directory: Path, models_dir: Path, *, read_data: bool = False, progress: Progress = no_progress
) -> CheckReport:
    """Look through the library in a directory. Changes nothing.

    `read_data` also reads every photo file and compares it with what was indexed. Raises
    StorageError when there is no library or it cannot be read.
    """
    examined: Counter[str] = Counter()
    findings: list[Finding] = []
    try:
        catalogue_in(directory, create=False)
        with Library.open(directory) as library:
            findings += _check_open(library, models_dir, examined, progress)
            if read_data:
                findings += compare_photos(library.catalogue, examined, progress)
    except DamageError as error:
        findings.append(Finding("catalogue", error.message))
    findings += _leftovers(directory)
    return CheckReport(tuple(findings), dict(examined))


def _check_open(
    library: Library, models_dir: Path, examined: Counter[str], progress: Progress
) -> Iterator[Finding]:
    catalogue = library.catalogue
    with catalogue.reading():
        progress("checking every row", 0, None)
        for what in catalogue.structure_faults():
            yield Finding("catalogue", what)
        for fault in catalogue.row_faults():
            yield _of_row(fault)
        examined.update(catalogue.row_counts())
        models = catalogue.models()
    # Outside: an index run may just have written a snapshot of a newer generation.
    for model in models:
        yield from _check_snapshot(library, model)
        yield from _check_model(model, models_dir)
    yield from _unknown_snapshots(library.directory, models)


def _of_row(fault: RowFault) -> Finding:
    part = _PART_OF_TABLE.get(fault.table, "rows")
    where = f"row {fault.row_id} of {fault.table}: " if fault.row_id else ""
    return Finding(part, f"{where}{fault.what}", path=fault.path)


def _check_snapshot(library: Library, model: RegisteredModel) -> Iterator[Finding]:
    snapshot = ModelSnapshot(library.catalogue, library.directory, model.model_id, model.info)
    try:
        snapshot.counted_header()
    except UnusableSnapshot as reason:
        # Nobody asks the snapshot of a model that does not answer.
        yield Finding(
            "snapshot", f"{snapshot.path.name} cannot be used: {reason}", is_damage=model.active
        )


def _unknown_snapshots(directory: Path, models: list[RegisteredModel]) -> Iterator[Finding]:
    known = {snapshot_name(model.info.fingerprint) for model in models}
    for path in sorted(directory.glob("*.faiss")):
        if path.name not in known:
            yield Finding("files", f"{path.name} belongs to no model of this library", False)


def _check_model(model: RegisteredModel, models_dir: Path) -> Iterator[Finding]:
    """A damaged model is damage; one that is not installed only matters when it is to answer."""
    try:
        require_own(model.info, models_dir)
        verify(model.info, models_dir)
    except DamageError as error:
        yield Finding("models", str(error))
    except ClipsearchError as error:
        if model.active:
            yield Finding("models", str(error), is_damage=False)


def _leftovers(directory: Path) -> Iterator[Finding]:
    for path in temporary_files(directory):
        yield Finding("files", f"{path.name} was left by a run that was killed", False)
    for path in sorted(directory.glob(f"{CATALOGUE_NAME}.*")):
        if TEMPORARY_SUFFIX not in path.name:
            yield Finding(
                "files",
                f"{path.name} is an older catalogue; delete it when you no longer need it",
                False,
            )
