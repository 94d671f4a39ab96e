"""Classified photos, shown as a table, as JSON lines or as CSV."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from clipsearch.cli.escape import path_fields
from clipsearch.cli.output import Column, say_csv, say_json, say_table

if TYPE_CHECKING:
    from clipsearch.classifying import PhotoLabels

NONE_OF_THESE = "none of these"


def say_labels_table(results: Iterable["PhotoLabels"]) -> None:
    """What was decided, the likeliest labels, the photo. Shown when the last result is there."""
    rows = [
        (decided(result), "  ".join(_likeliest(result)), _path(result.path)) for result in results
    ]
    if rows:
        columns = [Column("label"), Column("probabilities"), Column("photo", whole=True)]
        say_table(columns, rows)


def say_labels_json(results: Iterable["PhotoLabels"], *, with_truth: bool) -> None:
    """One object a photo, as soon as it is there."""
    for result in results:
        say_json(record_of(result, with_truth=with_truth))


def say_labels_csv(results: Iterable["PhotoLabels"], labels: int) -> None:
    """One row a photo, as soon as it is there, with `labels` likeliest labels."""
    columns = ["path", "label"]
    for number in range(1, labels + 1):
        columns += [f"label_{number}", f"probability_{number}"]
    say_csv(columns, map(_csv_row, results))


def record_of(result: "PhotoLabels", *, with_truth: bool) -> dict[str, object]:
    """A classified photo as a JSON object."""
    record: dict[str, object] = {
        **path_fields(result.path),
        "assigned": list(result.assigned),
        "labels": [
            {
                "label": each.label,
                "probability": round(each.probability, 6),
                "score": round(each.score, 6),
            }
            for each in result.labels
        ],
    }
    if result.none_probability is not None:
        record["none_probability"] = round(result.none_probability, 6)
    if with_truth:
        record["truth"] = result.truth
        record["truth_rank"] = result.truth_rank
    return record


def decided(result: "PhotoLabels") -> str:
    """The labels that were decided for, in words."""
    return ", ".join(result.assigned) or NONE_OF_THESE


def _likeliest(result: "PhotoLabels") -> list[str]:
    shown = [(each.label, each.probability) for each in result.labels]
    if result.none_probability is not None:
        # Before its equals: none of these is decided for unless a label is likelier.
        shown.insert(0, (NONE_OF_THESE, result.none_probability))
        shown.sort(key=lambda each: each[1], reverse=True)
    return [f"{name} {probability:.3f}" for name, probability in shown]


def _csv_row(result: "PhotoLabels") -> list[str]:
    row = [_path(result.path), decided(result)]
    for each in result.labels:
        row += [each.label, f"{each.probability:.6f}"]
    return row


def _path(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
