"""Every branch of the modules that must not lose or mix up anything, by their own fast tests.

    python -m tests.branches

runs those tests and lists what they did not try. Exit code 0 only when that is nothing.
"""

import subprocess
import sys

# What stores, what decides on presence and absence, what writes text out, what keeps training.
MODULES = [
    "storage/*",
    "maintaining/*",
    "indexing/*",
    *(f"photos/{name}.py" for name in ("walk", "ignore", "ignored_by", "patterns", "files")),
    "photos/in_hand.py",
    "cli/escape.py",
    "cli/output.py",
    *(f"training/{name}.py" for name in ("checkpoints", "states", "flat_states", "tensor_files")),
    "training/runs.py",
    *(f"finetuning/{name}.py" for name in ("places", "logbook", "restoring")),
]
TESTS = [
    "storage",
    "test_library.py",
    "concepts",
    "maintaining",
    "indexing",
    *(f"photos/test_{name}.py" for name in ("walk", "ignore", "ignored_by", "files", "in_hand")),
    "fault/interruption/test_in_hand.py",
    "cli/test_escape.py",
    "cli/test_output.py",
    *(f"training/test_{name}.py" for name in ("checkpoints", "states", "tensor_files", "runs")),
    *(f"finetuning/test_{name}.py" for name in ("places", "logbook", "restoring")),
]


def main() -> int:
    """The exit code of the tests, else that of the report."""
    coverage = [sys.executable, "-m", "coverage"]
    tests = [f"tests/{name}" for name in TESTS]
    failed = subprocess.call([*coverage, "run", "-m", "pytest", "-q", *tests])
    include = ",".join(f"clipsearch/{name}" for name in MODULES)
    report = ["report", "--show-missing", "--skip-covered", "--fail-under=100"]
    return failed or subprocess.call([*coverage, *report, f"--include={include}"])


if __name__ == "__main__":
    sys.exit(main())
