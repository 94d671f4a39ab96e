"""Nothing leaves the machine: what our runtimes would report about it is never begun."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.row("G7")
def test_onnxruntime_keeps_no_id_of_this_machine(tmp_path: Path) -> None:
    """With the id it would keep events, and send them within a minute."""
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        environment[name] = str(tmp_path)
    subprocess.run(
        [sys.executable, "-c", "import clipsearch.encoders, onnxruntime"],
        cwd=REPOSITORY,
        env=environment,
        check=True,
    )
    assert list(tmp_path.iterdir()) == []
