"""Runs clipsearch with a bug: `python -m tests.fault.planted NAME ARGUMENTS`."""

import sys

from tests.fault.planted.layers import LAYERS

if __name__ == "__main__":
    from clipsearch.cli.program import run

    if sys.argv[1] != "none":
        LAYERS[sys.argv[1]]()
    sys.exit(run(sys.argv[2:]))
