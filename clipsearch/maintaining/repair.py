"""Mend what a check found, keeping every good row and the damaged file itself."""

from dataclasses import dataclass
from pathlib import Path

from clipsearch.encoders import installed_models
from clipsearch.library import Library
from clipsearch.maintaining.check import check
from clipsearch.maintaining.findings import CheckReport, Finding
from clipsearch.storage.directory import catalogue_in
from clipsearch.storage.replacing import Replacement, replace_catalogue


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What was done. `remaining` is the damage that a second look still found.

    `replacement` says which rows went over into a new catalogue, and where the damaged one is; None
    when the catalogue was whole. The next index run reads `read_again` photos, and encodes
    `to_encode` contents: those of kept photos that have no embedding any more.
    """

    replacement: Replacement | None
    snapshot_rebuilt: bool
    read_again: int
    to_encode: int
    remaining: tuple[Finding, ...]


def repair(directory: Path, models_dir: Path, report: CheckReport) -> RepairReport:
    """Mend what `check` found in the library in a directory.

    A damaged catalogue is replaced by a new one made of its good rows; the damaged file is kept.
    A damaged snapshot is written again, and photos that are not what was indexed are read by the
    next index run. Killed at any moment, the library is as it was or mended; a second run finishes.

    Raises LockedError when another process uses the library, StorageError when it cannot be
    written, DamageError when there is no catalogue to take rows from.
    """
    catalogue_in(directory, create=False)
    replacement = None
    if report.is_damaged("catalogue", "rows", "embeddings", "names"):
        known = [model.info for model in installed_models(models_dir)]
        replacement = replace_catalogue(directory, known)
    # Other damage to photos is theirs alone: their files cannot be read.
    doubtful = [found.photo_id for found in report.findings if found.photo_id is not None]
    with Library.open(directory) as library, library.writer():
        read_again = library.catalogue.doubt_photos(doubtful)
        model_id = library.catalogue.active_model_id()
        to_encode = library.catalogue.count_unembedded(model_id) if model_id is not None else 0
        # A snapshot of the catalogue that was replaced is of no use to the new one.
        if report.is_damaged("snapshot") or (replacement and any(directory.glob("*.faiss"))):
            rebuilt = library.rebuild_snapshot()
        else:
            rebuilt = library.refresh_snapshot()
    remaining = tuple(f for f in report.damage if f.part == "photos" and f.photo_id is None)
    return RepairReport(
        replacement,
        rebuilt,
        read_again,
        to_encode,
        check(directory, models_dir).damage + remaining,
    )
