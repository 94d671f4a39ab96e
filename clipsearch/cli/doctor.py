"""`clipsearch doctor`: look at everything clipsearch needs and say what to do."""

import dataclasses
from typing import Annotated

import typer

from clipsearch.cli.arguments import examples
from clipsearch.cli.escape import visible
from clipsearch.cli.failures import DAMAGE
from clipsearch.cli.options import JsonOption, LibraryOption
from clipsearch.cli.output import note, say, say_json

EXAMPLES = examples(
    "clipsearch doctor",
    "clipsearch doctor --torch                also start torch and ask it for a GPU",
)

MARKS = {"ok": "ok  ", "note": "note", "warning": "WARN", "problem": "FAIL"}


def doctor(
    torch: Annotated[
        bool, typer.Option("--torch", help="Also start torch (seconds) and ask it for a GPU.")
    ] = False,
    library: LibraryOption = None,
    json: JsonOption = False,
) -> int:
    """Check packages, processor, disk, models and library, and say what to do.

    Exit code 0 when everything can work, 4 when something is damaged, otherwise that of the first
    problem.
    """
    from clipsearch.checking import check_everything
    from clipsearch.storage.layout import library_dir, models_dir

    codes: list[int] = []
    for check in check_everything(library_dir(library), models_dir(), torch=torch):
        if json:
            say_json(dataclasses.asdict(check))
        else:
            say(f"{MARKS[check.state]}  {visible(check.subject)}: {visible(check.finding)}")
            if check.remedy:
                say(f"      {visible(check.remedy)}")
        if check.exit_code:
            codes.append(check.exit_code)
    if codes and not json:
        note(f"clipsearch: {len(codes)} of these must be mended first.")
    return DAMAGE if DAMAGE in codes else (codes or [0])[0]
