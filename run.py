#!/usr/bin/env python3
"""Commands for a fresh clone, with nothing but Python and git on the machine.

    python3 run.py demo [FOLDER]   set everything up and run the main job on real photos
    python3 run.py test            set everything up and run the checks and the tests
    python3 run.py nightly         the tests that take too long for every change, too: all rows of
                                   the fault matrix, with many trials each, and none skipped

The environment goes to `.venv` beside this file (another place: CLIPSEARCH_VENV) and is used again
as long as pyproject.toml does not change. Standard library only.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time

OLDEST_PYTHON = (3, 11)
ROOT = os.path.dirname(os.path.abspath(__file__))
COULD_NOT_RUN = 6
NEEDED = "12 GB while it installs, 7 GB afterwards"

# What each command needs besides the package itself: extras and a dependency group.
TEST_EXTRAS = ["demo", "heif", "raw", "multilingual"]
EXTRAS = {"demo": ["demo"], "test": TEST_EXTRAS, "nightly": TEST_EXTRAS}
GROUPS = {"demo": [], "test": ["dev"], "nightly": ["dev"]}

CHECKS = [
    ["ruff", "check", "."],
    ["ruff", "format", "--check", "."],
    ["mypy"],
    ["pytest", "--numprocesses", "auto", "--dist", "loadfile"],
]


class SetupError(Exception):
    """The environment cannot be made; the message says what to do."""


def main(arguments: list[str]) -> int:
    """Run one of the commands; the exit code is that of what was run."""
    if not arguments or arguments[0] not in EXTRAS:
        print(__doc__)
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    if sys.version_info[:2] < OLDEST_PYTHON:
        return run_with_newer_python(arguments)
    command, *rest = arguments
    environment = os.environ.get("CLIPSEARCH_VENV") or os.path.join(ROOT, ".venv")
    try:
        prepare(environment, command)
    except SetupError as error:
        say(str(error))
        return COULD_NOT_RUN
    if command == "demo":
        return subprocess.call([program(environment, "clipsearch"), "demo", *rest])
    tier = ["--tier", "nightly", "--timeout", "7200"] if command == "nightly" else []
    return run_checks(environment, [*tier, *rest])


def run_checks(environment: str, pytest_arguments: list[str]) -> int:
    """Run every check, also after one has failed; the first failing one's exit code."""
    failed: list[tuple[str, int]] = []
    for tool, *arguments in CHECKS:
        if tool == "pytest":
            arguments = [*arguments, *pytest_arguments]
        name = " ".join([tool, *arguments])
        say(name)
        command = [program(environment, "python"), "-m", tool, *arguments]
        code = subprocess.call(command, cwd=ROOT)
        if code != 0:
            failed.append((name, code))
    if failed:
        say("failed: " + ", ".join(name for name, _ in failed))
        return failed[0][1]
    say("all checks passed")
    return 0


def prepare(environment: str, command: str) -> None:
    """Make the environment for `command`, or leave it as it is when it is up to date."""
    stamp = os.path.join(environment, f"clipsearch-{command}.stamp")
    wanted = fingerprint(command)
    if is_usable(environment) and read(stamp) == wanted:
        return
    started = time.monotonic()
    if not is_usable(environment):
        create(environment)
    install(environment, command)
    with open(stamp, "w") as file:
        file.write(wanted)
    say(f"ready after {time.monotonic() - started:.0f} s")


def create(environment: str) -> None:
    """Make an empty virtual environment, by whatever this machine's Python has for it."""
    say(f"making a virtual environment in {environment}")
    if has_module("ensurepip"):
        run_quietly([sys.executable, "-m", "venv", "--clear", environment])
    elif has_module("virtualenv"):
        run_quietly([sys.executable, "-m", "virtualenv", "--clear", environment])
    elif has_module("pip") and has_module("venv"):
        run_quietly([sys.executable, "-m", "venv", "--clear", "--without-pip", environment])
    else:
        version = "{}.{}".format(*sys.version_info)
        raise SetupError(
            f"Python {version} here cannot make environments. "
            f"On Debian or Ubuntu: sudo apt install python{version}-venv; then run this again."
        )


def pip_for(environment: str) -> list[str]:
    """The pip that installs into the environment: its own, else the one of this Python."""
    python = program(environment, "python")
    if subprocess.call([python, "-c", "import pip"], stderr=subprocess.DEVNULL) == 0:
        return [python, "-m", "pip"]
    return [sys.executable, "-m", "pip", "--python", python]


def install(environment: str, command: str) -> None:
    """Install the project in place with what `command` needs, showing the large downloads."""
    extras = ",".join(EXTRAS[command])
    requirements = [line for group in GROUPS[command] for line in dependency_group(group)]
    say("installing packages (the first time this fetches PyTorch: minutes, and a few GB of disk)")
    arguments = [
        *pip_for(environment),
        "install",
        "--disable-pip-version-check",
        "--progress-bar",
        "off",
    ]
    arguments += ["--editable", f"{ROOT}[{extras}]", *requirements]
    log = os.path.join(environment, "install.log")
    with open(log, "w") as file:
        process = subprocess.Popen(
            arguments, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert process.stdout is not None
        for line in process.stdout:
            file.write(line)
            if is_worth_showing(line):
                print("   ", line.strip()[:110], flush=True)
        code = process.wait()
    if code != 0:
        raise SetupError(
            f"pip could not install the packages. {last_error(log)} (all of it: {log})"
            + advice(read(log), environment)
        )


def is_worth_showing(line: str) -> bool:
    """Large downloads and the last step: enough to see that something goes on."""
    text = line.strip()
    if text.startswith("Downloading"):
        return text.endswith((" GB)",)) or (
            text.endswith(" MB)") and float(text.rsplit("(", 1)[1].split()[0]) >= 20
        )
    return text.startswith("Installing collected packages")


def last_error(log: str) -> str:
    """The last line of pip's output that says what went wrong."""
    lines = [line.strip() for line in read(log).splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["It said nothing."])[-1]


def advice(log: str, environment: str) -> str:
    """What to do about a disk that pip's output says is full; nothing about anything else."""
    if "No space left on device" not in log:
        return ""
    # pip unpacks in the folder for temporary files what it then moves into the environment.
    places = {environment, tempfile.gettempdir()}
    free = (f"{place} has {shutil.disk_usage(place).free / 1e9:.1f} GB" for place in places)
    now = ", ".join(sorted(free))
    return f"\n    Make room and run this again: it takes {NEEDED}. Free now: {now}."


def dependency_group(name: str) -> list[str]:
    """A group from pyproject.toml; older versions of pip cannot install one by name."""
    import tomllib  # in the standard library since 3.11

    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        groups: dict[str, list[str]] = tomllib.load(file)["dependency-groups"]
    return groups[name]


def fingerprint(command: str) -> str:
    """What an environment was made from: when this changes it is brought up to date."""
    described = repr((command, EXTRAS[command], sys.version, ROOT))
    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        return hashlib.sha256(file.read() + described.encode()).hexdigest()


def is_usable(environment: str) -> bool:
    """Whether the environment's Python runs: a moved or half-made one does not."""
    python = program(environment, "python")
    if not os.path.exists(python):
        return False
    check = f"import sys; sys.exit(sys.version_info[:2] < {OLDEST_PYTHON})"
    return subprocess.call([python, "-c", check], stderr=subprocess.DEVNULL) == 0


def program(environment: str, name: str) -> str:
    """The path of a program of the environment."""
    if os.name == "nt":
        return os.path.join(environment, "Scripts", f"{name}.exe")
    return os.path.join(environment, "bin", name)


def run_with_newer_python(arguments: list[str]) -> int:
    """Start again with a newer Python from the PATH, or say that there is none."""
    for minor in range(20, OLDEST_PYTHON[1] - 1, -1):
        newer = shutil.which(f"python3.{minor}")
        if newer:
            return subprocess.call([newer, os.path.abspath(__file__), *arguments])
    say(
        "clipsearch needs Python {}.{} or newer, this is {}.{}. ".format(
            *OLDEST_PYTHON, *sys.version_info
        )
        + "Install a newer one and run this with it."
    )
    return COULD_NOT_RUN


def run_quietly(command: list[str]) -> None:
    """Run a command; its output is shown only as the reason of a failure."""
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        reason = " ".join((result.stdout + result.stderr).split())[-300:]
        raise SetupError(f"{' '.join(command)} failed: {reason}")


def has_module(name: str) -> bool:
    """Whether this Python has the module."""
    return importlib.util.find_spec(name) is not None


def read(path: str) -> str:
    """The text of a file, "" when there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def say(line: str) -> None:
    """One line of progress."""
    print(f"==> {line}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
