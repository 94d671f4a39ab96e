"""Learning from a few photos, on vectors whose answer is known beforehand."""

import numpy as np
import pytest

from clipsearch.concepts.learning import SHRINKAGE, Background, learn
from clipsearch.errors import UsageError
from clipsearch.types import Floats

DIM = 12


def units(rng: np.random.Generator, n: int, centre: int | None = None, pull: float = 3.0) -> Floats:
    """(n, DIM) unit rows, around one axis when `centre` is given."""
    rows = rng.normal(size=(n, DIM))
    if centre is not None:
        rows[:, centre] += pull
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def direction(vector: Floats) -> Floats:
    return vector / np.linalg.norm(vector)


def test_the_direction_is_fisher_s_worked_out_by_hand() -> None:
    # Mean (0.5, 0), variance 1/4 along x only: S = diag(1/4, 0), ridge = 0.04 / 4.
    others = np.array([[1, 0], [0, 0]], np.float32)
    example = np.array([[0.6, 0.8]], np.float32)
    ridge = SHRINKAGE * 0.25
    expected = np.array([0.1 / (0.25 + ridge), 0.8 / ridge])
    found = learn(example, Background(others))
    np.testing.assert_allclose(
        direction(found.weights), expected / np.linalg.norm(expected), rtol=1e-4
    )


def test_what_all_photos_share_is_not_learned(rng: np.random.Generator) -> None:
    # Every photo points along axis 0; only axis 5 tells the examples from the rest.
    def shifted(rows: Floats) -> Floats:
        rows = rows + 4 * np.eye(DIM, dtype=np.float32)[0]
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    background = Background(shifted(units(rng, 300)))
    found = learn(shifted(units(rng, 5, 5)), background)
    # What it says of the library is what its weights and bias do.
    assert (background.rows @ found.weights + found.bias > 0).mean() == found.others
    assert 0 < found.others < 0.05
    assert int(np.abs(found.weights).argmax()) == 5
    assert abs(direction(found.weights)[0]) < 0.3


def test_the_threshold_tells_held_out_photos_apart(rng: np.random.Generator) -> None:
    found = learn(units(rng, 8, 2, 5), Background(units(rng, 400)))
    own = units(rng, 200, 2, 5) @ found.weights + found.bias > 0
    others = units(rng, 1000) @ found.weights + found.bias > 0
    assert own.mean() > 0.8
    assert others.mean() < 0.03
    assert found.own == pytest.approx(own.mean(), abs=0.25)
    assert found.others == pytest.approx(others.mean(), abs=0.02)


@pytest.mark.parametrize("with_words", [False, True])
def test_left_out_scores_equal_learning_without_that_photo(
    rng: np.random.Generator, with_words: bool
) -> None:
    # The slow twin: learn from the others, and look where the one left out lies.
    from clipsearch.concepts import learning

    examples, background = units(rng, 4, 1), Background(units(rng, 100))
    mean = background.rows.astype(np.float64).mean(axis=0)
    centred = background.rows - mean
    covariance = centred.T @ centred / len(centred)
    precision = np.linalg.inv(covariance + SHRINKAGE * np.trace(covariance) * np.eye(DIM))
    fast = learning._left_out(
        examples.astype(np.float64), mean, mean, precision, np.zeros(len(examples))
    )
    for i in range(4):
        rest = np.delete(examples, i, axis=0).astype(np.float64)
        slow = (examples[i] - mean) @ precision @ (rest.mean(axis=0) - mean)
        assert fast[i] == pytest.approx(slow, rel=1e-6)


def test_words_decide_more_the_fewer_photos_there_are(rng: np.random.Generator) -> None:
    background, words = Background(units(rng, 300)), np.eye(DIM, dtype=np.float32)[7]
    shares = [
        float(direction(learn(units(rng, k, 2), background, words=words).weights)[7])
        for k in (1, 4, 20)
    ]
    assert shares[0] > shares[1] > shares[2] > 0.05
    assert abs(direction(learn(units(rng, 4, 2), background).weights)[7]) < 0.4


def test_counter_examples_push_their_like_below(rng: np.random.Generator) -> None:
    # Examples along 2 and 4; what lies along 4 alone is not it.
    examples = (units(rng, 6, 2) + units(rng, 6, 4)).astype(np.float32)
    examples /= np.linalg.norm(examples, axis=1, keepdims=True)
    background, unlike = Background(units(rng, 300)), units(rng, 50, 4)
    plain = learn(examples, background)
    told = learn(examples, background, counter=units(rng, 6, 4))
    assert (unlike @ told.weights + told.bias > 0).mean() <= (
        unlike @ plain.weights + plain.bias > 0
    ).mean()
    assert direction(told.weights)[4] < direction(plain.weights)[4] - 0.01
    np.testing.assert_array_equal(
        learn(examples, background, counter=np.empty((0, DIM), np.float32)).weights, plain.weights
    )


def test_one_photo_is_not_believed_as_far_as_its_own_score(rng: np.random.Generator) -> None:
    background = Background(units(rng, 300))
    one = units(rng, 1, 3)
    found = learn(one, background)
    z = (background.rows @ found.weights).std()
    in_sample = float((one[0] - background.rows.mean(axis=0)) @ found.weights) / z
    assert found.apart == pytest.approx(0.6 * in_sample, rel=1e-3)


def test_a_library_of_equal_photos_gives_finite_odds() -> None:
    others = np.tile(np.eye(DIM, dtype=np.float32)[0], (5, 1))
    found = learn(np.eye(DIM, dtype=np.float32)[1:2], Background(others))
    assert np.isfinite(found.weights).all()
    assert found.weights @ np.eye(DIM)[1] + found.bias > 0 > found.weights @ others[0] + found.bias


def test_without_other_photos_nothing_can_be_told_apart() -> None:
    with pytest.raises(UsageError, match="no other photos"):
        Background(np.eye(DIM, dtype=np.float32)[:1])


def test_what_it_is_not_is_not_taken_for_it(rng: np.random.Generator) -> None:
    # Twins: alike along 2, told apart by 4 alone.
    def twins(n: int, sign: int) -> Floats:
        rows = units(rng, n, 2, 8) + sign * 0.15 * np.eye(DIM, dtype=np.float32)[4]
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    background = Background(units(rng, 300))
    examples, counter = twins(8, 1), twins(8, -1)
    plain = learn(examples, background)
    assert (counter @ plain.weights + plain.bias > 0).mean() > 0.8
    told = learn(examples, background, counter=counter)
    assert float((counter @ told.weights).mean() + told.bias) < 0
    assert (twins(200, 1) @ told.weights + told.bias > 0).mean() > 0.5
