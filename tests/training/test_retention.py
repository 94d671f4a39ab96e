import numpy as np
import pytest

from clipsearch.training import retention
from clipsearch.training.retention import (
    Outlook,
    estimated_forgetting,
    labelled_forgetting,
    uncovered,
)
from clipsearch.types import Floats


def random_rows(count: int, seed: int) -> Floats:
    rows = np.random.default_rng(seed).standard_normal((count, 8))
    unit: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


ORIGINAL = Outlook(random_rows(30, 0), random_rows(40, 1))


def test_the_original_forgot_nothing() -> None:
    same = estimated_forgetting(ORIGINAL, ORIGINAL)
    assert (same.forgetting, same.decisions, same.geometry) == (0, 1, 1)
    assert (same.photos, same.labels) == (30, 40)


def test_turning_everything_forgets_nothing() -> None:
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((8, 8)))[0].astype(np.float32)
    turned = estimated_forgetting(ORIGINAL, Outlook(ORIGINAL.photos @ turn, ORIGINAL.labels @ turn))
    assert turned.forgetting == 0


def test_another_model_forgot_nearly_everything() -> None:
    other = estimated_forgetting(ORIGINAL, Outlook(random_rows(30, 3), random_rows(40, 4)))
    # By chance 5 of 40 decisions and 10 of 39 neighbours stay.
    assert other.decisions == pytest.approx(5 / 40, abs=0.15)
    assert other.geometry == pytest.approx(10 / 39, abs=0.05)
    assert other.forgetting == pytest.approx(1 - (other.decisions + other.geometry) / 2)


def test_decisions_typed_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_MOST_SCORES", 7)  # blocks of one photo
    axes: Floats = np.eye(7, dtype=np.float32)
    swapped = Outlook(axes, axes.copy())
    # The photo of label 0 now looks like 6, 5, 4, 3, 2 and 1, in this order, before 0.
    swapped.photos[0] = np.array([0, 1, 2, 3, 4, 5, 6]) / np.sqrt(91)
    assert estimated_forgetting(Outlook(axes, axes), swapped).decisions == pytest.approx(6 / 7)
    swapped.photos[0] = np.array([2.5, 1, 2, 3, 4, 5, 6]) / np.sqrt(91 + 6.25)  # fifth
    assert estimated_forgetting(Outlook(axes, axes), swapped).decisions == 1


def test_geometry_equals_the_sets_of_nearest_others() -> None:
    other = Outlook(ORIGINAL.photos, ORIGINAL.labels + 0.3 * random_rows(40, 9))

    def nearest(labels: Floats, label: int) -> set[int]:
        others = [i for i in np.argsort(-(labels @ labels[label])).tolist() if i != label]
        return set(others[:10])

    shares = [len(nearest(ORIGINAL.labels, i) & nearest(other.labels, i)) / 10 for i in range(40)]
    assert 0.3 < np.mean(shares) < 0.95
    assert estimated_forgetting(ORIGINAL, other).geometry == pytest.approx(np.mean(shares))


def test_few_labels_have_few_neighbours() -> None:
    one = Outlook(random_rows(3, 5), random_rows(1, 6))
    assert estimated_forgetting(one, one).forgetting == 0
    two = Outlook(random_rows(3, 5), random_rows(2, 6))
    assert estimated_forgetting(two, two).geometry == 1


def test_models_of_other_lengths_compare_but_for_their_vectors() -> None:
    wider = Outlook(
        np.pad(ORIGINAL.photos, ((0, 0), (0, 1))), np.pad(ORIGINAL.labels, ((0, 0), (0, 1)))
    )
    found = estimated_forgetting(ORIGINAL, wider)
    assert found.forgetting == 0


def test_other_photos_are_refused() -> None:
    with pytest.raises(ValueError, match="different"):
        estimated_forgetting(ORIGINAL, Outlook(ORIGINAL.photos[1:], ORIGINAL.labels))
    nothing = Outlook(ORIGINAL.photos[:0], ORIGINAL.labels)
    with pytest.raises(ValueError, match="nothing can be said"):
        estimated_forgetting(nothing, nothing)


def test_labelled_photos_measure_it() -> None:
    # Of ten photos nine were right; two of them are lost, and the other one is found.
    before = np.array([1] * 9 + [4])
    after = np.array([2, 3] + [1] * 8)
    found = labelled_forgetting(before, after)
    assert (found.before, found.after) == (0.9, 0.8)
    assert found.forgetting == pytest.approx(0.1)
    assert found.change.difference == pytest.approx(-0.1)
    assert labelled_forgetting(after, before).forgetting == pytest.approx(-0.1)
    with pytest.raises(ValueError, match="compare"):
        labelled_forgetting(before, after[1:])


def test_labels_that_captions_name_are_covered() -> None:
    labels = ["dog", "hunting dog", "Street signs", "cat", "T-shirt", "wine bottle"]
    captions = ["Two DOGS run.", "a sign in the street", "the red t-shirt", "a bottle, of water"]
    assert uncovered(labels, captions) == ["hunting dog", "cat", "wine bottle"]
    assert uncovered(labels, []) == labels
    # Letters in common are not words in common.
    assert uncovered(["car", "gas"], ["a carpet and a ga"]) == ["car", "gas"]
