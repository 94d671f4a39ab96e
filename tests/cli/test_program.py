"""The program around the commands: help, versions, signals, broken pipes, failures."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

import clipsearch
from clipsearch.cli.reference import commands
from tests.cli.program import Program

HEAVY = ["numpy", "torch", "onnxruntime", "faiss", "PIL", "huggingface_hub", "rich", "pydantic"]
NAMES = [name.split()[1:] for name, _ in commands()]


def test_alone_it_shows_help_with_examples(program: Program) -> None:
    answer = program.run()
    assert answer.code == 0
    assert "Examples:" in answer.out
    assert 'clipsearch search "a dog on the beach"' in answer.out


def test_the_version_is_the_package_s(program: Program) -> None:
    assert program.run("--version").out == f"clipsearch {clipsearch.__version__}\n"


def test_help_of_every_command_imports_nothing_heavy(program: Program) -> None:
    check = (
        "import json, sys; from clipsearch.cli.program import run\n"
        "for name in json.loads(sys.argv[1]):\n"
        "    code = run([*name, '--help']); print('#', json.dumps([code, sorted(sys.modules)]))"
    )
    command = [sys.executable, "-c", check, json.dumps([[], *NAMES])]
    done = subprocess.run(command, env=program.environment(), capture_output=True, check=True)
    *pages, end = re.split(r"^# (.*)$\n", done.stdout.decode(), flags=re.MULTILINE)
    assert end == ""
    assert len(pages) == 2 * (len(NAMES) + 1)
    for name, page, found in zip([[], *NAMES], pages[::2], pages[1::2], strict=True):
        code, modules = json.loads(found)
        assert code == 0, name
        assert page.startswith(f"Usage: {' '.join(['clipsearch', *name])} "), name
        assert not set(HEAVY) & set(modules), name


@pytest.mark.parametrize("name", [["index"], ["search"], ["library", "forget"]], ids=" ".join)
def test_short_and_long_help_are_the_same(name: list[str], program: Program) -> None:
    assert program.run(*name, "-h") == program.run(*name, "--help")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serch", "dog"], "Did you mean 'search'"),
        (["search", "dog", "--jsn"], "Did you mean --json?"),
        (["index", "--librari", "x"], "Did you mean --library?"),
        (["search"], "Missing argument"),
        (["search", "dog", "-k", "many"], "valid int"),
        (["search", "dog", "-k", "0"], "See clipsearch search --help"),
        (["search", "dog", "--min-score", "2"], "See clipsearch search --help"),
        (["search", "dog", "--top-k"], "--top-k needs a value"),
        (["search", "dog", "-json"], "--json"),
        (["search", "dog", "--json", "--print0"], "Choose one"),
        (["search", "dog", "--copy-to", "a", "--link-to", "b"], "Choose one"),
        (["models", "pll"], "Did you mean 'pull'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_slips_are_usage_errors_in_one_line(
    arguments: list[str], said: str, program: Program
) -> None:
    assert said in program.fails(2, *arguments)


def test_control_characters_of_arguments_do_not_come_back(program: Program) -> None:
    line = program.fails(2, "index", "no\x1b[2Jthere\nhere")
    assert "no\\x1b[2Jthere\\nhere" in line


@pytest.mark.row("A4")
@pytest.mark.row("H5")
def test_a_reader_that_has_enough_is_no_failure(colours: Program) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        colours.command("library", "status"),
        env=colours.environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.row("H5")
def test_a_full_disk_behind_standard_output_is_one_line(colours: Program) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            colours.command("library", "status", "--json"),
            env=colours.environment(),
            stdout=full,
            stderr=subprocess.PIPE,
        )
    assert done.returncode == 6
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("clipsearch: No space left on device: standard output. ")


@pytest.mark.row("H5")
def test_a_closed_standard_output_does_not_pass_for_delivery(colours: Program) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *colours.command("library", "status")],
        env=colours.environment(),
        stderr=subprocess.PIPE,
    )
    assert done.returncode == 6
    assert done.stderr.startswith(b"clipsearch: standard output is closed. ")
    assert done.stderr.count(b"\n") == 1


def _ready(script: str, program: Program) -> subprocess.Popen[bytes]:
    """A process that runs the script, once it has said that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env=program.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.row("A4")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_stop_with_130_and_a_line(number: signal.Signals, program: Program) -> None:
    # A command that would wait for ever: the signal has to reach it wherever it is.
    waiting = (
        "import sys, time; import clipsearch.cli.program as p;"
        "p._invoke = lambda arguments: (print('ready', flush=True), time.sleep(60));"
        "sys.exit(p.run([]))"
    )
    process = _ready(waiting, program)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == b"clipsearch: interrupted. Everything that was finished is kept.\n"


@pytest.mark.row("A4")
def test_the_echo_of_a_signal_is_no_second_one(program: Program) -> None:
    """`timeout` sends its signal twice: it still wants the program to stop, not to break off."""
    tidying = (
        "import sys, time; import clipsearch.cli.program as p\n"
        "def invoke(arguments):\n"
        "    try: print('ready', flush=True); time.sleep(60)\n"
        "    finally: time.sleep(0.5)\n"
        "p._invoke = invoke; sys.exit(p.run([]))"
    )
    process = _ready(tidying, program)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 130


@pytest.mark.row("A4")
def test_the_second_signal_ends_it_at_once(program: Program) -> None:
    stubborn = (
        "import sys, time; import clipsearch.cli.program as p\n"
        "def invoke(arguments):\n"
        "    try: print('ready', flush=True); time.sleep(60)\n"
        "    except KeyboardInterrupt: print('again', flush=True); time.sleep(60)\n"
        "p._invoke = invoke; sys.exit(p.run([]))"
    )
    process = _ready(stubborn, program)
    assert process.stdout is not None
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == b"again\n"
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert time.monotonic() - started < 30


def test_a_bug_is_one_line_and_a_traceback_only_when_asked_for(program: Program) -> None:
    broken = (
        "import sys; import clipsearch.cli.program as p\n"
        "def invoke(arguments): raise RuntimeError('the \\x1b moon')\n"
        "p._invoke = invoke; sys.exit(p.run([]))"
    )
    for environment, lines in (({}, 1), ({"CLIPSEARCH_TRACEBACK": "1"}, 5)):
        done = subprocess.run(
            [sys.executable, "-c", broken],
            env=program.environment(**environment),
            capture_output=True,
        )
        errors = done.stderr.decode()
        assert done.returncode == 6
        assert len(errors.splitlines()) >= lines
        assert ("Traceback" in errors) == bool(environment)
        assert "internal error, RuntimeError: the \\x1b moon" in errors.splitlines()[-1]
        assert "\x1b" not in errors


def test_names_can_be_shown_in_every_language(program: Program) -> None:
    program.add("Zürich 猫.png", "red")
    program.index()
    for language in ("C", "POSIX", "en_US.UTF-8", "no-such-language"):
        answer = program.run("search", "red", LANG=language, LC_ALL=language)
        assert answer.code == 0
        assert answer.out.endswith("/Zürich 猫.png\n")


@pytest.mark.row("H5")
def test_an_encoding_without_the_characters_gets_escapes(program: Program) -> None:
    folder = program.folder / "Zürich"
    folder.mkdir()
    line = program.run("library", "where", PYTHONIOENCODING="ascii", CLIPSEARCH_LIBRARY=str(folder))
    assert "Z\\u00fcrich" in line.out
    record = program.run(
        "library", "where", "--json", PYTHONIOENCODING="ascii", CLIPSEARCH_LIBRARY=str(folder)
    )
    assert record.records[0]["library"] == str(folder)
