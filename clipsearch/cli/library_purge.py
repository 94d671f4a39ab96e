"""`clipsearch library purge`: erase what has been missing for long. The only thing that erases."""

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from clipsearch.cli.arguments import examples, refuse_empty
from clipsearch.cli.escape import path_fields, visible, visible_path
from clipsearch.cli.opening import open_library
from clipsearch.cli.options import JsonOption, LibraryOption
from clipsearch.cli.output import counted, note, say, say_json
from clipsearch.errors import UsageError

if TYPE_CHECKING:
    from clipsearch.maintaining import Purge, PurgePlan
    from clipsearch.storage.erasing import Erased

EXAMPLES = examples(
    "clipsearch library purge                 what has been missing for 90 days; asks first",
    "clipsearch library purge --missing-for 1y --yes",
    "clipsearch library purge --model starter  all embeddings by a model that no longer answers",
)

NOTHING_TO_ERASE = 0
# More paths than this on a screen help nobody; --json has them all.
_SHOWN = 10
_DAYS = {"d": 1, "w": 7, "m": 30, "y": 365}


def purge(
    missing_for: Annotated[
        str,
        typer.Option(
            "--missing-for", metavar="TIME", help="How long: 90d (days), 12w, 6m or 1y, at least."
        ),
    ] = "90d",
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="NAME", help="Erase all embeddings by this model, nothing else."
        ),
    ] = None,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Do not ask. --json never asks: it only tells without this."),
    ] = False,
    library: LibraryOption = None,
    json: JsonOption = False,
) -> int:
    """Erase what is known of photos that went missing long ago, and embeddings of no photo.

    Shows what it would erase and asks. What belongs to a folder that is not there now is kept, and
    photo files are never touched. Nothing else ever erases, but for: clipsearch library forget.
    """
    from clipsearch.maintaining import plan_model_purge, plan_purge
    from clipsearch.maintaining import purge as erase

    refuse_empty("the model's name", model)
    days = _days(missing_for)
    with open_library(library) as opened:
        plan = plan_purge(opened, days) if model is None else plan_model_purge(opened, model)
        if not json:
            _tell(plan, missing_for)
        if plan.is_empty or (json and not yes):
            # A program reads what would be erased, and says --yes the next time.
            done = None
        elif yes or _agreed():
            done = erase(opened, plan)
        else:
            note("clipsearch: nothing was erased.")
            return NOTHING_TO_ERASE
    if json:
        say_json(_record(plan, done))
    elif done is not None:
        space = "" if done.compacted else "; the space is used again, the file stays as large"
        say(f"erased {_words(done.erased)}{space}")
    return 0


def _days(given: str) -> float:
    match = re.fullmatch(r"(\d{1,6})([dwmy]?)", given)
    if match is None:
        raise UsageError(f"{given} is no length of time", "Write for example 90d, 12w, 6m or 1y.")
    return int(match[1]) * _DAYS[match[2] or "d"]


def _agreed() -> bool:
    """Ask on a terminal. Raises UsageError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked here", "To erase this, add --yes.")
    sys.stdout.flush()
    sys.stderr.write("Erase this? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _tell(plan: "PurgePlan", missing_for: str) -> None:
    if plan.is_empty:
        say("there is nothing to erase")
    elif plan.models:
        names = ", ".join(visible(model.info.name) for model in plan.models)
        say(f"would erase {counted(plan.erases.embeddings, 'embedding')} by {names}")
    else:
        say(f"would erase {_words(plan.erases)}; missing for {missing_for} or longer:")
        for path in plan.paths[:_SHOWN]:
            say(f"  {visible_path(path)}")
        if len(plan.paths) > _SHOWN:
            say(f"  and {len(plan.paths) - _SHOWN:,} more")
    if plan.offline:
        say(f"kept        {counted(plan.offline, 'row')} of folders that are not there now")
    if plan.present:
        say(f"kept        {counted(plan.present, 'row')} whose file is there: see clipsearch why")


def _words(erased: "Erased") -> str:
    return (
        f"{counted(erased.photos, 'photo row')}, {counted(erased.contents, 'content')} that no "
        f"photo has, {counted(erased.embeddings, 'embedding')}"
    )


def _record(plan: "PurgePlan", done: "Purge | None") -> dict[str, object]:
    erased = plan.erases if done is None else done.erased
    return {
        "erased": done is not None,
        "photos": erased.photos,
        "contents": erased.contents,
        "embeddings": erased.embeddings,
        "models": [model.info.name for model in plan.models],
        "offline": plan.offline,
        "present": plan.present,
        "compacted": done is not None and done.compacted,
        "paths": [path_fields(path) for path in plan.paths],
    }
