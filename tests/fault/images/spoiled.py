"""Photos cut short and photos with changed bytes, the same ones in every run."""

import random

import numpy as np

from tests.photos.samples import encoded, noise

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
ENDINGS = {name: f".{name.lower()}" for name in FORMATS}
CUTS = 64


def whole(name: str) -> bytes:
    """A small photo that decodes, in the format `name`."""
    return encoded(noise(64, 48), name)


def cuts(name: str) -> dict[int, bytes]:
    """The photo cut at CUTS places from nothing and one byte to all but the last, by length."""
    data = whole(name)
    lengths = {0, 1, *np.linspace(2, len(data) - 1, CUTS - 2, dtype=int).tolist()}
    return {length: data[:length] for length in sorted(lengths)}


def mutants(name: str, number: int, seed: int) -> list[bytes]:
    """The photo with one to eight of its bytes changed, `number` times."""
    data, dice = whole(name), random.Random(f"{name} {seed}")
    made = []
    for _ in range(number):
        mutant = bytearray(data)
        for _ in range(dice.randint(1, 8)):
            mutant[dice.randrange(len(data))] ^= dice.randint(1, 255)
        made.append(bytes(mutant))
    return made
