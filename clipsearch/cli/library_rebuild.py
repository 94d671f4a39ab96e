"""What `clipsearch library rebuild --explain` says: which index, why, and against what."""

from typing import TYPE_CHECKING

from clipsearch.cli.output import Column, say, say_json, say_table
from clipsearch.cli.progress import size
from clipsearch.storage.model_snapshot import WITHOUT_SNAPSHOT

if TYPE_CHECKING:
    from clipsearch.storage.snapshot_comparing import Comparison, Measured

_KINDS = {"exact": "exact: every row is compared", "ivf": "ivf: the nearest lists are compared"}
_QUERIES = {"text": "everyday words by the library's model", "photos": "photos with noise"}


def say_comparison(found: "Comparison | None") -> None:
    """The choice and a table of what was measured, for people."""
    if found is None:
        say("there is no snapshot: nothing was indexed yet")
        return
    if found.rows <= WITHOUT_SNAPSHOT:
        say(f"up to {WITHOUT_SNAPSHOT:,} photos searches read the catalogue and need no snapshot")
    choice = found.choice
    say(f"rows     {found.rows:,}")
    say(f"index    {_KINDS[choice.kind]}")
    if choice.kind == "ivf":
        say(f"lists    {choice.probes:,} of {choice.lists:,} are searched")
    say(f"because  {choice.reason}")
    say(f"queries  {_QUERIES[found.queries]}")
    columns = [
        Column("index"),
        Column("lists", "right"),
        Column("searched", "right"),
        Column("recall@10", "right"),
        Column("ms/query", "right"),
        Column("size", "right"),
        Column("open ms", "right"),
        Column(""),
    ]
    say_table(columns, map(_row, found.measured))


def say_comparison_json(found: "Comparison | None") -> None:
    """The same as one JSON object."""
    if found is None:
        say_json({"rows": 0})
        return
    choice = found.choice
    say_json(
        {
            "rows": found.rows,
            "searches_use_it": found.rows > WITHOUT_SNAPSHOT,
            "index": choice.kind,
            "lists": choice.lists,
            "probes": choice.probes,
            "reason": choice.reason,
            "chosen_with": choice.queries or None,
            "queries": found.queries,
            "measured": [
                {
                    "index": each.trial.kind,
                    "lists": each.lists,
                    "probes": each.trial.probes,
                    "recall_at_10": round(each.trial.recall, 4),
                    "query_ms": round(each.trial.query_ms, 3),
                    "bytes": each.size,
                    "open_ms": round(each.open_ms, 2),
                    "chosen": each.chosen,
                }
                for each in found.measured
            ],
        }
    )


def _row(each: "Measured") -> tuple[str, ...]:
    return (
        each.trial.kind,
        f"{each.lists:,}",
        f"{each.trial.probes:,}",
        f"{each.trial.recall:.4f}",
        f"{each.trial.query_ms:.2f}",
        size(each.size),
        f"{each.open_ms:.1f}",
        "chosen" if each.chosen else "",
    )
