"""Learning one thing from a few photos, in closed form.

With x unit vectors of photos, mu and S the mean and covariance of the library's photos, m the mean
of the examples:

    direction   w = (S + c tr(S) I)^-1 (m - mu),  c = 0.04
                Fisher's linear discriminant (Fisher 1936), the covariance shrunk towards a
                multiple of the identity (Ledoit & Wolf 2004); the prototype m - mu for large c.
                Examples of what it is not, with mean m', take part of mu's place:
                mu' = mu + (m' - mu) 0.15 n' / (n' + 1)  for n' of them.
    words       the cosine with words that say what it is counts as 4 more examples: both scores, in
                units of their spread over the library, are added k : 4.
    threshold   in units of the score's spread over the library: half way between the highest
                hundredth of the library and the lower quartile of the examples, each scored by what
                the others teach (leave-one-out, exact: mu and S do not depend on the examples);
                at least half way between the means of the examples and of what it is not.

Chosen by measuring: benchmarks/few_shot.md has the table, with what was not chosen.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipsearch.errors import UsageError
from clipsearch.types import Floats

Doubles = NDArray[np.float64]

SHRINKAGE = 0.04
# What words count for, in photos.
WORDS_AS_PHOTOS = 4.0
# Counter-examples look like the examples, or nobody would give them: a direction away from them
# alone forgets what tells the examples from everything else.
MOST_COUNTER = 0.15
# A single example cannot be left out. On held-out photos its class scored 0.6 of what it scores.
_ALONE = 0.6
# The spread of a class's own scores, in units of the library's, measured; weighs as 4 examples.
_TYPICAL_SPREAD = 0.6
_SPREAD_AS_PHOTOS = 4
_QUARTILE = 0.6745  # of a normal distribution, in standard deviations
_FEWEST_OTHERS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """The library's photos that a concept is told from: `rows` (n, dim) unit rows, n >= 2."""

    rows: Floats

    def __post_init__(self) -> None:
        if len(self.rows) < _FEWEST_OTHERS:
            raise UsageError(
                "there are no other photos to tell it from", "Index more photos: clipsearch index"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """The odds that a photo with unit vector x shows it are exp(x . weights + bias).

    `own` is the share of the examples, each left out in turn, that is above even odds; `others`
    that of the library's photos. `apart` is how far the examples' mean score lies above the
    library's, in standard deviations of the library's.
    """

    weights: Floats
    bias: float
    own: float
    others: float
    apart: float


def learn(
    examples: Floats,
    background: Background,
    counter: Floats | None = None,
    words: Floats | None = None,
) -> Learned:
    """Learn from unit rows `examples` (k, dim), k >= 1.

    `counter` (n, dim) shows what it is not; `words` (dim,) is the embedding of what it is called.
    """
    rows = background.rows.astype(np.float64)
    own = examples.astype(np.float64)
    k, dim = own.shape
    mean = rows.mean(axis=0)  # (dim,)
    centred = rows - mean
    covariance = centred.T @ centred / len(rows)  # (dim, dim)
    # The added constant is for a library of equal photos, whose covariance is zero.
    ridge = SHRINKAGE * np.trace(covariance) + 1e-9
    precision = np.linalg.inv(covariance + ridge * np.eye(dim))
    opposite = _opposite(mean, counter)

    # Scores of the photos alone: in units of their spread over the library, from its mean.
    direction = precision @ (own.mean(axis=0) - opposite)
    spread = _spread(centred @ direction)
    from_photos = (own - mean) @ direction
    left_out = _left_out(own, mean, opposite, precision, from_photos)

    # Words are a second score; both are added in units of their spread.
    share = 0.0 if words is None else WORDS_AS_PHOTOS / (k + WORDS_AS_PHOTOS)
    said = np.zeros(dim) if words is None else words.astype(np.float64)
    said_spread = _spread(centred @ said)
    total = (1 - share) * direction / spread + share * said / said_spread
    scores = centred @ total  # (n,)
    unit = _spread(scores)
    own_scores = (1 - share) * left_out / spread + share * ((own - mean) @ said) / said_spread

    weights, own_z, other_z = total / unit, own_scores / unit, scores / unit
    threshold, slope = _calibrated(own_z, other_z)
    if counter is not None and len(counter):
        against = (counter.astype(np.float64) - mean) @ weights
        threshold = max(threshold, float(own_z.mean() + against.mean()) / 2)
    return Learned(
        weights=(slope * weights).astype(np.float32),
        bias=float(-slope * (mean @ weights + threshold)),
        own=float((own_z > threshold).mean()),
        others=float((other_z > threshold).mean()),
        apart=float(own_z.mean()),
    )


def _opposite(mean: Doubles, counter: Floats | None) -> Doubles:
    """What the examples are told from: the library's mean, moved towards the counter-examples."""
    if counter is None or not len(counter):
        return mean
    weight = MOST_COUNTER * len(counter) / (len(counter) + 1)
    moved: Doubles = mean + weight * (counter.astype(np.float64).mean(axis=0) - mean)
    return moved


def _left_out(
    own: Doubles, mean: Doubles, opposite: Doubles, precision: Doubles, scores: Doubles
) -> Doubles:
    """(k,) scores of the examples, each by the direction that the others teach."""
    k = len(own)
    if k == 1:
        return _ALONE * scores
    # The mean of the others is (k m - x_i) / (k - 1).
    others = (own.sum(axis=0) - own) / (k - 1)  # (k, dim)
    directions = (others - opposite) @ precision  # (k, dim): precision is symmetric
    left_out: Doubles = np.einsum("ij,ij->i", own - mean, directions)
    return left_out


def _calibrated(own: Doubles, others: Doubles) -> tuple[float, float]:
    """Threshold and slope: log odds = slope * (score - threshold).

    The slope is that of two normal distributions with one variance, the mean of both.
    """
    k = len(own)
    typical = _SPREAD_AS_PHOTOS * _TYPICAL_SPREAD**2
    variance = (k * own.var() + typical) / (k + _SPREAD_AS_PHOTOS)
    lower_quartile = own.mean() - _QUARTILE * np.sqrt(variance)
    threshold = (float(np.quantile(others, 0.99)) + float(lower_quartile)) / 2
    slope = max(float(own.mean()), 1.0) / ((float(variance) + 1) / 2)
    return threshold, slope


def _spread(scores: Doubles) -> float:
    """The standard deviation; 1 for scores that are all equal."""
    deviation = float(scores.std())
    return deviation if deviation > 1e-9 else 1.0
