"""`clipsearch search`: find photos by words, by example, or both."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from clipsearch.cli.arguments import at_most_one, examples
from clipsearch.cli.delivering import deliver, delivery_of, open_photos, warn_of_copies_found
from clipsearch.cli.escape import path_fields, visible
from clipsearch.cli.opening import open_library, towers_of
from clipsearch.cli.options import CopyToOption, JsonOption, LibraryOption, LinkToOption
from clipsearch.cli.output import Column, note, say_json, say_table, write_bytes
from clipsearch.cli.stopwatch import Stopwatch, say_timings, since_start

if TYPE_CHECKING:
    from clipsearch.query import Query
    from clipsearch.searching import SearchResult

EXAMPLES = examples(
    'clipsearch search "a dog on the beach"',
    "clipsearch search ./rex.jpg                          photos like this one",
    "clipsearch search beach +./rex.jpg -people           both, without people",
    "clipsearch search beach +@rex                        what was taught: see clipsearch teach",
    "clipsearch search sunset in:2023 after:2023-06-01 camera:X100V",
    "clipsearch search receipt -k 100 --copy-to ~/receipts",
    "clipsearch search cat --print0 | xargs -0 ls -l",
)

NOTHING_FOUND = 1
SOME_FAILED = 3


def search(
    query: Annotated[
        list[str],
        typer.Argument(
            metavar="QUERY",
            help="Words, photos (./rex.jpg), @taught names, +more, -less, in:FOLDER, -in:FOLDER, "
            "after:DATE, before:DATE, camera:NAME; a weight is written beach^2.",
            show_default=False,
        ),
    ],
    top_k: Annotated[
        int, typer.Option("-k", "--top-k", metavar="N", min=1, help="How many photos at most.")
    ] = 20,
    min_score: Annotated[
        float | None,
        typer.Option(
            "--min-score",
            metavar="SCORE",
            min=-1.0,
            max=1.0,
            help="Leave out photos with a lower score (cosine).",
        ),
    ] = None,
    json: JsonOption = False,
    print0: Annotated[
        bool, typer.Option("-0", "--print0", help="Only the paths, each ended by a NUL byte.")
    ] = False,
    open_them: Annotated[
        bool, typer.Option("--open", help="Open the best few in the system's photo viewer.")
    ] = False,
    copy_to: CopyToOption = None,
    link_to: LinkToOption = None,
    timings: Annotated[
        bool,
        typer.Option("--timings", help="Say on stderr what each stage took; as JSON with --json."),
    ] = False,
    library: LibraryOption = None,
) -> int:
    """Find photos by words, by an example photo, or both; the best come first.

    The score is the cosine between query and photo: compare scores within one search only.
    """
    watch = Stopwatch()
    watch.start_with("start of Python", since_start())
    at_most_one({"--json": json, "--print0": print0})
    delivery = delivery_of(copy_to, link_to)

    from clipsearch.query import parse_query
    from clipsearch.searching import search as search_photos

    watch("imports")
    with open_library(library) as opened:
        watch("catalogue open")
        names = opened.catalogue.concepts
        asked = parse_query(query, os.path.isfile, lambda name: names.called(name) is not None)
        roots = [root.path for root in opened.catalogue.roots()]
        # Of one generation, so that the model is still the library's when it is asked.
        with opened.catalogue.reading():
            towers = towers_of(opened)
            watch("query and model")
            answer = search_photos(
                opened, towers, asked, top_k=top_k, min_score=min_score, lap=watch
            )
    for name in _photos_taken_for_words(query, asked):
        note(f"clipsearch: there is no file {visible(name)}: searched as words.")
    for warning in answer.warnings:
        note(f"clipsearch: {visible(warning)}.")
    if print0:
        write_bytes(b"".join(result.path + b"\0" for result in answer.results))
    elif json:
        for result in answer.results:
            say_json(record_of(result))
    else:
        _say_table(answer.results)
    watch("output")
    if timings:
        say_timings(watch, json=json)
    if not answer.results:
        note("clipsearch: no photo was found.")
        return NOTHING_FOUND
    paths = [result.path for result in answer.results]
    if delivery:
        warn_of_copies_found(delivery, roots)
    failed = deliver(paths, delivery) if delivery else 0
    if open_them:
        open_photos(paths)
    return SOME_FAILED if failed else 0


def _photos_taken_for_words(given: list[str], asked: "Query") -> list[str]:
    """Arguments that are named like photos and were read as words, because no such file exists."""
    from clipsearch.photos.formats import claims_photo

    texts = " ".join(term.value for term in asked.terms if term.kind == "text")
    names = [argument.lstrip("+-") for argument in given if claims_photo(os.fsencode(argument))]
    return [name for name in names if name in texts]


def record_of(result: "SearchResult") -> dict[str, object]:
    """A result as a JSON object."""
    facts = result.facts
    return {
        "rank": result.rank,
        "score": _rounded(result.score),
        **path_fields(result.path),
        "format": facts.format,
        "width": facts.width,
        "height": facts.height,
        "taken_at": facts.taken_at.isoformat() if facts.taken_at else None,
        "camera": facts.camera,
        "latitude": facts.latitude,
        "longitude": facts.longitude,
        "content_hash": result.content_hash.hex(),
    }


def _say_table(results: tuple["SearchResult", ...]) -> None:
    columns = [Column("score", "right"), Column("taken"), Column("photo", whole=True)]
    rows = (
        (
            score_in_words(result.score),
            result.facts.taken_at.date().isoformat() if result.facts.taken_at else "",
            result.path.decode("utf-8", "surrogateescape"),
        )
        for result in results
    )
    if results:
        say_table(columns, rows)


def score_in_words(score: float | None) -> str:
    """A score for people: three decimals, nothing where a query has only filters."""
    return "" if score is None else f"{score:.3f}"


def _rounded(score: float | None) -> float | None:
    # float32 has about seven digits: more would be noise.
    return None if score is None else round(float(score), 6)
