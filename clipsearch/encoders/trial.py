"""The first photos of a run, encoded exactly: what candidates for the rest are judged by."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from clipsearch.types import Floats, ImageEncoder, Pixels


@dataclass(frozen=True, slots=True)
class Samples:
    """Real photos with their exact vectors, and the seconds those took."""

    pixels: Pixels  # (n, height, width, 3) uint8
    vectors: Floats  # (n, dim)
    seconds: float


class Trial:
    """Encodes the first `photos` with `exact`, then what `decide` makes of them does the rest.

    Those first vectors are as good as any, so they are used: judging candidates costs only what
    the candidates take.
    """

    def __init__(
        self, exact: ImageEncoder, photos: int, decide: Callable[[Samples], ImageEncoder]
    ) -> None:
        self.info = exact.info
        self._encoder = exact
        self._missing = photos
        self._decide: Callable[[Samples], ImageEncoder] | None = decide
        self._parts: list[tuple[Pixels, Floats]] = []
        self._seconds = 0.0

    def encode_image(self, pixels: Pixels) -> Floats:
        """(batch, height, width, 3) uint8 -> (batch, dim) unit rows."""
        started = time.perf_counter()
        vectors = self._encoder.encode_image(pixels)
        if self._decide is not None:
            self._seconds += time.perf_counter() - started
            self._collect(pixels, vectors, self._decide)
        return vectors

    def _collect(
        self, pixels: Pixels, vectors: Floats, decide: Callable[[Samples], ImageEncoder]
    ) -> None:
        self._parts.append((pixels, vectors))
        self._missing -= len(pixels)
        if self._missing > 0:
            return
        samples = Samples(
            np.concatenate([part for part, _ in self._parts]),
            np.concatenate([rows for _, rows in self._parts]),
            self._seconds,
        )
        # Neither the photos nor the exact tower are kept: judging others takes their memory again.
        self._parts, self._decide = [], None
        del self._encoder
        self._encoder = decide(samples)
