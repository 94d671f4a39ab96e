"""How much one photo may cost before it is refused."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What reading and decoding one photo may take.

    `file_bytes` bounds what is read of a file, `pixels` is width times height as the file declares
    them, `memory_bytes` is what decoding may need beside the worker itself, and `seconds` bounds
    reading and decoding, each, by the clock and in processor time.
    """

    file_bytes: int = 300_000_000
    pixels: int = 250_000_000
    memory_bytes: int = 850_000_000
    seconds: float = 30.0
