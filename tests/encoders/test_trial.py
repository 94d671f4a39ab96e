"""The first photos of a run are encoded exactly, and what they show decides about the rest."""

import numpy as np

from clipsearch.encoders.fake import FAKE, FakeImageEncoder
from clipsearch.encoders.trial import Trial

PHOTOS = np.random.default_rng(1).integers(0, 256, (12, 32, 32, 3), np.uint8)


class Opposite:
    """Vectors that show which encoder made them."""

    info = FAKE

    def encode_image(self, pixels):
        return -FakeImageEncoder().encode_image(pixels)


def test_the_decision_falls_when_enough_photos_were_seen():
    seen = []

    def decide(samples):
        seen.append(samples)
        return Opposite()

    trial = Trial(FakeImageEncoder(), 8, decide)
    exact = FakeImageEncoder().encode_image(PHOTOS)
    assert np.array_equal(trial.encode_image(PHOTOS[:5]), exact[:5])
    assert not seen
    # The batch in which the number is reached is exact to its end, and all of it is a sample.
    assert np.array_equal(trial.encode_image(PHOTOS[5:9]), exact[5:9])
    assert np.array_equal(trial.encode_image(PHOTOS[9:]), -exact[9:])
    (samples,) = seen
    assert np.array_equal(samples.pixels, PHOTOS[:9])
    assert np.array_equal(samples.vectors, exact[:9])
    assert samples.seconds > 0


def test_a_decision_may_be_another_trial():
    trial = Trial(FakeImageEncoder(), 4, lambda _: Trial(Opposite(), 4, lambda _: Opposite()))
    for start in range(0, 12, 4):
        trial.encode_image(PHOTOS[start : start + 4])
    assert trial.encode_image(PHOTOS[:1]).sum() < 0
