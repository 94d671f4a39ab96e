"""Some hundred inputs for every fuzz target, the same ones each time."""

import importlib
import pkgutil
from itertools import islice

import pytest

import tests.fuzz
from tests.fuzz.driving import inputs

OTHERS = ("driving", "test_targets")
TARGETS = sorted(m.name for m in pkgutil.iter_modules(tests.fuzz.__path__) if m.name not in OTHERS)
INPUTS = 300


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_some_mutations(name: str) -> None:
    target = importlib.import_module(f"tests.fuzz.{name}")
    for data in islice(inputs(target.SEEDS, seed=0), INPUTS):
        target.fuzz_one(data)


@pytest.mark.nightly
@pytest.mark.parametrize("name", TARGETS)
def test_many_mutations(name: str) -> None:
    target = importlib.import_module(f"tests.fuzz.{name}")
    for data in islice(inputs(target.SEEDS, seed=1), 100 * INPUTS):
        target.fuzz_one(data)


def test_inputs_are_the_same_for_the_same_seed() -> None:
    seeds = [b"one", b"another"]
    first, again, other = (list(islice(inputs(seeds, seed), 200)) for seed in (4, 4, 5))
    assert first == again
    assert first != other
    assert first[:2] == seeds
