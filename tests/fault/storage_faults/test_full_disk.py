"""A library on a disk that is full, too small or read-only: one line, exit 6, and it goes on."""

import resource
import subprocess
import sys

import pytest

from tests.fault.machine import require_private_mounts
from tests.fault.side_by_side import for_each
from tests.fault.subject import Outcome, Subject, Subjects, finish, seeded
from tests.fault.table import Trials

COULD_NOT_RUN = 6

# Mounts a disk of $1 kB for the library, indexes $2, searches while it is full, makes it larger,
# and goes on.
FULL = """
mount -t tmpfs -o size="$1"k tmpfs "$CLIPSEARCH_LIBRARY" || exit 99
"$0" -m clipsearch index "$2" --model fake --json --quiet; echo "first $?"
"$0" -m clipsearch search red -k 1000 --json > "$3/found"; echo "searched $?"
"$0" -m clipsearch library status --json > "$3/status"
wc -l < "$3/found"
mount -o remount,size=40m "$CLIPSEARCH_LIBRARY"
"$0" -m clipsearch index "$2" --model fake --json --quiet; echo "second $?"
cp "$CLIPSEARCH_LIBRARY"/catalogue.sqlite* "$3/kept/"
"""


def run_script(
    subject: Subject, script: str, *arguments: str
) -> "subprocess.CompletedProcess[str]":
    subject.library.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, sys.executable, *arguments],
        env=subject.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    Outcome(done.returncode, done.stdout, done.stderr)
    return done


@pytest.mark.row("B1")
def test_a_full_disk_costs_nothing_that_was_done(subjects: Subjects, trials: Trials) -> None:
    require_private_mounts()
    chance = seeded("disks")
    sizes = sorted(chance.sample(range(60, 420, 4), trials(10, 60)))

    def trial(kilobytes: int) -> None:
        subject = subjects.new()
        kept = subject.folder / "kept"
        kept.mkdir()
        done = run_script(
            subject, FULL, str(kilobytes), str(subject.album.folder), str(subject.folder)
        )
        lines = [line for line in done.stdout.splitlines() if not line.startswith("{")]
        assert lines[0] == "first 6", done.stdout + done.stderr
        complaint = done.stderr.splitlines()[0]
        assert str(subject.library) in complaint
        assert "Free some space" in complaint
        assert "MB are free there" in complaint
        # A library that has photos answers; one that could not even begin says that it has none.
        assert lines[1] in ("searched 0", "searched 6", "searched 1"), done.stderr
        if lines[1] == "searched 0":
            assert int(lines[2]) > 0
        assert lines[3] == "second 0", done.stderr
        subject.library = kept
        assert subject.examine().good == subject.album.names()
        subject.album.prove_untouched()

    assert for_each(sizes, trial) == len(sizes)


@pytest.mark.row("B2")
def test_a_limit_on_the_size_of_files(subjects: Subjects, trials: Trials) -> None:
    """It arrives as an input/output error, not as a full disk."""
    chance = seeded("limits")
    sizes = sorted(chance.sample(range(20_000, 420_000, 1000), trials(20, 200)))

    def trial(size: int) -> None:
        subject = subjects.new()
        process = subprocess.Popen(
            subject.command(*subject.index_arguments()),
            env=subject.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        )
        outcome = finish(process)
        assert outcome.code == COULD_NOT_RUN, outcome.errors
        assert str(subject.library) in outcome.complaint
        kept = subject.prove_kept(outcome)
        found = subject.run("search", "red", "-k", "1000", "--json")
        assert len(found.output.splitlines()) == kept
        subject.prove_goes_on(kept)

    assert for_each(sizes, trial) == len(sizes)


# Indexes, and then the disk is read-only; $2: also with a log left by a kill, or without.
READ_ONLY = """
mount -t tmpfs tmpfs "$CLIPSEARCH_LIBRARY" || exit 99
CLIPSEARCH_FAILPOINT=$2 "$0" -m clipsearch index "$1" --model fake --json --quiet
mount -o remount,ro "$CLIPSEARCH_LIBRARY" || exit 98
"$0" -m clipsearch search red -k 1000 --print0 | tr '\\0' '\\n' | wc -l
"$0" -m clipsearch index --json --quiet; echo "index $?"
"$0" -m clipsearch library status --json; echo "status $?"
"""


@pytest.mark.row("B5")
@pytest.mark.parametrize("failpoint", ["", "after_commit:30=exit"], ids=["closed", "killed"])
def test_a_disk_that_became_read_only(subjects: Subjects, failpoint: str) -> None:
    require_private_mounts()
    subject = subjects.new()
    done = run_script(subject, READ_ONLY, str(subject.album.folder), failpoint)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("{")]
    assert 0 < int(lines[0]) <= len(subject.album.paths), done.stdout + done.stderr
    assert lines[1:] == ["index 6", "status 0"], done.stderr
    (complaint,) = (line for line in done.stderr.splitlines() if line.startswith("clipsearch: "))
    assert "cannot be written" in complaint


@pytest.mark.row("B7")
def test_leftovers_of_killed_runs_do_not_pile_up(subjects: Subjects, trials: Trials) -> None:
    subject = subjects.new()
    assert subject.index().code == 0
    places = ("before_temp_write", "after_temp_write", "before_rename")
    for number in range(trials(6, 50)):
        more = {"CLIPSEARCH_FAILPOINT": f"{places[number % 3]}=exit"}
        assert subject.run("library", "rebuild", more=more).code < 0
        assert len(list(subject.library.glob("*.tmp*"))) <= 1
    assert subject.run("library", "rebuild").code == 0
    assert not list(subject.library.glob("*.tmp*"))
    names = {path.name.partition("-")[0] for path in subject.library.iterdir()}
    assert len(names) == 4, f"more than catalogue, snapshot, lock and ignore file: {names}"
