"""Name the machine a benchmark ran on."""

import os
import platform
from pathlib import Path


def machine() -> str:
    """Processor, cores, memory and the features that matter for speed, in one line."""
    cpuinfo = Path("/proc/cpuinfo")
    facts = cpuinfo.read_text() if cpuinfo.exists() else ""
    model = next(
        (line.split(":", 1)[1].strip() for line in facts.splitlines() if "model name" in line),
        platform.processor() or platform.machine(),
    )
    features = [f for f in ("amx_bf16", "avx512_bf16", "avx512_vnni", "avx2") if f in facts]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{model}, {os.cpu_count()} cores ({', '.join(features)}), {memory:.0f} GiB, "
        f"Python {platform.python_version()}, {platform.system()}"
    )


def load_average() -> str:
    """How busy the machine was just now: a benchmark on a busy machine says so."""
    return f"load average {os.getloadavg()[0]:.1f}"
