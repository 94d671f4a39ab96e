"""A deterministic model without weights, whose vectors can be computed by hand.

Every part of clipsearch that does not care what an embedding means is tested with it, also in
subprocesses through `--model fake`. A colour (r, g, b) in [0, 1] becomes the unit vector of
(r, g, b, 1 - max(r, g, b)): pure red is (1, 0, 0, 0), black (0, 0, 0, 1).
"""

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from clipsearch.encoders.checks import check_pixels
from clipsearch.types import Floats, ModelInfo, Pixels, Preprocess

FAKE = ModelInfo(
    name="fake",
    fingerprint=hashlib.sha256(b"clipsearch fake model, version 1").hexdigest(),
    embed_dim=4,
    preprocess=Preprocess(size=(32, 32), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    context_length=16,
    logit_scale=100.0,
)

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "yellow": (1, 1, 0),
    "cyan": (0, 1, 1),
    "magenta": (1, 0, 1),
    "white": (1, 1, 1),
    "grey": (0.5, 0.5, 0.5),
    "gray": (0.5, 0.5, 0.5),
    "black": (0, 0, 0),
}

_SMALL_WORDS = frozenset({"a", "an", "and", "of", "photo", "picture", "the"})


class FakeImageEncoder:
    """Embeds the mean colour of a photo."""

    info = FAKE

    def encode_image(self, pixels: Pixels) -> Floats:
        """(batch, 32, 32, 3) uint8 -> (batch, 4) unit rows."""
        check_pixels(pixels, FAKE)
        colours = pixels.astype(np.float64).mean(axis=(1, 2)) / 255  # (batch, 3)
        return _colour_vectors(colours)


class FakeTextEncoder:
    """Embeds the average of the colours a text names; other texts get a vector from their hash."""

    info = FAKE

    def encode_text(self, texts: Sequence[str]) -> Floats:
        """Texts -> (len(texts), 4) unit rows. Only the first 16 words count."""
        rows = [self._encode(text) for text in texts]
        return np.stack(rows) if rows else np.empty((0, FAKE.embed_dim), np.float32)

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        """For each text, whether it has more than 16 words."""
        return [len(_words(text)) > FAKE.context_length for text in texts]

    def unknown_words(self, text: str) -> list[str]:
        """Words that are neither colours nor one of a few small words, in order, each once."""
        known = _SMALL_WORDS | COLOURS.keys()
        return list(dict.fromkeys(word for word in _words(text) if word not in known))

    def _encode(self, text: str) -> Floats:
        words = _words(text)[: FAKE.context_length]
        colours = [COLOURS[word] for word in words if word in COLOURS]
        if colours:
            vector: Floats = _colour_vectors(np.mean([colours], axis=1))[0]
            return vector
        return _hash_vector(" ".join(words))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _colour_vectors(colours: np.ndarray) -> Floats:
    """(n, 3) colours in [0, 1] -> (n, 4) unit rows; darkness keeps black from being zero."""
    darkness = 1 - colours.max(axis=1, keepdims=True)  # (n, 1)
    vectors = np.concatenate([colours, darkness], axis=1)  # (n, 4)
    unit: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _hash_vector(text: str) -> Floats:
    """The first four 64-bit words of the text's SHA-512, spread over [-1, 1), as a unit vector."""
    digest = hashlib.sha512(text.encode("utf-8", "surrogatepass")).digest()
    numbers = np.frombuffer(digest[:32], ">u8").astype(np.float64) / 2**63 - 1
    unit: Floats = (numbers / np.linalg.norm(numbers)).astype(np.float32)
    return unit
