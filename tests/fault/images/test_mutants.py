"""D2: whatever byte of a photo changes, its decoder answers: no crash, no hang."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipsearch.photos.limits import ReadLimits
from clipsearch.photos.reading import PhotoReader, nothing_known
from clipsearch.types import PhotoProblem, PhotoRead
from tests.fault.images.spoiled import ENDINGS, FORMATS, mutants, whole
from tests.photos.samples import preprocess

# The clock of a busy machine may stand still for a while; a decoder that hangs takes for ever.
LIMITS = ReadLimits(seconds=10)
ENDS = ("ended its worker", "took over", "sent")


def write(folder: Path, photos: dict[str, bytes]) -> Iterator[bytes]:
    for name, data in photos.items():
        (folder / name).write_bytes(data)
        yield os.fsencode(folder / name)


def check(folder: Path, number: int, seed: int) -> None:
    photos = {
        f"{name}-{i}{ENDINGS[name]}": data
        for name in FORMATS
        for i, data in enumerate(mutants(name, number, seed))
    }
    photos |= {f"whole-{name}{ENDINGS[name]}": whole(name) for name in FORMATS}
    answered: dict[str, str] = {}
    with PhotoReader(preprocess(8), 2, LIMITS) as reader:
        for outcome in reader.read(write(folder, photos), nothing_known):
            name = os.path.basename(os.fsdecode(outcome.path))
            if isinstance(outcome, PhotoProblem):
                answered[name] = outcome.reason
                assert outcome.kind in ("damaged", "refused", "unsupported", "not-photo"), outcome
                assert not any(end in outcome.reason for end in ENDS), outcome
            else:
                answered[name] = ""
                assert isinstance(outcome, PhotoRead)
                assert outcome.pixels is not None
                assert outcome.pixels.shape == (8, 8, 3)
            os.unlink(outcome.path)
    assert answered.keys() == photos.keys()
    assert all(answered[f"whole-{name}{ENDINGS[name]}"] == "" for name in FORMATS)
    # PNG carries checksums: what was changed in it is always noticed, or was never looked at.
    assert sum(bool(answered[name]) for name in photos if name.startswith("PNG-")) > 0.8 * number


@pytest.mark.row("D2")
def test_1400_mutants_decode_or_fail(tmp_path: Path) -> None:
    check(tmp_path, 200, seed=1)


@pytest.mark.nightly
@pytest.mark.row("D2")
@pytest.mark.parametrize("seed", range(2, 12))
def test_10000_more(tmp_path: Path, seed: int) -> None:
    check(tmp_path, 150, seed)
