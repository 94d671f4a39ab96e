"""Fuzz targets: each module is one, with `SEEDS` and a `fuzz_one` that raises when a promise broke.

    python -m tests.fuzz.query --seconds 60

drives one with atheris where that is installed (`pip install --group fuzz`), otherwise with simple
mutations of the seeds. What makes a target fail is written to a file, whose path is told; give it
back with `--input FILE`. A few hundred inputs of each are part of the test suite.
"""
