"""Little of everything: a message or smaller steps, never a hang."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fault.machine import require_private_mounts
from tests.fault.subject import Outcome, Subject, Subjects, finish

COULD_NOT_RUN, SOME_FAILED = 6, 3


def memory() -> None:
    limit(resource.RLIMIT_AS, 1_500_000_000)


def descriptors() -> None:
    limit(resource.RLIMIT_NOFILE, 64)


def few_descriptors() -> None:
    limit(resource.RLIMIT_NOFILE, 16)


def core_files_and_stack() -> None:
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_STACK, 1 << 20)


def limit(what: int, most: int) -> None:
    resource.setrlimit(what, (most, most))


def run_limited(subject: Subject, set_limit: Callable[[], None], *arguments: str) -> Outcome:
    return finish(
        subprocess.Popen(
            subject.command(*arguments),
            env=subject.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=set_limit,
        )
    )


@pytest.mark.row("K1")
@pytest.mark.parametrize(
    "set_limit",
    [memory, descriptors, few_descriptors, core_files_and_stack],
    ids=lambda f: f.__name__,
)
def test_an_index_run_with_little(subjects: Subjects, set_limit: Callable[[], None]) -> None:
    subject = subjects.new()
    outcome = run_limited(subject, set_limit, *subject.index_arguments(workers=8))
    assert outcome.code in (0, COULD_NOT_RUN), outcome.errors
    kept = subject.prove_kept(outcome)
    if outcome.code == 0:
        assert kept == len(subject.album.paths)
    else:
        assert len(outcome.complaint) > 20
    subject.prove_goes_on(kept)


FULL_PLACES = """
mkdir -p "$1" && mount -t tmpfs -o size=4k tmpfs "$1" && dd if=/dev/zero of="$1/full" 2>/dev/null
mount -t tmpfs -o size=4k tmpfs /dev/shm && dd if=/dev/zero of=/dev/shm/full 2>/dev/null
export TMPDIR="$1"
"$0" -m clipsearch index "$2" --model fake --json --quiet; echo "index $?"
"$0" -m clipsearch search red -k 3 --json > /dev/null; echo "search $?"
"""


@pytest.mark.row("K1")
def test_no_temporary_space(subjects: Subjects) -> None:
    require_private_mounts()
    subject = subjects.new()
    done = subprocess.run(
        [
            *("unshare", "-rm", "sh", "-c", FULL_PLACES, sys.executable),
            *(str(subject.folder / "tmp"), str(subject.album.folder)),
        ],
        env=subject.environment(),
        capture_output=True,
        text=True,
    )
    assert "index 0" in done.stdout, done.stdout + done.stderr
    assert "search 0" in done.stdout, done.stderr
    assert subject.examine().good == subject.album.names()


def without_library(subject: Subject, **more: str) -> dict[str, str]:
    environment = subject.environment(more)
    for name in ("CLIPSEARCH_LIBRARY", "CLIPSEARCH_MODELS", "XDG_DATA_HOME"):
        environment.pop(name, None)
    return environment


@pytest.mark.row("K2")
@pytest.mark.parametrize(
    "name", ["with spaces", "\N{SNOWMAN} \N{CJK UNIFIED IDEOGRAPH-65E5}", "new\nline"]
)
def test_an_oddly_named_home(subjects: Subjects, name: str) -> None:
    subject = subjects.new()
    home = subject.folder / name
    home.mkdir()
    environment = without_library(subject, HOME=str(home))
    for arguments in (subject.index_arguments(), ["search", "red", "-k", "1"]):
        done = subprocess.run(
            subject.command(*arguments), env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert list(home.rglob("catalogue.sqlite"))


@pytest.mark.row("K2")
@pytest.mark.parametrize("home", [None, "", "relative", "/proc/nothing", "/dev/null"], ids=str)
def test_no_usable_home(subjects: Subjects, home: str | None, tmp_path: Path) -> None:
    subject = subjects.new()
    environment = without_library(subject) | ({} if home is None else {"HOME": home})
    if home is None:
        environment.pop("HOME", None)
    if not home or not os.path.isabs(home):
        # The account's own home is used then: not this test's to write to. Asking is enough.
        arguments = ["library", "where", "--json"]
    else:
        arguments = subject.index_arguments()
    done = subprocess.run(
        subject.command(*arguments), env=environment, capture_output=True, text=True, cwd=tmp_path
    )
    Outcome(done.returncode, done.stdout, done.stderr)
    assert done.returncode in (0, COULD_NOT_RUN), done.stderr
    assert done.returncode == 0 or len(done.stderr.strip().splitlines()) == 1
    # With the variable set, nothing depends on a home.
    given = environment | {"CLIPSEARCH_LIBRARY": str(subject.library)}
    done = subprocess.run(
        subject.command(*subject.index_arguments()), env=given, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert os.path.exists(subject.library / "catalogue.sqlite")
