"""Probabilities and decisions on vectors typed by hand."""

from dataclasses import replace

import numpy as np
import pytest

from clipsearch.classifying import Classes, Decision, Odds, PhotoLabels, Rule, deciding
from clipsearch.classifying.deciding import decide, probabilities
from clipsearch.encoders.fake import FAKE
from clipsearch.errors import UsageError
from clipsearch.labels import Label
from clipsearch.ranking import unit
from clipsearch.types import Floats

SOFTMAX = replace(FAKE, logit_scale=2.0)
SIGMOID = replace(FAKE, logit_scale=2.0, logit_bias=-1.0)
EYE = np.eye(4, dtype=np.float32)
# Labels along the first three axes; photos of anything along the fourth.
CLASSES = Classes(SOFTMAX, tuple(Label(n, n) for n in ("cat", "dog", "car")), EYE[:3], EYE[3])


def one(vector: list[float], rule: Rule, classes: Classes = CLASSES) -> PhotoLabels:
    rows = unit(np.array([vector], np.float32))
    (result,) = decide(classes, rule, [[b"/p/a.jpg"]], rows, [[None]])
    return result


def test_best_is_the_softmax_with_the_logit_scale() -> None:
    result = one([0.6, 0.8, 0, 0], Rule(top_n=2))
    shares = np.exp([1.2, 1.6, 0.0])
    shares /= shares.sum()
    assert [found.label for found in result.labels] == ["dog", "cat"]
    assert [found.score for found in result.labels] == pytest.approx([0.8, 0.6])
    assert [found.probability for found in result.labels] == pytest.approx([shares[1], shares[0]])
    assert result.assigned == ("dog",)
    assert result.none_probability is None


def test_best_below_the_least_probability_assigns_nothing() -> None:
    assert one([0.6, 0.8, 0, 0], Rule(min_probability=0.4)).assigned == ("dog",)
    result = one([0.6, 0.8, 0, 0], Rule(min_probability=0.6))
    assert result.assigned == ()
    assert result.labels[0].label == "dog"


def test_none_is_decided_when_neutral_words_fit_as_well() -> None:
    rule = Rule("best-or-none")
    assert one([0.8, 0, 0, 0.6], rule).assigned == ("cat",)
    assert one([0.6, 0, 0, 0.8], rule).assigned == ()
    assert one([1, 0, 0, 1], rule).assigned == ()


def test_none_shares_the_probability() -> None:
    result = one([0.6, 0, 0, 0.8], Rule("best-or-none"))
    shares = np.exp([1.2, 0, 0, 1.6])
    shares /= shares.sum()
    assert result.none_probability == pytest.approx(shares[3], abs=1e-6)
    assert result.labels[0].probability == pytest.approx(shares[0])
    total = sum(found.probability for found in result.labels) + shares[3]
    assert total == pytest.approx(1)


def test_each_is_a_softmax_against_neutral_words() -> None:
    result = one([0.8, 0.6, 0, 0], Rule("each"))
    assert [found.probability for found in result.labels] == pytest.approx(
        [1 / (1 + np.exp(-1.6)), 1 / (1 + np.exp(-1.2)), 0.5]
    )
    assert result.assigned == ("cat", "dog", "car")  # car: exactly 0.5
    assert one([0.8, 0, 0, 0.6], Rule("each")).assigned == ("cat",)
    assert one([0.8, 0.6, 0, 0], Rule("each", min_probability=0.8)).assigned == ("cat",)


def test_each_uses_the_bias_of_a_sigmoid_trained_model() -> None:
    result = one([0.8, 0.6, 0, 0], Rule("each"), replace(CLASSES, model=SIGMOID))
    logits = 2 * np.array([0.8, 0.6, 0]) - 1
    assert [found.probability for found in result.labels] == pytest.approx(
        list(1 / (1 + np.exp(-logits)))
    )
    assert result.assigned == ("cat", "dog")


def test_more_labels_can_be_assigned_than_are_told() -> None:
    result = one([0.8, 0.6, 0, 0], Rule("each", top_n=1))
    assert len(result.labels) == 1
    assert result.assigned == ("cat", "dog", "car")


def test_truth_rank_is_that_of_all_labels_and_ties_count_against() -> None:
    rows = unit(np.array([[3, 2, 1, 0], [1, 1, 0, 0]], np.float32))
    results = list(decide(CLASSES, Rule(top_n=1), [[b"a"], [b"b"]], rows, [[2], [1]]))
    assert [(result.truth, result.truth_rank) for result in results] == [("car", 3), ("dog", 2)]


def test_copies_get_the_same_labels_and_their_own_truth() -> None:
    first, second = decide(CLASSES, Rule(), [[b"/cat/a", b"/x/a"]], EYE[:1], [[0, None]])
    assert (first.path, first.truth, first.truth_rank) == (b"/cat/a", "cat", 1)
    assert (second.path, second.truth, second.truth_rank) == (b"/x/a", None, None)
    assert first.labels == second.labels


@pytest.mark.parametrize("decision", ["best", "best-or-none", "each"])
def test_blocks_equal_one_piece(decision: Decision, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: Floats = unit(np.random.default_rng(5).normal(size=(23, 4)).astype(np.float32))
    paths = [[b"%d" % i] for i in range(23)]
    whole = list(decide(CLASSES, Rule(decision), paths, rows, [[None]] * 23))
    monkeypatch.setattr(deciding, "_MOST_SCORES", 3 * 5)
    pieces = list(decide(CLASSES, Rule(decision), paths, rows, [[None]] * 23))
    assert [(p.path, p.assigned) for p in pieces] == [(w.path, w.assigned) for w in whole]
    cosines, shares = probabilities(CLASSES, decision, rows)
    for i, piece in enumerate(pieces):
        best = int(cosines[i].argmax())
        assert piece.labels[0].label == CLASSES.labels[best].name
        assert piece.labels[0].probability == pytest.approx(float(shares[i, best]), abs=1e-6)


@pytest.mark.parametrize(
    "wrong", [{"top_n": 0}, {"min_probability": 1.5}, {"min_probability": float("nan")}]
)
def test_rules_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Rule(**wrong)  # type: ignore[arg-type]


def taught(*columns: bool, scale: float = 4.0, bias: float = -2.0) -> Odds:
    is_taught = np.array(columns)
    return Odds(
        is_taught,
        np.where(is_taught, scale, 0).astype(np.float32),
        np.where(is_taught, bias, 0).astype(np.float32),
    )


# The cat was taught: even odds at the cosine 0.5.
TAUGHT = replace(CLASSES, odds=taught(True, False, False))
ALL_TAUGHT = replace(CLASSES, odds=taught(True, True, True))


def test_taught_labels_have_their_own_odds_and_words_share_the_rest() -> None:
    result = one([0.6, 0.8, 0, 0], Rule(), TAUGHT)
    words = np.exp([2 * 0.8, 0.0])
    credit = (words.sum() + 1) ** 0.25  # neutral words have the cosine 0: exp(0) = 1
    odds = np.exp(4 * 0.6 - 2)
    expected = np.array([odds, *(credit * words / words.sum())]) / (credit + odds)
    found = {label.label: label.probability for label in result.labels}
    assert [found[name] for name in ("cat", "dog", "car")] == pytest.approx(list(expected))
    assert sum(found.values()) == pytest.approx(1)
    (cat,) = [label for label in result.labels if label.label == "cat"]
    assert cat.score == pytest.approx(0.6)


def test_none_of_these_gets_no_credit_that_words_get() -> None:
    result = one([0.6, 0.8, 0, 0], Rule("best-or-none"), TAUGHT)
    words = np.exp([2 * 0.8, 0.0])
    none = 1.0
    credit = (words.sum() + none) ** 0.25
    odds = np.exp(4 * 0.6 - 2)
    shares = np.array([odds, *(credit * words / (words.sum() + none)), none / (words.sum() + none)])
    assert result.none_probability == pytest.approx(shares[-1] / shares.sum(), abs=1e-6)


def test_only_taught_labels_compare_by_their_odds() -> None:
    result = one([0.6, 0.8, 0, 0], Rule(), ALL_TAUGHT)
    shares = np.exp([4 * 0.8, 4 * 0.6, 0])
    shares /= shares.sum()
    assert [found.probability for found in result.labels] == pytest.approx(list(shares))


@pytest.mark.parametrize("classes", [TAUGHT, ALL_TAUGHT], ids=["one", "all"])
def test_a_taught_label_below_even_odds_is_none_of_these(classes: Classes) -> None:
    rule = Rule("best-or-none")
    assert one([0.9, 0, 0, 0.1], rule, classes).assigned == ("cat",)
    below = one([0.4, 0, 0, 0.9], rule, classes)
    assert below.assigned == ()
    assert below.none_probability is not None
    assert below.none_probability > 0.3


def test_below_even_odds_a_taught_label_is_not_decided_for_because_words_share_the_rest() -> None:
    # Many equally good words: each has less than the taught one, which still is unlikely.
    n = 40
    rows = np.tile(EYE[1], (n, 1))
    labels = (Label("cat", "@cat"), *(Label(f"w{i}", f"w{i}") for i in range(n)))
    odds = Odds(
        np.arange(n + 1) == 0,
        np.where(np.arange(n + 1) == 0, 4, 0).astype(np.float32),
        np.where(np.arange(n + 1) == 0, -2, 0).astype(np.float32),
    )
    classes = Classes(SOFTMAX, labels, np.concatenate([EYE[:1], rows]), EYE[3], odds=odds)
    result = one([0.45, 0.85, 0, 0.25], Rule("best-or-none"), classes)
    assert result.labels[0].label == "cat"
    assert result.assigned == ()


@pytest.mark.parametrize("model", [SOFTMAX, SIGMOID], ids=["softmax", "sigmoid"])
def test_each_takes_a_taught_label_from_even_odds(model: object) -> None:
    classes = replace(TAUGHT, model=model)
    found = {
        label.label: label.probability
        for label in one([0.6, 0.8, 0, 0], Rule("each"), classes).labels
    }
    assert found["cat"] == pytest.approx(1 / (1 + np.exp(-0.4)))
    plain = replace(CLASSES, model=model)
    words = {
        label.label: label.probability
        for label in one([0.6, 0.8, 0, 0], Rule("each"), plain).labels
    }
    assert found["dog"] == pytest.approx(words["dog"])
    assert "cat" not in one([0.4, 0.8, 0, 0], Rule("each"), classes).assigned


def test_truth_rank_counts_by_odds_not_by_cosine() -> None:
    # The cat's cosine is higher, its odds are lower.
    classes = replace(CLASSES, odds=taught(True, False, False, scale=4, bias=-6))
    (result,) = decide(classes, Rule(), [[b"a"]], unit(np.array([[8, 6, 0, 0]], np.float32)), [[1]])
    assert (result.labels[0].label, result.truth_rank) == ("dog", 1)
