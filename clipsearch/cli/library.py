"""`clipsearch library`: what is stored, where, and what is wrong with it."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from clipsearch.cli import library_backup, library_check, library_purge
from clipsearch.cli.arguments import examples, refuse_empty
from clipsearch.cli.escape import path_fields, visible, visible_path
from clipsearch.cli.moments import shown_moment
from clipsearch.cli.opening import open_library
from clipsearch.cli.options import JsonOption, LibraryOption
from clipsearch.cli.output import Column, counted, note, say, say_json, say_table
from clipsearch.cli.progress import size
from clipsearch.errors import NotPhoto, UsageError

if TYPE_CHECKING:
    from clipsearch.storage.catalogue import Root

EXAMPLES = examples(
    "clipsearch library                       how much is stored, with which model",
    "clipsearch library problems              files that could not be used, and why",
    "clipsearch library forget ~/Old          stop knowing a folder; its photos stay",
    "clipsearch library check --repair        look for damage and mend it",
    "clipsearch library backup /mnt/usb       a copy, also while indexing",
)

NOTHING_FOUND = 1
NOT_A_PHOTO = NotPhoto.kind
# The kinds of problems that are recorded, see errors.py.
KINDS = ("unsupported", "damaged", "refused", "unreadable", NOT_A_PHOTO)

library_app = typer.Typer(
    name="library", help="What is stored, where, and what is wrong with it.", epilog=EXAMPLES
)


@library_app.callback(invoke_without_command=True)
def library(context: typer.Context) -> int | None:
    """What is stored, where, and what is wrong with it. Alone: `clipsearch library status`."""
    return status() if context.invoked_subcommand is None else None


@library_app.command()
def status(library: LibraryOption = None, json: JsonOption = False) -> int:
    """How much is stored, with which model."""
    with open_library(library) as opened:
        directory = opened.directory
        counts = opened.catalogue.counts()
        models = opened.catalogue.models()
        roots = opened.catalogue.roots()
    taken = sum(file.stat().st_size for file in directory.iterdir() if file.is_file())
    if json:
        say_json(
            {
                "library": str(directory),
                "bytes": taken,
                "photos": counts.photos,
                "contents": counts.contents,
                "embedded": counts.embedded,
                "missing": counts.missing,
                "problems": counts.problems,
                "roots": len(roots),
                "models": [
                    {
                        "name": model.info.name,
                        "fingerprint": model.info.fingerprint,
                        "embedded": model.embedded,
                        "active": model.active,
                    }
                    for model in models
                ],
            }
        )
        return 0
    say(f"library   {visible(str(directory))}, {size(taken)}")
    say(f"photos    {counts.photos:,} in {counted(len(roots), 'folder')}")
    say(f"contents  {counts.contents:,} different, {counts.embedded:,} of them searchable")
    if counts.missing:
        say(f"missing   {counts.missing:,}: their files are gone, what is known of them is kept")
    problems = {kind: count for kind, count in counts.problems.items() if kind != NOT_A_PHOTO}
    if problems:
        kinds = ", ".join(f"{count:,} {visible(kind)}" for kind, count in problems.items())
        say(f"problems  {kinds}: see clipsearch library problems")
    for model in models:
        state = "answers" if model.active else "beside it"
        say(f"model     {visible(model.info.name)}, {state}: {model.embedded:,} encoded")
    return 0


@library_app.command()
def roots(library: LibraryOption = None, json: JsonOption = False) -> int:
    """The folders that were indexed, when, and whether they are there now."""
    with open_library(library) as opened:
        found = opened.catalogue.roots()
    if json:
        for root in found:
            say_json({**path_fields(root.path), "online": _is_online(root), **_times(root)})
        return 0
    rows = (
        (
            "online" if _is_online(root) else "offline",
            shown_moment(root.scanned_at, "%Y-%m-%d %H:%M")
            if root.scanned_at is not None
            else "never to the end",
            _fsdecode(root.path),
        )
        for root in found
    )
    say_table([Column("state"), Column("last read"), Column("folder", whole=True)], rows)
    return 0


@library_app.command()
def problems(
    kind: Annotated[
        str | None,
        typer.Option(metavar="KIND", help=f"Only these: {', '.join(KINDS)}."),
    ] = None,
    library: LibraryOption = None,
    json: JsonOption = False,
) -> int:
    """Files that could not be used, and why; exit code 1 when there are none."""
    if kind is not None and kind not in KINDS:
        raise UsageError(f"there is no kind of problem {kind}", f"Choose: {', '.join(KINDS)}")
    with open_library(library) as opened:
        # A text file beside the photos is no problem, unless somebody asks.
        found = [row for row in opened.catalogue.problems(kind) if kind or row.kind != NOT_A_PHOTO]
    if json:
        for row in found:
            say_json({**path_fields(row.path), "kind": row.kind, "reason": row.reason})
    else:
        rows = ((row.kind, row.reason, _fsdecode(row.path)) for row in found)
        say_table([Column("kind"), Column("reason"), Column("file", whole=True)], rows)
    if not found:
        note("clipsearch: no problems are recorded.")
        return NOTHING_FOUND
    return 0


@library_app.command()
def forget(
    root: Annotated[
        str, typer.Argument(metavar="ROOT", help="The folder, as clipsearch library roots has it.")
    ],
    library: LibraryOption = None,
    json: JsonOption = False,
) -> int:
    """Erase what is known of a folder. Its photos stay where they are."""
    refuse_empty("the folder's name", root)
    with open_library(library) as opened, opened.writer():
        known = _root_at(opened.catalogue.roots(), os.fsencode(root))
        photos = opened.catalogue.forget_root(known)
    if json:
        say_json({**path_fields(known.path), "photos": photos})
    else:
        count = counted(photos, "photo")
        say(f"forgot {count} of {visible_path(known.path)}; the files were not touched")
    return 0


@library_app.command()
def rebuild(
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Measure the kinds of index and say which was chosen, why."),
    ] = False,
    library: LibraryOption = None,
    json: JsonOption = False,
) -> int:
    """Write the search snapshot again from the catalogue, after checking every embedding."""
    from clipsearch.checking import rebuild_snapshot
    from clipsearch.cli.library_rebuild import say_comparison, say_comparison_json
    from clipsearch.encoders.everyday import everyday_queries
    from clipsearch.storage.layout import models_dir

    with open_library(library) as opened:
        if opened.model is not None:
            opened.typical_queries = everyday_queries(opened.model, models_dir())
        rebuilt = rebuild_snapshot(opened)
        found = opened.compare_indexes() if explain and opened.model is not None else None
    if json and explain:
        say_comparison_json(found)
    elif json:
        say_json({"rebuilt": rebuilt})
    else:
        say("the search snapshot is up to date")
    if explain and not json:
        say_comparison(found)
    return 0


library_app.command("check", epilog=library_check.EXAMPLES)(library_check.check)
library_app.command("backup", epilog=library_backup.EXAMPLES)(library_backup.backup)
library_app.command("purge", epilog=library_purge.EXAMPLES)(library_purge.purge)


@library_app.command()
def where(library: LibraryOption = None, json: JsonOption = False) -> int:
    """Where the library, the models and the packaged data are."""
    from clipsearch.storage.layout import data_dir, library_dir, models_dir

    places = {"library": library_dir(library), "models": models_dir(), "data": data_dir()}
    if json:
        say_json({name: str(path) for name, path in places.items()})
        return 0
    for name, path in places.items():
        say(f"{name:8} {visible(str(path))}")
    return 0


def _root_at(known: list["Root"], given: bytes) -> "Root":
    for path in (given, os.path.abspath(given), os.path.realpath(given)):
        for root in known:
            if root.path == (path.rstrip(b"/") or b"/"):
                return root
    raise UsageError(
        f"{os.fsdecode(given)} is no folder of this library", "See: clipsearch library roots"
    )


def _is_online(root: "Root") -> bool:
    return os.path.isdir(root.path)


def _times(root: "Root") -> dict[str, object]:
    return {"added_at": root.added_at, "scanned_at": root.scanned_at}


def _fsdecode(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
