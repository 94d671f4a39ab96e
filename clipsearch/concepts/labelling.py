"""Learning a set of labels from photos of each: a linear probe, in closed form.

With x_i unit vectors, y_i one-hot rows of their labels, weights u_i = n / (labels * photos of the
same label) so that every label counts the same, and all means weighted by them:

    W = (X'UX + lambda I)^-1 X'UY       ridge regression (Hoerl & Kennard 1970), X and Y centred
    f_i without photo i = (f_i - h_i y_i) / (1 - h_i),  h_i = u_i x_i (X'UX + lambda I)^-1 x_i'
                                        exact leave-one-out, given the means (Allen 1974, PRESS)

    log odds of label j = a f_j + g x . t_j - c

with t_j the embedding of the label's words, when there are words. Shrinkage lambda, slope a and the
weight g of the words are those of a grid whose left-out photos have the smallest weighted log loss
under softmax: words that mean nothing to the model get g = 0, words that say all a = 0. The
constant c is such that nineteen of twenty left-out photos lie above it with their own label: a
photo below it for every label is none of these.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipsearch.errors import UsageError
from clipsearch.types import Floats, Ids

Doubles = NDArray[np.float64]

# In units of the mean eigenvalue of X'UX.
SHRINKAGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
SLOPES = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 18.0, 27.0, 40.0, 60.0)
WORD_WEIGHTS = (0.0, 3.0, 6.0, 12.0, 25.0, 50.0, 100.0)
_LEFT_BELOW = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class LearnedLabels:
    """Log odds of label j for a photo with unit vector x: x . weights[j] + biases[j].

    `weights` is (labels, dim). `accuracy` is the share of photos, each left out in turn, whose own
    label scores highest; `by_label` the same for each label. `shrinkage`, `slope` and `word_weight`
    were chosen.
    """

    weights: Floats
    biases: Floats
    accuracy: float
    by_label: tuple[float, ...]
    shrinkage: float
    slope: float
    word_weight: float


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """One point of the grid, and the (n, count) log odds of the photos left out, but for c."""

    loss: float
    shrinkage: float
    slope: float
    word_weight: float
    left_out: Doubles


def learn_labels(
    rows: Floats, labels: Ids, count: int, words: Floats | None = None
) -> LearnedLabels:
    """Learn from unit rows (n, dim) with `labels` (n,) in 0..count-1, each with a photo or more.

    `words` (count, dim) are the embeddings of what the labels are called. Raises UsageError for
    fewer than two labels.
    """
    if count < 2:
        raise UsageError("there are fewer than two labels", "Give a folder with a folder for each")
    x = rows.astype(np.float64)
    y = np.eye(count)[labels]  # (n, count)
    photos = np.bincount(labels, minlength=count)
    u = len(x) / (count * photos[labels])  # (n,), sums to n
    x_mean, y_mean = u @ x / u.sum(), u @ y / u.sum()
    x0, y0 = x - x_mean, y - y_mean
    values, vectors = np.linalg.eigh((x0.T * u) @ x0)
    values = np.maximum(values, 0)
    turned = x0 @ vectors  # (n, dim): X in the eigenvectors' coordinates
    target = turned.T @ (u[:, None] * y0)  # (dim, count)
    scale = float(values.mean()) + 1e-9
    said = np.zeros((count, x.shape[1])) if words is None else words.astype(np.float64)
    by_words = x @ said.T  # (n, count); nothing of it was learned from these photos

    def left_out_with(shrinkage: float) -> Doubles:
        inverse = 1 / (values + shrinkage * scale)
        fitted = turned @ (inverse[:, None] * target)  # (n, count)
        # The second part is for the means, which hold the photo too.
        leverage = np.minimum(u * (turned**2 @ inverse) + u / u.sum(), 0.999)[:, None]
        without: Doubles = (fitted - leverage * y0) / (1 - leverage) + y_mean
        return without

    best = min(
        (
            _Choice(_log_loss(logits, labels, u), shrinkage, slope, weight, logits)
            for shrinkage in SHRINKAGES
            for left_out in [left_out_with(shrinkage)]
            for slope in (SLOPES if words is None else (0.0, *SLOPES))
            for weight in (WORD_WEIGHTS if words is not None else (0.0,))
            for logits in [slope * left_out + weight * by_words]
        ),
        key=lambda choice: choice.loss,
    )
    weights = vectors @ (target / (values + best.shrinkage * scale)[:, None])  # (dim, count)
    constant = y_mean - x_mean @ weights  # (count,)
    least = float(np.quantile(best.left_out[np.arange(len(x)), labels], _LEFT_BELOW))
    right = best.left_out.argmax(axis=1) == labels
    return LearnedLabels(
        weights=(best.slope * weights.T + best.word_weight * said).astype(np.float32),
        biases=(best.slope * constant - least).astype(np.float32),
        accuracy=float(right.mean()),
        by_label=tuple(float(right[labels == j].mean()) for j in range(count)),
        shrinkage=best.shrinkage,
        slope=best.slope,
        word_weight=best.word_weight,
    )


def _log_loss(logits: Doubles, labels: Ids, weights: Doubles) -> float:
    top = logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    return float(weights @ (total - logits[np.arange(len(logits)), labels]) / weights.sum())
