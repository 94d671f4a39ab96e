"""What drives a fuzz target: atheris, or mutations of its seeds from a seeded generator."""

import argparse
import hashlib
import importlib.util
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

Target = Callable[[bytes], None]

_LONGEST = 1 << 16
_TELLING = [
    b"\0", b"\xff", b"\n", b"\r", b"\t", b",", b'"', b"'", b"=", b"\\", b"\x1b[2J", b"\xef\xbb\xbf",
    b"\xc2\x9b", b"\xe2\x80\xae", b"\xed\xa0\x80", b"\xf0\x9f\x90\xb6", b"\xff\xff\xff\xff",
    b"\0\0\0\x80", b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"-1", b"1e999", b"NaN", b"{}", b"[[",
]  # fmt: skip


def main(target: Target, seeds: Sequence[bytes]) -> None:
    """The command line of a target."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long")
    parser.add_argument("--seed", type=int, default=0, help="which mutations, without atheris")
    parser.add_argument("--input", type=Path, help="only this input, which failed before")
    chosen = parser.parse_args()
    if chosen.input is not None:
        target(chosen.input.read_bytes())
    elif importlib.util.find_spec("atheris") is not None:
        _with_atheris(target, seeds, chosen.seconds)
    else:
        _with_mutations(target, seeds, chosen.seconds, chosen.seed)


def inputs(seeds: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """The seeds, then endless mutations of them: the same ones for the same `seed`."""
    yield from seeds
    dice = random.Random(seed)
    while True:
        data = bytearray(dice.choice(seeds))
        for _ in range(dice.randint(1, 6)):
            _mutate(data, dice, seeds)
        yield bytes(data[:_LONGEST])


def _mutate(data: bytearray, dice: random.Random, seeds: Sequence[bytes]) -> None:
    start = dice.randint(0, len(data))
    end = min(len(data), start + dice.randint(0, 16))
    match dice.randrange(7):
        case 0 if data:
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        case 1 if data:
            data[dice.randrange(len(data))] = dice.randrange(256)
        case 2:
            data[start:start] = dice.choice(_TELLING)
        case 3:
            data[start:end] = dice.choice(_TELLING)
        case 4:
            del data[start:end]
        case 5:
            data[start:start] = data[start:end] * dice.randint(1, 20)
        case _:
            other = dice.choice(seeds)
            data[start:] = other[dice.randint(0, len(other)) :]


def _with_mutations(target: Target, seeds: Sequence[bytes], seconds: float, seed: int) -> None:
    tried, started = 0, time.monotonic()
    for data in inputs(seeds, seed):
        if time.monotonic() - started > seconds:
            break
        tried += 1
        try:
            target(data)
        except BaseException:
            digest = hashlib.sha256(data).hexdigest()[:16]
            kept = Path(tempfile.gettempdir()) / f"clipsearch-fuzz-{digest}"
            kept.write_bytes(data)
            print(f"failed on input {tried}, kept as {kept}", file=sys.stderr)
            raise
    print(f"{tried} inputs in {time.monotonic() - started:.0f} s, nothing found")


def _with_atheris(target: Target, seeds: Sequence[bytes], seconds: float) -> None:
    import atheris

    with tempfile.TemporaryDirectory(prefix="clipsearch-fuzz-") as corpus:
        for number, data in enumerate(seeds):
            (Path(corpus) / str(number)).write_bytes(data)
        atheris.instrument_all()
        limit = f"-max_total_time={max(1, int(seconds))}"
        atheris.Setup([sys.argv[0], limit, f"-max_len={_LONGEST}", corpus], target)
        atheris.Fuzz()
