"""The checks of the machine, against machines that are not this one."""

import importlib
import importlib.metadata
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from clipsearch.checking import machine


def test_processor_flags_are_read_from_the_first_processor(tmp_path: Path) -> None:
    intel = tmp_path / "intel"
    intel.write_text("processor : 0\nflags\t\t: fpu avx2 amx_bf16\n\nflags : other\n")
    assert machine.processor_flags(str(intel)) == {"fpu", "avx2", "amx_bf16"}
    arm = tmp_path / "arm"
    arm.write_text("Features\t: fp asimddp bf16\n")
    assert machine.processor_flags(str(arm)) == {"fp", "asimddp", "bf16"}
    assert machine.processor_flags(str(tmp_path / "none")) == frozenset()


def test_a_missing_package_is_a_problem_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "REQUIRED", {"no-such-distribution": ""})
    (check,) = machine.check_packages()
    assert (check.state, check.exit_code) == ("problem", 6)
    assert "pip install" in check.remedy


def test_a_package_that_does_not_load_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise OSError(f"lib{name}.so:\ncannot open shared object file")

    monkeypatch.setattr(machine, "REQUIRED", {"numpy": "numpy"})
    monkeypatch.setattr(importlib, "import_module", fail)
    (check,) = machine.check_packages()
    assert check.state == "problem"
    assert "libnumpy.so: cannot open shared object file" in check.finding


def test_a_missing_extra_is_only_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "EXTRAS", {"heif": ("no-such-distribution", "HEIC photos")})
    (check,) = machine.check_extras()
    assert (check.state, check.exit_code) == ("note", 0)
    assert "clipsearch[heif]" in check.remedy


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize(("free", "state"), [(50_000_000_000, "ok"), (1_000_000_000, "warning")])
def test_little_space_is_a_warning(
    free: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(free, 0, free))
    (check,) = machine.check_space({"models": tmp_path / "not" / "there" / "yet"})
    assert check.state == state
    assert f"{free / 1e9:.1f} GB free" in check.finding
    assert (check.remedy == "") == (state == "ok")


def test_a_place_that_cannot_be_written_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    (check,) = machine.check_space({"library": tmp_path})
    assert check.state == "warning"
    assert "CLIPSEARCH_LIBRARY" in check.remedy


@pytest.mark.real
def test_torch_is_asked_in_a_process_of_its_own() -> None:
    check = machine.check_torch()
    assert check.state == "ok"
    assert importlib.metadata.version("torch").split("+")[0] in check.finding


@pytest.mark.real
@pytest.mark.row("K3")
def test_a_gpu_that_does_not_work_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process says of itself when the first tensor fails."""
    broken = "import torch; torch.cuda.is_available = lambda: True; torch.ones = None;"
    run = subprocess.run

    def run_broken(command: list[str], **how: object) -> object:
        program = command[2].replace("import torch;", broken, 1)
        return run([*command[:2], program], **how)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", run_broken)
    check = machine.check_torch()
    assert check.state == "warning"
    assert "a GPU that does not work (" in check.finding
    assert "driver" in check.remedy
