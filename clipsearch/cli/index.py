"""`clipsearch index`: bring the library up to date with folders of photos."""

import dataclasses
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from clipsearch.cli.arguments import as_paths, examples
from clipsearch.cli.escape import path_fields, visible, visible_path
from clipsearch.cli.failures import INTERRUPTED
from clipsearch.cli.opening import model_to_index_with, warn_of_network_disk
from clipsearch.cli.options import JsonProgressOption, LibraryOption, QuietOption
from clipsearch.cli.output import counted, note, say, say_json
from clipsearch.cli.progress import duration, showing_progress
from clipsearch.errors import UsageError

if TYPE_CHECKING:
    from clipsearch.indexing import IndexSummary
    from clipsearch.types import PhotoProblem

EXAMPLES = examples(
    "clipsearch index ~/Pictures /mnt/photos",
    "clipsearch index ~/Pictures --model starter     the built-in model: no download",
    "clipsearch index ~/Pictures --exclude '*.png' --exclude Trips/raw",
    "clipsearch index                                everything indexed before, again",
)

NOTHING_FOUND = 1
SOME_FAILED = 3
# More problems than this are only counted; `clipsearch library problems` lists all.
SHOWN_PROBLEMS = 5

ROOT_STATES = {
    "offline": "is not there or empty now: its photos are kept as they were",
    "other-volume": "holds none of its photos now, as if another disk were mounted there: "
    "its photos are kept as they were; if these are to take their place, run it again with "
    "--confirm-missing",
    "held": "has lost most of its photos, or all that were on a disk in it: they are kept as they "
    "were; "
    "if they are really gone, run it again with --confirm-missing",
}
PROBLEM_WORDS = {
    "unsupported": "in formats that are not read",
    "damaged": "damaged",
    "refused": "refused",
    "unreadable": "unreadable",
}


def index(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH",
            help="Folders to read, with all below them; none: those known.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A preset (see clipsearch models), ARCHITECTURE/TAG of open_clip, hf-hub:NAME, a "
            "local directory, or ARCHITECTURE@FILE. Otherwise the library's; at first: balanced.",
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            help="Leave out names or paths, as in .gitignore; may be repeated. For this run; a "
            ".clipsearchignore file in the folder keeps it.",
            show_default=False,
        ),
    ] = None,
    hidden: Annotated[
        bool, typer.Option("--hidden", help="Read hidden files and folders too.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Read files again that had a problem before.")
    ] = False,
    confirm_missing: Annotated[
        bool,
        typer.Option(
            "--confirm-missing", help="Record photos as missing even when most of a folder is gone."
        ),
    ] = False,
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, max=64, help="Processes that read and decode photos.")
    ] = 2,
    library: LibraryOption = None,
    json: JsonProgressOption = False,
    quiet: QuietOption = False,
) -> int:
    """Read folders of photos into the library: only new and changed ones are read.

    It can be stopped at any time (Ctrl-C) and goes on from there when it is run again. Photos are
    never changed. Moved and copied photos are recognised and not encoded again.
    """  # fmt: skip
    from clipsearch.encoders import load_bulk_encoder
    from clipsearch.encoders.everyday import everyday_queries
    from clipsearch.indexing import index as index_photos
    from clipsearch.library import Library
    from clipsearch.photos.ignore import IgnoreRules
    from clipsearch.storage.layout import CATALOGUE_NAME, library_dir, models_dir

    directory = library_dir(library)
    folders = as_paths(paths or [])
    _refuse_missing(folders, new_library=not (directory / CATALOGUE_NAME).exists())
    _refuse_pointless(exclude or [])
    rules = IgnoreRules(exclude=tuple(exclude or ()), hidden=hidden)
    with showing_progress(json=json, quiet=quiet) as progress:
        info = model_to_index_with(directory, model, progress)
        with Library.open(directory, create=True) as opened:
            opened.typical_queries = everyday_queries(info, models_dir())
            summary = index_photos(
                opened,
                info,
                lambda expected: load_bulk_encoder(info, models_dir(), expected),
                folders,
                rules=rules,
                readers=workers,
                retry=retry,
                confirm_missing=confirm_missing,
                progress=progress,
            )
    if json:
        _say_json(summary)
    else:
        _say_words(summary)
    warn_of_network_disk(directory)
    return _exit_code(summary)


def _refuse_missing(folders: list[bytes], *, new_library: bool) -> None:
    """Refuse a slip before a model is fetched for it. A folder that is known may be offline."""
    if new_library and not folders:
        raise UsageError("no folder is given", "Say which: clipsearch index ~/Pictures")
    for folder in folders:
        if new_library and not os.path.lexists(folder):
            raise UsageError(f"there is no folder {os.fsdecode(folder)}", "Check the path")


def _refuse_pointless(exclude: list[str]) -> None:
    from clipsearch.photos.patterns import parse_pattern

    for glob in exclude:
        if parse_pattern(os.fsencode(glob)) is None:
            raise UsageError(
                f"--exclude {glob!r} leaves nothing out", "Give a name or a path, such as '*.png'"
            )


def _exit_code(summary: "IndexSummary") -> int:
    if summary.interrupted:
        return INTERRUPTED
    if not summary.complete:
        return SOME_FAILED
    return 0 if summary.found > summary.other_files else NOTHING_FOUND


def _say_words(summary: "IndexSummary") -> None:
    for line in describe(summary):
        say(line)
    for problem in (*summary.folder_problems, *_worth_showing(summary)):
        note(f"clipsearch: {visible_path(problem.path)}: {visible(problem.reason)}.")
    hidden = len(_problems(summary)) - SHOWN_PROBLEMS
    known = sum(summary.problems.values())
    if hidden > 0:
        more = counted(hidden, "problem")
        note(f"clipsearch: {more} more: clipsearch library problems lists them all.")
    elif known and not _problems(summary):
        files = counted(known, "known problem")
        note(f"clipsearch: {files}: clipsearch library problems lists them all.")
    for root in summary.roots:
        if root.state != "scanned":
            note(f"clipsearch: {visible_path(root.path)} {ROOT_STATES[root.state]}.")
    if summary.interrupted:
        note("clipsearch: interrupted. What was done is kept; run it again to go on.")
    elif summary.unencoded:
        note(
            f"clipsearch: {counted(summary.unencoded, 'photo')} without an embedding by "
            f"{visible(summary.model)}: the library goes on answering with its former model."
        )
    elif summary.found == summary.other_files and summary.complete:
        note("clipsearch: no photos were found there.")


def describe(summary: "IndexSummary") -> Iterator[str]:
    """The numbers of a run, one kind a line; the lines below the first add up to it."""
    files = counted(summary.found, "file")
    yield f"{files} in {duration(summary.seconds)}, model {visible(summary.model)}"
    read = summary.new + summary.changed + summary.reencoded
    copies = max(0, read - summary.encoded)
    parts = [
        (summary.unchanged, "unchanged"),
        (summary.restored, "back again"),
        (summary.new, "new"),
        (summary.changed, "changed"),
        (summary.reencoded, "unchanged, now also encoded with this model"),
        (summary.moved, "moved"),
        *((count, PROBLEM_WORDS.get(kind, kind)) for kind, count in summary.problems.items()),
        (summary.other_files, "other files" if summary.other_files > 1 else "other file"),
        (summary.gone, "gone before they were read"),
        (summary.remaining, "left to do"),
    ]
    for count, words in parts:
        if count:
            yield f"{count:>9,} {words}"
    if copies:
        yield f"{copies:,} known by content and not encoded again"
    if summary.missing:
        yield f"{counted(summary.missing, 'photo')} missing: no longer found, nor forgotten"
    if summary.ignored:
        yield f"{counted(summary.ignored, 'photo')} left out now by the ignore rules"
    usable = read + summary.unchanged + summary.restored + summary.moved
    if summary.model_activated and usable and not summary.interrupted:
        yield f"the library now answers with the model {visible(summary.model)}"


def _problems(summary: "IndexSummary") -> list["PhotoProblem"]:
    return [p for p in summary.fresh_problems if p.kind in summary.problems]


def _worth_showing(summary: "IndexSummary") -> list["PhotoProblem"]:
    return _problems(summary)[:SHOWN_PROBLEMS]


def _say_json(summary: "IndexSummary") -> None:
    for problem in (*summary.folder_problems, *_problems(summary)):
        fields = {"kind": problem.kind, "reason": problem.reason}
        say_json({"event": "problem", **path_fields(problem.path), **fields})
    numbers = dataclasses.asdict(summary)
    for name in ("fresh_problems", "folder_problems", "roots"):
        del numbers[name]
    roots = [
        {**path_fields(root.path), "state": root.state, "absent": root.absent}
        for root in summary.roots
    ]
    numbers["seconds"] = round(summary.seconds, 3)
    say_json({"event": "summary", **numbers, "roots": roots, "complete": summary.complete})
