"""The linear probe against its slow, obvious twin."""

import numpy as np
import pytest

from clipsearch.concepts import labelling
from clipsearch.concepts.labelling import learn_labels
from clipsearch.errors import UsageError
from clipsearch.types import Floats, Ids

DIM = 6


def photos(seed: int, counts: tuple[int, ...]) -> tuple[Floats, Ids]:
    """Unit rows around one axis a label."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = rng.normal(size=(len(labels), DIM)) * 0.5 + 2 * np.eye(DIM)[labels]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


def test_left_out_predictions_equal_solving_again_without_the_photo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Means and weights are those of all photos in both; only the photo's own term is taken out.
    rows, labels = photos(1, (5, 3, 7))
    seen: list[np.ndarray] = []
    monkeypatch.setattr(labelling, "SHRINKAGES", (0.3,))
    monkeypatch.setattr(labelling, "SLOPES", (1.0,))
    monkeypatch.setattr(labelling, "_log_loss", lambda logits, *_: (seen.append(logits), 0.0)[1])
    learn_labels(rows, labels, 3)
    x, y = rows.astype(np.float64), np.eye(3)[labels]
    u = len(x) / (3 * np.bincount(labels)[labels])
    x0, y0 = x - u @ x / u.sum(), y - u @ y / u.sum()
    ridge = 0.3 * np.trace((x0.T * u) @ x0) / DIM * np.eye(DIM)
    for i in range(len(x)):
        rest = np.arange(len(x)) != i
        # The mean is one more column, fitted without penalty: its leverage is u / sum(u).
        a = np.hstack([x0, np.ones((len(x), 1))])
        big = np.zeros((DIM + 1, DIM + 1))
        big[:DIM, :DIM] = ridge
        gram = (a[rest].T * u[rest]) @ a[rest] + big
        slow = a[i] @ np.linalg.solve(gram, (a[rest].T * u[rest]) @ y0[rest])
        np.testing.assert_allclose(seen[0][i] - u @ y / u.sum(), slow, atol=1e-9)


def test_labels_are_told_apart_and_the_estimate_is_honest() -> None:
    learned = learn_labels(*photos(2, (6, 6, 6)), 3)
    rows, labels = photos(3, (200, 200, 200))
    right = ((rows @ learned.weights.T + learned.biases).argmax(axis=1) == labels).mean()
    assert right > 0.9
    assert learned.accuracy == pytest.approx(right, abs=0.12)


def test_a_label_with_many_photos_does_not_win_by_number() -> None:
    # Labels 0 and 1 overlap; label 0 has twenty times the photos.
    rng = np.random.default_rng(5)

    def rows_of(label: int, n: int) -> Floats:
        rows = rng.normal(size=(n, DIM)) + 0.8 * np.eye(DIM)[label]
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    rows = np.concatenate([rows_of(0, 400), rows_of(1, 20)])
    learned = learn_labels(rows, np.repeat([0, 1], [400, 20]), 2)
    taken = [(rows_of(j, 500) @ learned.weights.T + learned.biases).argmax(axis=1) for j in (0, 1)]
    recalls = [float((found == j).mean()) for j, found in enumerate(taken)]
    assert min(recalls) > 0.6


def test_noise_is_shrunk_harder_than_a_clear_case() -> None:
    rng = np.random.default_rng(7)
    noise = rng.normal(size=(60, DIM)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    guessed = learn_labels(noise, rng.integers(0, 2, 60), 2)
    clear = learn_labels(*photos(8, (30, 30)), 2)
    assert guessed.shrinkage > clear.shrinkage
    assert guessed.slope * np.linalg.norm(guessed.weights) < np.linalg.norm(clear.weights)


def test_nineteen_of_twenty_left_out_photos_have_their_own_label_above_even_odds() -> None:
    rows, labels = photos(9, (40, 40))
    learned = learn_labels(rows, labels, 2)
    logits = rows @ learned.weights.T + learned.biases
    assert (logits[np.arange(80), labels] > 0).mean() > 0.93
    far = np.tile(np.eye(DIM, dtype=np.float32)[5], (1, 1))
    assert (far @ learned.weights.T + learned.biases < 0).all()


def test_one_label_is_no_choice() -> None:
    with pytest.raises(UsageError, match="fewer than two"):
        learn_labels(*photos(1, (3,)), 1)


def test_words_count_where_they_tell_the_labels_apart_and_not_where_they_do_not() -> None:
    rows, labels = photos(11, (2, 2, 2))
    own = np.eye(DIM, dtype=np.float32)[:3]
    helped = learn_labels(rows, labels, 3, own)
    assert helped.word_weight > 0
    # Words of the wrong labels: the photos say so.
    rows, labels = photos(12, (20, 20, 20))
    misled = learn_labels(rows, labels, 3, own[[1, 2, 0]])
    assert misled.word_weight == 0
    assert misled.slope > 0
    assert misled.accuracy > 0.85


def test_one_photo_a_label_leaves_it_to_the_words() -> None:
    rows, labels = photos(13, (1, 1, 1))
    own = np.eye(DIM, dtype=np.float32)[:3]
    learned = learn_labels(rows, labels, 3, own)
    assert learned.slope == 0
    np.testing.assert_allclose(learned.weights, learned.word_weight * own, atol=1e-6)
    # Without words the photos are all there is.
    alone = learn_labels(rows, labels, 3)
    assert ((rows @ alone.weights.T + alone.biases).argmax(axis=1) == labels).all()
