"""What makes measuring worth doing again: another machine, or what drives its GPU."""

from pathlib import Path

import pytest

from clipsearch.encoders import machine


@pytest.mark.row("K3")
def test_a_driver_that_was_mended_is_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, version = tmp_path / "nvidiactl", tmp_path / "version"
    monkeypatch.setattr(machine, "_GPU_DEVICES", (str(device),))
    monkeypatch.setattr(machine, "_NVIDIA_DRIVER", version)
    keys = [machine.machine_key()]
    device.touch()
    keys.append(machine.machine_key())
    for number in ("470.1", "595.2"):
        version.write_text(f"NVRM version: NVIDIA {number}\nGCC version\n")
        keys.append(machine.machine_key())
    assert len(set(keys)) == 4
    assert keys[-1] == f"{keys[0]}; {device}; NVRM version: NVIDIA 595.2"
