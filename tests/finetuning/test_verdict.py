"""The word for a difference, and near-duplicates on one side of the division."""

import numpy as np
import pytest

from clipsearch.finetuning.gathering import _alike
from clipsearch.finetuning.measuring import Results, difference
from clipsearch.finetuning.verdict import as_text, compare, judge
from clipsearch.metrics import PairedDifference, RetrievalRanks


def changed(difference: float, low: float, high: float, p: float) -> PairedDifference:
    return PairedDifference(difference, low, high, p, groups=50)


@pytest.mark.parametrize(
    ("change", "weight", "word"),
    [
        (changed(0.1, 0.05, 0.15, 0.001), 0.5, "better"),
        (changed(0.1, -0.05, 0.25, 0.2), 0.5, "probably better"),
        (changed(0.1, -0.1, 0.3, 0.34), 0.5, "kept"),
        (changed(0.002, -0.05, 0.044, 0.9), 0.5, "kept"),
        (changed(0.0, 0.0, 0.0, 1.0), 0.5, "kept"),
        (changed(-0.1, -0.2, 0.0, 0.04), 1.0, "kept"),
        (changed(0.1, 0.05, 0.15, 0.001), 0.0, "kept"),
        (changed(float("nan"), 0.0, 0.0, 1.0), 1.0, "kept"),
    ],
)
def test_the_word_for_a_difference(change: PairedDifference, weight: float, word: str) -> None:
    assert judge(change, weight) == word


def results(of_photo: list[int], of_caption: list[int], labels: list[int] | None) -> Results:
    photos = np.arange(len(of_photo))
    ranks = RetrievalRanks(photos, np.array(of_photo), photos, np.array(of_caption))
    return Results(ranks, None if labels is None else np.array(labels), None)


def test_photos_are_compared_by_mean_recall_and_labels() -> None:
    found = results([1, 6, 11], [1, 1, 11], [1, 2])
    # Photo 2: its caption at rank 6 (recall@10 alone), itself first: (0.5 + 0.5 + 1) / 3.
    assert found.per_photo.tolist() == pytest.approx([1.0, 2 / 3, 0.0, 1.0, 0.0])
    assert found.score == pytest.approx(8 / 15)
    change = difference(results([11] * 3, [11] * 3, [2, 2]), found)
    assert change.difference == pytest.approx(8 / 15)


def test_a_verdict_holds_both_sides_of_every_figure() -> None:
    before, after = results([11] * 9, [11] * 9, None), results([1] * 9, [1] * 9, None)
    verdict = compare(
        before, after, weight=0.7, best_epoch=3, forgetting=None, most_forgetting=0.05
    )
    assert verdict.word == "better"
    first = verdict.rows[0]
    assert (first.before.value, first.after.value) == (0.0, 1.0)
    assert verdict.test_photos == 9


def test_a_gain_that_chance_gives_as_easily_is_not_called_one() -> None:
    """One photo of nine does better: the sign-flip test sees that in every second useless run."""
    before, after = results([11] * 9, [11] * 9, None), results([1] + [11] * 8, [11] * 9, None)
    verdict = compare(before, after, weight=0.5, best_epoch=1, forgetting=0.0, most_forgetting=0.05)
    assert verdict.change.difference > 0.005
    assert verdict.word == "kept"
    text = as_text(verdict, ("starter", "run/model"), "")
    assert text.startswith("It is not known to help: +5.6 points of mean recall on the test photos")
    assert "The original is kept." in text.splitlines()[0]


def test_labels_alone_are_judged_by_accuracy_and_it_says_so() -> None:
    before, after = (Results(None, np.array([rank] * 9), None) for rank in (2, 1))
    verdict = compare(
        before, after, weight=1.0, best_epoch=1, forgetting=0.01, most_forgetting=0.02,
        is_forgetting_measured=True,
    )  # fmt: skip
    text = as_text(verdict, ("starter", "run/model"), "")
    assert "+100.0 points of accuracy on" in text
    assert "mean recall" not in text
    assert "Forgetting, measured: 1.0 %" in text


def test_near_duplicates_are_found_where_the_model_tells_photos_apart() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((30, 8)).astype(np.float32) + 4  # crowded around one direction
    rows[7] = rows[3] * 1.001
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert _alike(unit) == [(3, 7)]


def test_a_model_that_finds_everything_alike_is_not_believed() -> None:
    rows = np.zeros((30, 8), dtype=np.float32)
    rows[:15, 0] = 1
    rows[15:, 1] = 1
    assert _alike(rows) == []
