"""Runs clipsearch on a machine with other mounts than this one's.

    FAKE_MOUNTS=FILE python -m tests.fault.environment.on_network ARGUMENTS

FILE is what /proc/self/mountinfo would say.
"""

import os
import sys
from pathlib import Path

from clipsearch.storage import network_disks

if __name__ == "__main__":
    from clipsearch.cli.program import run

    network_disks.MOUNTS = Path(os.environ["FAKE_MOUNTS"])
    sys.exit(run(sys.argv[1:]))
