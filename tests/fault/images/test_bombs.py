"""D3: files that would cost a careless reader gigabytes or minutes cost this one nothing."""

import os
import sys
from pathlib import Path

import pytest

from clipsearch.photos.limits import ReadLimits
from clipsearch.photos.reading import PhotoReader, nothing_known
from clipsearch.types import PhotoProblem, PhotoRead
from tests.fault.images.bombs import HARMLESS, REFUSED
from tests.photos.samples import plain, preprocess

# Each takes a fraction of a second; a decoder that was let in takes minutes.
LIMITS = ReadLimits(seconds=10)
MOST_KILOBYTES = 1_000_000


@pytest.mark.row("D3")
@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process in /proc")
def test_every_bomb_is_refused_or_harmless_and_its_worker_stays_small(tmp_path: Path) -> None:
    paths: list[bytes] = []
    answers: dict[str, PhotoRead | PhotoProblem] = {}
    peaks: dict[str, int] = {}
    workers: set[int] = set()

    def one_after_the_other() -> None:
        for name, make in (REFUSED | HARMLESS).items():
            (tmp_path / name).write_bytes(make())
            path = os.fsencode(tmp_path / name)
            paths.append(path)
            (answers[name],) = reader.read([path], nothing_known)
            (worker,) = reader._running
            workers.add(worker._process.pid)
            peaks[name] = peak_kilobytes(worker._process.pid)
            (tmp_path / name).unlink()

    with PhotoReader(preprocess(64), 1, LIMITS) as reader:
        one_after_the_other()
        (tmp_path / "last.png").write_bytes(plain((1, 2, 3)))
        (last,) = reader.read([os.fsencode(tmp_path / "last.png")], nothing_known)
        assert isinstance(last, PhotoRead)
    # Not one of them ended its worker.
    assert len(workers) == 1
    for name in REFUSED:
        answer = answers[name]
        assert isinstance(answer, PhotoProblem), name
        assert (answer.kind, "over" in answer.reason) == ("refused", True), answer
    for name in HARMLESS:
        answer = answers[name]
        assert isinstance(answer, PhotoRead) or answer.kind in ("refused", "damaged"), answer
    assert max(peaks.values()) < MOST_KILOBYTES, peaks


def peak_kilobytes(pid: int) -> int:
    """The most memory that a process has held so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    (peak,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1])
