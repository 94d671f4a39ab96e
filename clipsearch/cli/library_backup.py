"""`clipsearch library backup`: a copy of the catalogue that is a library by itself."""

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from clipsearch.cli.arguments import examples, refuse_empty
from clipsearch.cli.escape import visible
from clipsearch.cli.opening import open_library
from clipsearch.cli.options import JsonOption, LibraryOption
from clipsearch.cli.output import counted, say, say_json
from clipsearch.cli.progress import size

EXAMPLES = examples(
    "clipsearch library backup /mnt/usb       a dated folder there",
    "clipsearch library backup my-library     a new folder of that name",
)


def backup(
    destination: Annotated[
        str,
        typer.Argument(
            metavar="DEST", help="A new folder, or one that is there, for a dated one in it."
        ),
    ] = ".",
    library: LibraryOption = None,
    json: JsonOption = False,
) -> int:
    """Copy what is known of the photos; the photos themselves are not copied.

    Works while others search or index. The copy is complete, compared with the library and safe on
    the disk before it gets its name; nothing is ever overwritten. It is a library by itself.
    """
    from clipsearch.maintaining import back_up

    refuse_empty("the name of the backup", destination)
    with open_library(library) as opened:
        made = back_up(opened, Path(os.path.abspath(destination)))
        own = opened.directory
    if json:
        say_json({"backup": _text(made.directory), "bytes": made.size, "rows": made.rows})
        return 0
    photos = counted(made.rows["photos"], "photo")
    embeddings = counted(made.rows["embeddings"], "embedding")
    there = visible(str(made.directory))
    say(f"backup   {there}")
    say(f"holds    {photos}, {embeddings}, {size(made.size)}")
    say(f"use it   clipsearch search --library {shlex.quote(there)} ...")
    say(f"restore  move {visible(str(own))} away and put a copy of the backup in its place")
    return 0


def _text(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "replace")
