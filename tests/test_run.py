"""run.py: what it decides before anything is installed."""

import importlib.util
import subprocess
import sys
import types
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[1] / "run.py"


@pytest.fixture
def run() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("run", RUN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["serve"], 2), (["--help"], 0)])
def test_without_a_command_it_explains_itself(arguments: list[str], code: int) -> None:
    done = subprocess.run([sys.executable, RUN, *arguments], capture_output=True, text=True)
    assert done.returncode == code
    assert "python3 run.py demo [FOLDER]" in done.stdout


def test_an_old_python_is_one_clear_line(
    run: types.ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(run.shutil, "which", lambda name: None)
    assert run.main(["demo"]) == 6
    (line,) = capsys.readouterr().out.splitlines()
    assert "needs Python 3.11 or newer, this is 3.9" in line


def test_a_newer_python_on_the_path_is_used_instead(
    run: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def call(command: list[str]) -> int:
        started.append(command)
        return 7

    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    known = {"python3.12": "/opt/python3.12", "python3.11": "/opt/python3.11"}
    monkeypatch.setattr(run.shutil, "which", known.get)
    monkeypatch.setattr(run.subprocess, "call", call)
    assert run.main(["demo", "photos"]) == 7
    assert started == [["/opt/python3.12", str(RUN), "demo", "photos"]]


def test_the_dev_group_is_read_from_pyproject(run: types.ModuleType) -> None:
    group = run.dependency_group("dev")
    assert any(line.startswith("pytest") for line in group)


def test_an_environment_is_made_once_and_again_when_pyproject_changes(
    run: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    project = tmp_path / "pyproject.toml"
    project.write_text("[project]\n")
    environment = tmp_path / "environment"

    def create(where: str) -> None:
        Path(where).mkdir()
        steps.append("create")

    monkeypatch.setattr(run, "ROOT", str(tmp_path))
    monkeypatch.setattr(run, "create", create)
    monkeypatch.setattr(run, "install", lambda where, command: steps.append(f"install {command}"))
    monkeypatch.setattr(run, "is_usable", lambda where: Path(where).is_dir())
    for command in ("demo", "demo", "test", "test", "demo"):
        run.prepare(str(environment), command)
    assert steps == ["create", "install demo", "install test"]
    project.write_text("[project]\nname = 'other'\n")
    run.prepare(str(environment), "demo")
    assert steps[3:] == ["install demo"]


def test_a_machine_without_venv_and_pip_is_told_what_to_install(
    run: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "has_module", lambda name: False)
    with pytest.raises(run.SetupError, match=r"sudo apt install python3\.\d+-venv"):
        run.create(str(tmp_path / "environment"))


def test_every_check_runs_and_the_first_failure_s_code_is_passed_on(
    run: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def call(command: list[str], cwd: str) -> int:
        ran.append(command[2])
        return {"mypy": 1, "pytest": 5}.get(command[2], 0)

    monkeypatch.setattr(run.subprocess, "call", call)
    assert run.run_checks("environment", ["-k", "one"]) == 1
    assert ran == ["ruff", "ruff", "mypy", "pytest"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Collecting numpy>=2.0", False),
        ("  Downloading numpy-2.4.6-cp311.whl (16.5 MB)", False),
        ("  Downloading torch-2.15.0-cp311.whl (887.9 MB)", True),
        ("  Downloading nvidia_cudnn.whl (1.1 GB)", True),
        ("  Downloading typer-0.29.whl (47 kB)", False),
        ("Installing collected packages: numpy, torch", True),
    ],
)
def test_large_downloads_are_shown(line: str, shown: bool, run: types.ModuleType) -> None:
    assert run.is_worth_showing(line) is shown


def test_a_full_disk_is_told_with_what_is_free_and_what_is_needed(
    run: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = "Downloading torch\nERROR: Could not install: [Errno 28] No space left on device\n"
    usage = types.SimpleNamespace(free=1_840_000_000)
    monkeypatch.setattr(run.shutil, "disk_usage", lambda place: usage)
    said = run.advice(log, str(tmp_path))
    assert f"{tmp_path} has 1.8 GB" in said
    assert "it takes 12 GB" in said


def test_another_failure_gets_no_advice_about_the_disk(
    run: types.ModuleType, tmp_path: Path
) -> None:
    assert run.advice("ERROR: No matching distribution found\n", str(tmp_path)) == ""
