"""What this machine is, as far as it decides which encoder is fastest."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from clipsearch.encoders.sessions import available_cores

# The instructions that make matrix products of small numbers fast.
_TELLING_FLAGS = (
    *("amx_bf16", "amx_int8", "avx2", "avx512_bf16", "avx512_vnni", "avx512f", "avx_vnni"),
    *("bf16", "i8mm"),
)

_LIBRARIES = ("torch", "onnxruntime", "openvino")

# There where the driver of a GPU is that torch can use: NVIDIA's, AMD's, WSL's.
_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def machine_key() -> str:
    """Processor, its telling features, usable cores, library versions and a GPU's driver: when it
    changes, measure again.
    """
    facts = processor_facts()
    features = features_of(facts)
    name = facts.get("model name") or platform.processor() or platform.machine()
    generation = "/".join(facts.get(key, "?") for key in ("cpu family", "model"))
    telling = ",".join(flag for flag in _TELLING_FLAGS if flag in features)
    libraries = " ".join(f"{each} {_version(each)}" for each in _LIBRARIES)
    return f"{name} {generation} [{telling}] x{available_cores()}; {libraries}{_graphics()}"


def _graphics() -> str:
    """Which GPUs a driver is there for, and NVIDIA's version; nothing where there is none."""
    found = [device for device in _GPU_DEVICES if Path(device).exists()]
    try:
        text = _NVIDIA_DRIVER.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return "".join(f"; {fact}" for fact in (*found, *text.splitlines()[:1]))


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; emulated, it is far slower than float32.

    Known on Linux only; elsewhere the answer is no, and float32 is used.
    """
    features = features_of(processor_facts())
    return not features.isdisjoint({"amx_bf16", "avx512_bf16", "bf16"})


def may_have_gpu() -> bool:
    """Whether asking torch for a GPU is worth the seconds that importing it takes."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if sys.platform == "win32":
        system = Path(os.environ.get("SYSTEMROOT", "C:/Windows")) / "System32"
        return (system / "nvcuda.dll").exists()
    return any(Path(device).exists() for device in _GPU_DEVICES)


def processor_facts(cpuinfo: str = "/proc/cpuinfo") -> dict[str, str]:
    """The first processor's lines of that file; nothing where there is no such file."""
    try:
        text = Path(cpuinfo).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def features_of(facts: dict[str, str]) -> set[str]:
    """What a processor says it can do, in Linux's words: x86 and ARM name that line differently."""
    return set(facts.get("flags", facts.get("Features", "")).split())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
