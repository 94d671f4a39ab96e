"""Options that several commands share, so that each is called and explained the same everywhere."""

from typing import Annotated

import typer

from clipsearch.cli.arguments import refuse_empty


def named_library(library: str | None) -> str | None:
    """What --library was given. Raises UsageError when that is empty."""
    # An unset "$LIBRARY" must not become the library that is used every day: think of purge.
    refuse_empty("the folder's name after --library", library)
    return library


LibraryOption = Annotated[
    str | None,
    typer.Option(
        "--library",
        metavar="DIR",
        help="The library to use, instead of $CLIPSEARCH_LIBRARY or the one in your data folder.",
        callback=named_library,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
JsonProgressOption = Annotated[
    bool, typer.Option("--json", help="One JSON object a line; progress as JSON on stderr.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
CopyToOption = Annotated[
    str | None,
    typer.Option(
        "--copy-to", metavar="DIR", help="Copy the photos there; nothing is ever overwritten."
    ),
]
LinkToOption = Annotated[
    str | None,
    typer.Option(
        "--link-to", metavar="DIR", help="Put links to the photos there (copies where impossible)."
    ),
]
TemplateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--template",
        metavar="TEXT",
        help='A sentence with {} for the label, "a photo of a {}"; may be repeated.',
        show_default=False,
    ),
]
TemplatesOption = Annotated[
    str | None,
    typer.Option(
        "--templates",
        metavar="NAME",
        help="A set of sentences: general (the usual one), ensemble, plain, words.",
    ),
]
