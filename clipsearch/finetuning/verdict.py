"""What came of a run: better, no better, or worse, and how sure that is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from clipsearch.finetuning.measuring import Results, difference
from clipsearch.metrics import CUTOFFS, PairedDifference
from clipsearch.metrics.intervals import Estimate
from clipsearch.percent import percent

Word = Literal["better", "probably better", "kept"]
# Of a two-sided test: one in six of the changes that do nothing are as large in this direction.
_LIKELY = 1 / 3


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of the test part, before and after."""

    name: str
    before: Estimate
    after: Estimate
    is_share: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """`word`: "kept" means that the original is kept. `weight`: how much of the tuned weights went
    into the model (0: none). `change`: of the test photos' score, called `score_name`.
    `forgetting`: the accuracy lost on photos given for that (`is_forgetting_measured`), else
    estimated on the test part, None when it cannot be; `most_forgetting` what was allowed."""

    word: Word
    weight: float
    best_epoch: int
    rows: tuple[Row, ...]
    change: PairedDifference
    score_name: str
    forgetting: float | None
    is_forgetting_measured: bool
    most_forgetting: float
    test_photos: int


def judge(change: PairedDifference, weight: float) -> Word:
    """The word for a difference on photos that had no say in anything before.

    "Probably" needs at least half a point: less is nothing that anybody would see; and odds of five
    to one against a model as good as the original: half of all changes that do nothing are above 0.
    """
    if weight == 0 or not change.difference > 0:
        return "kept"
    if change.is_sure:
        return "better"
    is_likely = change.p_value < _LIKELY and change.difference >= 0.005
    return "probably better" if is_likely else "kept"


def rows_of(before: Results, after: Results) -> tuple[Row, ...]:
    """The figures of two models side by side."""
    rows: list[Row] = []
    first, second = before.retrieval(), after.retrieval()
    if first is not None and second is not None:
        for title, one, other in (
            ("photo for a caption", first.to_photo, second.to_photo),
            ("caption for a photo", first.to_text, second.to_text),
        ):
            for k in CUTOFFS:
                rows.append(Row(f"{title}, recall@{k}", one.recall_at[k], other.recall_at[k], True))
            rows.append(Row(f"{title}, median rank", one.median_rank, other.median_rank, False))
            mrr = (one.mean_reciprocal_rank, other.mean_reciprocal_rank)
            rows.append(Row(f"{title}, mean reciprocal rank", *mrr, True))
    accuracies = before.accuracy(), after.accuracy()
    if accuracies[0] is not None and accuracies[1] is not None:
        rows.append(Row("the right label first", accuracies[0], accuracies[1], True))
    return tuple(rows)


def compare(
    before: Results,
    after: Results,
    *,
    weight: float,
    best_epoch: int,
    forgetting: float | None,
    most_forgetting: float,
    is_forgetting_measured: bool = False,
) -> Verdict:
    """Judge the model that was made by the photos that neither of them has seen."""
    change = difference(before, after)
    return Verdict(
        word=judge(change, weight),
        weight=weight,
        best_epoch=best_epoch,
        rows=rows_of(before, after),
        change=change,
        score_name=before.score_name,
        forgetting=forgetting,
        is_forgetting_measured=is_forgetting_measured,
        most_forgetting=most_forgetting,
        test_photos=len(before.per_photo),
    )


def as_record(verdict: Verdict, curve: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The verdict for report.json. `curve`: the points between the original and the tuned model."""
    return {**asdict(verdict), "curve": list(curve)}


def as_text(verdict: Verdict, names: tuple[str, str], curve_table: str) -> str:
    """The verdict for people. `names`: of the original model, and of the directory of the new."""
    original, model = names
    width = max((len(row.name) for row in verdict.rows), default=0)
    lines = [_headline(verdict), ""]
    photos = "1 test photo" if verdict.test_photos == 1 else f"{verdict.test_photos:,} test photos"
    lines.append(f"{photos}, which neither model learned from; in")
    lines.append("brackets where the figure lies with 95 % certainty:")
    lines.append(f"  {'':<{width}}  {'before':<20}  after")
    lines += [
        f"  {row.name:<{width}}  {_shown(row.before, row.is_share):<20}  "
        f"{_shown(row.after, row.is_share)}"
        for row in verdict.rows
    ]
    lines += ["", _forgetting(verdict)]
    if curve_table:
        lines += [
            "",
            f"Between the original (0) and the weights after epoch {verdict.best_epoch} (1), "
            "on the validation photos:",
            curve_table.rstrip(),
        ]
    lines += ["", f"The model: {model}"]
    if verdict.word == "kept":
        lines[-1] += f" (it is {original}, unchanged)"
    return "\n".join(lines) + "\n"


def _headline(verdict: Verdict) -> str:
    points = f"{100 * verdict.change.difference:+.1f} points of {verdict.score_name}"
    sure = f"{100 * verdict.change.low:+.1f} to {100 * verdict.change.high:+.1f}"
    match verdict.word:
        case "better":
            return f"It helped: {points} on the test photos ({sure})."
        case "probably better":
            return (
                f"It probably helped: {points} on the test photos ({sure}), "
                "but they are too few to be sure."
            )
        case _ if verdict.weight == 0:
            return (
                "It did not help: on the validation photos nothing within the bound on forgetting "
                "beat the original. The original is kept."
            )
        case _ if verdict.change.difference > 0:
            return (
                f"It is not known to help: {points} on the test photos ({sure}), as chance alone "
                "may give. The original is kept."
            )
        case _:
            return f"It did not help: {points} on the test photos ({sure}). The original is kept."


def _forgetting(verdict: Verdict) -> str:
    if verdict.forgetting is None:
        return "Forgetting could not be estimated: too few everyday labels are not in the data."
    how = "measured" if verdict.is_forgetting_measured else "estimated"
    return (
        f"Forgetting, {how}: {percent(verdict.forgetting)} "
        f"(at most {percent(verdict.most_forgetting)} was allowed)."
    )


def _shown(estimate: Estimate, is_share: bool) -> str:
    if is_share:
        value, low, high = (100 * x for x in (estimate.value, estimate.low, estimate.high))
        return f"{value:.1f} % ({low:.1f}-{high:.1f})"
    return f"{estimate.value:.1f} ({estimate.low:.1f}-{estimate.high:.1f})"
