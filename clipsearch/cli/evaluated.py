"""Figures of one model or of two, shown as tables or as JSON."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from clipsearch.cli.accuracy import say_accuracy_by_label
from clipsearch.cli.escape import visible
from clipsearch.cli.output import Column, counted, say, say_json, say_table
from clipsearch.percent import percent

if TYPE_CHECKING:
    from clipsearch.evaluating import Compared, Comparison, Evaluation
    from clipsearch.metrics import Direction, Estimate

TO_PHOTO = "photo for a caption"
TO_TEXT = "caption for a photo"
_DIRECTIONS = {"to_photo": TO_PHOTO, "to_text": TO_TEXT}


def say_evaluation(found: "Evaluation") -> None:
    """One model's figures, each with its interval."""
    say(f"{visible(found.model)}: {_amounts(found)}")
    columns = [Column("figure"), Column("value", "right"), Column("95 % interval", "right")]
    say_table(columns, list(_figures(found)))
    say(_snapshot(found))


def say_comparison(first: "Evaluation", second: "Evaluation", comparison: "Comparison") -> None:
    """Two models' figures side by side, the differences, and what they mean."""
    from clipsearch.evaluating import verdicts

    say(f"{visible(second.model)} compared with {visible(first.model)}: {_amounts(second)}, in %")
    titles = ("figure", first.model, second.model, "difference", "95 % interval", "p")
    columns = [Column(titles[0]), *(Column(visible(title), "right") for title in titles[1:])]
    decisive = [] if comparison.recall is None else [comparison.recall]
    rows = [_compared_row(each) for each in (*decisive, *comparison.figures)]
    say_table(columns, rows)
    for each in (first, second):
        say(f"{visible(each.model)}: {_snapshot(each)}")
    for sentence in verdicts(first, second, comparison):
        say(f"{visible(sentence)}.")


def say_labels(found: "Evaluation") -> None:
    """Each label's accuracy and the most frequent confusions."""
    if found.zero_shot is not None:
        say()
        say(visible(found.model))
        say_accuracy_by_label(found.zero_shot.report)


def say_records(
    found: "Sequence[Evaluation]", comparison: "Comparison | None", left_out: Sequence[int]
) -> None:
    """One object a model and one for the comparison, told apart by `event`."""
    for each, count in zip(found, left_out, strict=True):
        record = {"event": "evaluation", **dataclasses.asdict(each), "left_out": count}
        say_json(_plain(record))
    if comparison is not None:
        from clipsearch.evaluating import verdicts

        names = {"first": found[0].model, "second": found[1].model}
        sentences = verdicts(found[0], found[1], comparison)
        record = {"event": "comparison", **names, **dataclasses.asdict(comparison)}
        say_json(_plain({**record, "verdicts": sentences}))


def _amounts(found: "Evaluation") -> str:
    parts = [counted(found.photos, "photo")]
    if found.captions:
        parts.append(counted(found.captions, "caption"))
    if found.labels:
        parts.append(counted(found.labels, "label"))
    return ", ".join(parts)


def _figures(found: "Evaluation") -> Iterator[tuple[str, str, str]]:
    if found.retrieval is not None:
        yield from _direction(TO_PHOTO, found.retrieval.to_photo)
        yield from _direction(TO_TEXT, found.retrieval.to_text)
    zero_shot = found.zero_shot
    if zero_shot is not None:
        yield _percent("zero-shot top-1", zero_shot.top_1)
        yield _percent("zero-shot top-5", zero_shot.top_5)
        mean = zero_shot.report.mean_per_class
        yield "zero-shot top-1, mean of the labels", percent(mean or 0), ""
        yield "calibration error", percent(zero_shot.calibration_error), ""


def _direction(name: str, found: "Direction") -> Iterator[tuple[str, str, str]]:
    for k, estimate in found.recall_at.items():
        yield _percent(f"{name}, recall@{k}", estimate)
    rank, mrr = found.median_rank, found.mean_reciprocal_rank
    yield f"{name}, median rank", _rank(rank.value), f"{_rank(rank.low)} to {_rank(rank.high)}"
    yield f"{name}, MRR", f"{mrr.value:.3f}", f"{mrr.low:.3f} to {mrr.high:.3f}"


def _rank(rank: float) -> str:
    return f"{rank:,.1f}".removesuffix(".0")


def _percent(name: str, estimate: "Estimate") -> tuple[str, str, str]:
    interval = f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f} %"
    return name, percent(estimate.value), interval


def _compared_row(each: "Compared") -> tuple[str, ...]:
    found = each.difference
    return (
        _name(each.figure),
        f"{100 * each.first:.1f}",
        f"{100 * each.second:.1f}",
        f"{100 * found.difference:+.1f}",
        f"{100 * found.low:+.1f} to {100 * found.high:+.1f}",
        f"{found.p_value:.4f}",
    )


def _name(figure: str) -> str:
    """`to_photo.recall_at.5` as people read it."""
    parts = figure.split(".")
    words = {"recall_at": "recall@", "mean_reciprocal_rank": "MRR x 100"}
    if parts[0] == "mean_recall":
        return "mean recall@1, 5, 10, both ways"
    if parts[0] == "zero_shot":
        return f"zero-shot {parts[1].replace('_', '-')}"
    return f"{_DIRECTIONS[parts[0]]}, {words[parts[1]]}{''.join(parts[2:])}"


def _snapshot(found: "Evaluation") -> str:
    snapshot = found.snapshot
    return (
        f"FAISS finds {percent(snapshot.agreement, 2)} of the {snapshot.k} nearest photos that "
        f"exact search finds, over {snapshot.queries:,} searches"
    )


def _plain(value: object) -> "dict[str, object]":
    """Numbers that are none as null: JSON has no NaN."""
    cleaned = _cleaned(value)
    assert isinstance(cleaned, dict)
    return cleaned


def _cleaned(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _cleaned(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(each) for each in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
