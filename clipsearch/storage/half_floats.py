"""Unit vectors as float16: half the space; a cosine changes by less than 0.001.

The stored value is the float16 row itself. Reading it back gives float32, normalised again, so
that every reader computes with exactly the same numbers.
"""

import numpy as np
from numpy.typing import NDArray

from clipsearch.types import Floats

Halves = NDArray[np.float16]

# Rounding to float16 changes each component by at most 2^-11 of itself, and so the norm.
NORM_TOLERANCE = 1e-2


def vector_fault(vector: Floats, dim: int) -> str | None:
    """Why a vector (dim,) cannot be stored as an embedding; None when it can."""
    if vector.shape != (dim,):
        return f"it has shape {vector.shape} instead of ({dim},)"
    if not np.isfinite(vector).all():
        return "it is not finite"
    norm = float(np.linalg.norm(vector))
    if abs(norm - 1.0) > NORM_TOLERANCE:
        return f"its norm is {norm:.4f} instead of 1"
    return None


def pack(vector: Floats) -> bytes:
    """A unit vector (dim,) as little-endian float16."""
    return vector.astype("<f2").tobytes()


def unpack(blobs: list[bytes], dim: int) -> Halves:
    """Packed vectors as (len(blobs), dim) float16. Each must be 2 * dim bytes long."""
    return np.frombuffer(b"".join(blobs), dtype="<f2").reshape(len(blobs), dim)


def widen(halves: Halves) -> Floats:
    """float16 -> float32, exactly; an infinity or NaN becomes a number above 65,000.

    Moving the exponent with integers is three times as fast as numpy's own conversion.
    """
    bits = halves.view(np.uint16).astype(np.uint32)
    signs = (bits & 0x8000) << 16
    bits &= 0x7FFF
    bits <<= 13
    floats = bits.view(np.float32)
    # The exponents' biases differ by 112; multiplying also makes subnormal numbers right.
    floats *= np.float32(2.0**112)
    bits |= signs
    return floats


def norms(rows: Floats) -> Floats:
    """(n, dim) -> (n,) Euclidean norms."""
    squares: Floats = np.einsum("ij,ij->i", rows, rows)
    return np.sqrt(squares)


def unit_rows(halves: Halves) -> Floats:
    """Stored rows (n, dim) as unit float32 rows: what every search computes with."""
    return rows_and_norms(halves)[0]


def rows_and_norms(halves: Halves) -> tuple[Floats, Floats]:
    """Stored rows (n, dim) as unit float32 rows, and their norms (n,) before normalising."""
    rows = widen(halves)
    lengths = norms(rows)
    rows /= np.maximum(lengths, np.float32(1e-6))[:, None]
    return rows, lengths


def faulty_rows(lengths: Floats) -> NDArray[np.int64]:
    """The positions of norms (n,) that are not those of unit vectors; NaN and infinity neither."""
    return np.flatnonzero(np.abs(lengths - 1.0) > 2 * NORM_TOLERANCE)
