"""K3: a GPU that does not work, an old processor: slower, with the same answers."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.encoders.tiny import InstalledTiny
from tests.fault.environment.broken_gpu import DRIVER, TENSOR
from tests.finetuning.tiny_run import write_photos

pytestmark = [pytest.mark.real, pytest.mark.row("K3")]

# What tells libraries to use no instructions that an old processor lacks. (onnxruntime has no such
# switch.)
OLD = {
    "ATEN_CPU_CAPABILITY": "default",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "FAISS_OPT_LEVEL": "generic",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Nehalem",
}


@dataclass(frozen=True)
class Machine:
    """48 photos of shapes, a model, and a library of its own for each kind of machine."""

    program: Program
    model: Path

    def answers(self, kind: str, **environment: str) -> tuple[list[str], str]:
        """The ten best for three queries, and what was said while indexing."""
        for measured in self.program.folder.rglob("bulk.json"):
            measured.unlink()
        own = ("--library", str(self.program.folder / f"library-{kind}-{len(environment)}"))
        index = ("index", "album", "--model", str(self.model), *own)
        broken = ("-m", "tests.fault.environment.broken_gpu", kind)
        indexed = self.program.python(*broken, *index, **environment)
        assert indexed.code == 0, indexed.errors
        found: list[str] = []
        for query in ("a red disc", "album/green-bar-8.png", "a photo of something blue"):
            searched = self.program.run("search", query, "-k", "10", "--json", *own, **environment)
            assert len(searched.lines) == 10, searched.errors
            found += searched.lines
        return found, indexed.errors


@pytest.fixture
def machine(tmp_path: Path, installed: InstalledTiny) -> Machine:
    program = Program(tmp_path)
    write_photos(program.album)
    os.remove(program.album / "captions.csv")
    return Machine(program, installed.origin)


@pytest.mark.nightly
def test_a_gpu_that_does_not_work_is_done_without(machine: Machine) -> None:
    expected, said = machine.answers("none")
    assert "GPU" not in said
    for kind, reason in (("tensor", TENSOR), ("driver", DRIVER.rstrip("."))):
        found, said = machine.answers(kind)
        assert found == expected
        (line,) = [line for line in said.splitlines() if "GPU" in line]
        assert line.startswith(f"clipsearch: the GPU cannot be used ({reason}")


@pytest.mark.nightly
def test_an_old_processor_gives_the_same_answers(machine: Machine) -> None:
    expected, _ = machine.answers("none")
    found, said = machine.answers("none", **OLD)
    assert "clipsearch: " not in said
    assert paths(found) == paths(expected)
    assert scores(found) == pytest.approx(scores(expected), abs=1e-4)


@pytest.mark.nightly
def test_training_beside_a_gpu_that_does_not_work(machine: Machine) -> None:
    table = write_photos(machine.program.folder / "captioned")
    wishes = ("--out", "mine", "--epochs", "1", "--tune", "all", "--threads", "1", "--quiet")
    broken = ("-m", "tests.fault.environment.broken_gpu", "tensor")
    trained = machine.program.python(
        *broken, "finetune", str(table), "--model", str(machine.model), *wishes
    )
    assert trained.code in (0, 1), trained.errors
    assert trained.errors.count(f"the GPU cannot be used ({TENSOR})") == 1


def paths(found: list[str]) -> list[object]:
    return [json.loads(line)["path"] for line in found]


def scores(found: list[str]) -> list[float]:
    return [json.loads(line)["score"] for line in found]
