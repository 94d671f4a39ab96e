"""`clipsearch library check`: look through everything that is stored, and mend it on request."""

import os
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from clipsearch.cli.arguments import examples
from clipsearch.cli.escape import path_fields, visible
from clipsearch.cli.failures import DAMAGE
from clipsearch.cli.options import JsonProgressOption, LibraryOption, QuietOption
from clipsearch.cli.output import Column, counted, note, say, say_json, say_table
from clipsearch.cli.progress import showing_progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clipsearch.maintaining import CheckReport, Finding, RepairReport

EXAMPLES = examples(
    "clipsearch library check                 every row, checksum, snapshot and model",
    "clipsearch library check --read-data     also read every photo and compare its content",
    "clipsearch library check --repair        mend it: every good row is kept",
)

# The tables that people know, by what they call their rows.
_NAMES = {
    "photos": "photo",
    "contents": "content",
    "embeddings": "embedding",
    "models": "model",
    "roots": "folder",
    "concepts": "taught name",
}


def check(
    read_data: Annotated[
        bool,
        typer.Option(
            "--read-data", help="Also read every photo: finds changes that left size and times."
        ),
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what is damaged. Every good row is kept.")
    ] = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
    json: JsonProgressOption = False,
) -> int:
    """Look through everything that is stored: catalogue, embeddings, snapshot, models, leftovers.

    Changes nothing without --repair. Exit code 4 when damage is found, or left after a repair.
    """
    from clipsearch.maintaining import check as look_through
    from clipsearch.maintaining import repair as mend
    from clipsearch.storage.layout import library_dir, models_dir

    directory, models = library_dir(library), models_dir()
    with showing_progress(json=json, quiet=quiet) as progress:
        report = look_through(directory, models, read_data=read_data, progress=progress)
    _tell(report, json=json)
    if repair and report.damage:
        mended = mend(directory, models, report)
        _tell_repair(mended, json=json)
        return DAMAGE if mended.remaining else 0
    if report.damage and not json:
        here = "" if library is None else f" --library {shlex.quote(str(directory))}"
        note(f"clipsearch: mend it with: clipsearch library check --repair{visible(here)}")
    return DAMAGE if report.damage else 0


def _tell(report: "CheckReport", *, json: bool) -> None:
    from clipsearch.maintaining import PARTS

    found = sorted(report.findings, key=lambda finding: PARTS.index(finding.part))
    if json:
        for finding in found:
            say_json(_fields(finding))
        say_json({"damage": len(report.damage), "examined": report.examined})
        return
    columns = [Column("part"), Column("kind"), Column("what", whole=True)]
    say_table(columns, map(_row, found))
    examined = {**report.examined}
    rows = [counted(examined.pop(table, 0), name) for table, name in _NAMES.items()]
    note(f"clipsearch: looked at {', '.join(rows)}.")
    if any(name.startswith("photos ") for name in examined):
        files = [f"{n:,} {name}" for name, n in examined.items() if name.startswith("photos ")]
        note(f"clipsearch: files: {', '.join(files)}.")
    if not report.damage:
        note("clipsearch: no damage was found.")


def _row(finding: "Finding") -> tuple[str, str, str]:
    kind = "damage" if finding.is_damage else "note"
    place = "" if finding.path is None else f"{os.fsdecode(finding.path)}: "
    return finding.part, kind, f"{place}{finding.what}"


def _fields(finding: "Finding") -> dict[str, object]:
    fields: dict[str, object] = {} if finding.path is None else {**path_fields(finding.path)}
    return {
        "part": finding.part,
        "is_damage": finding.is_damage,
        "what": os.fsencode(finding.what).decode("utf-8", "replace"),
        **fields,
    }


def _tell_repair(mended: "RepairReport", *, json: bool) -> None:
    replaced = mended.replacement
    if json:
        say_json(
            {
                "kept": None if replaced is None else replaced.salvage.kept,
                "set_aside": None if replaced is None else replaced.salvage.set_aside,
                "unreadable": 0 if replaced is None else replaced.salvage.unreadable,
                "lost_pages": 0 if replaced is None else replaced.salvage.lost_pages,
                "damaged_catalogue": None if replaced is None else str(replaced.damaged),
                "snapshot_rebuilt": mended.snapshot_rebuilt,
                "read_again": mended.read_again,
                "to_encode": mended.to_encode,
                "remaining": [_fields(finding) for finding in mended.remaining],
            }
        )
        return
    if replaced is not None:
        salvage = replaced.salvage
        say(f"kept       {_counts(salvage.kept)}")
        say(f"set aside  {_counts(salvage.set_aside)}")
        pages = counted(salvage.lost_pages, "page")
        say(f"lost       {counted(salvage.unreadable, 'row')}, and {pages} with all rows in them")
        say(f"the damaged catalogue is kept: {visible(str(replaced.damaged))}")
    if mended.snapshot_rebuilt:
        say("the search snapshot was written again")
    if mended.read_again:
        say(f"{counted(mended.read_again, 'photo')} will be read again by the next index run")
    for finding in mended.remaining:
        part, _, what = _row(finding)
        say(f"not mended: {part}: {visible(what)}")
    if replaced is not None or mended.read_again:
        again = counted(mended.to_encode, "embedding")
        note(
            f"clipsearch: now run clipsearch index: {again} of kept photos will be encoded again; "
            "photos that are lacking will be read and encoded."
        )


def _counts(rows: "Mapping[str, int]") -> str:
    return ", ".join(counted(rows.get(table, 0), name) for table, name in _NAMES.items())
