"""Checks of this machine: packages, processor, graphics, disks."""

import importlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import clipsearch
from clipsearch.checking.findings import COULD_NOT_RUN, Check
from clipsearch.encoders.machine import features_of, processor_facts

# Below this a model of a few gigabytes or a large library may not fit any more.
LITTLE_SPACE = 2_000_000_000

# What clipsearch cannot do without, by distribution name and by the module that has to import.
# torch and what builds on it take seconds to import: for them only their presence is checked.
REQUIRED = {
    "numpy": "numpy",
    "pillow": "PIL",
    "faiss-cpu": "faiss",
    "onnxruntime": "onnxruntime",
    "tokenizers": "tokenizers",
    "safetensors": "safetensors",
    "platformdirs": "platformdirs",
    "huggingface-hub": "",
    "torch": "",
    "torchvision": "",
    "open-clip-torch": "",
    "onnx": "",
    "onnxscript": "",
}
EXTRAS = {
    "heif": ("pillow-heif", "HEIC photos"),
    "raw": ("rawpy", "camera RAW photos"),
    "multilingual": ("transformers", "the presets multilingual and best"),
    "demo": ("scikit-image", "the photographs of clipsearch demo"),
}
# The features that decide how fast a tower runs on a processor, as Linux and macOS call them.
FAST_FEATURES = {
    "amx_bf16": "AMX bf16",
    "avx512_bf16": "AVX-512 bf16",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX VNNI",
    "avx512f": "AVX-512",
    "avx2": "AVX2",
    "asimddp": "dot product",
    "bf16": "bf16",
    "i8mm": "int8 matrix",
}


def check_machine(places: dict[str, Path], *, torch: bool) -> Iterator[Check]:
    """All of them. `torch` also starts torch and asks it for a GPU."""
    yield from check_program()
    yield from check_packages()
    yield from check_extras()
    yield check_processor()
    yield check_torch() if torch else check_graphics()
    yield from check_space(places)


def check_program() -> Iterator[Check]:
    """Versions and the place of the program."""
    python = platform.python_version()
    where = Path(clipsearch.__file__).parent
    yield Check("clipsearch", "ok", f"{clipsearch.__version__} in {where}")
    yield Check("python", "ok", f"{python} on {platform.system()} {platform.machine()}")


def check_packages() -> Iterator[Check]:
    """The packages that must be there; those that load fast are loaded."""
    for distribution, module in REQUIRED.items():
        try:
            version = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            yield Check(
                distribution, "problem", "not installed", "Run: pip install clipsearch",
                COULD_NOT_RUN,
            )  # fmt: skip
            continue
        failure = _import_failure(module) if module else None
        if failure is None:
            yield Check(distribution, "ok", version)
        else:
            remedy = f"Run: pip install --force-reinstall {distribution}"
            yield Check(
                distribution, "problem", f"{version} does not load ({failure})", remedy,
                COULD_NOT_RUN,
            )  # fmt: skip


def _import_failure(module: str) -> str | None:
    try:
        importlib.import_module(module)
    except (ImportError, OSError) as error:
        return " ".join(str(error).split())
    return None


def check_extras() -> Iterator[Check]:
    """The optional packages, and what each is for."""
    for extra, (distribution, purpose) in EXTRAS.items():
        try:
            version = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            remedy = f'For {purpose}: pip install "clipsearch[{extra}]"'
            yield Check(f"extra {extra}", "note", "not installed", remedy)
        else:
            yield Check(f"extra {extra}", "ok", f"{distribution} {version}: {purpose}")


def check_processor() -> Check:
    """Cores, memory, and the features that make encoding fast."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = _memory()
    size = f", {memory / 1e9:.0f} GB of memory" if memory else ""
    flags = processor_flags()
    features = [name for flag, name in FAST_FEATURES.items() if flag in flags]
    shown = ", ".join(features) or "no features that are known to speed it up"
    return Check("processor", "ok", f"{cores} cores{size}; {shown}")


def processor_flags(cpuinfo: str = "/proc/cpuinfo") -> frozenset[str]:
    """What the processor says it can do, in Linux's words; empty where that is not known."""
    if sys.platform == "darwin":
        return _apple_flags()
    return frozenset(features_of(processor_facts(cpuinfo)))


def _apple_flags() -> frozenset[str]:
    names = {"FEAT_BF16": "bf16", "FEAT_I8MM": "i8mm", "FEAT_DotProd": "asimddp"}
    asked = ["sysctl", "-n", *(f"hw.optional.arm.{name}" for name in names)]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    answers = answer.stdout.split()
    return frozenset(
        flag for flag, value in zip(names.values(), answers, strict=False) if value == "1"
    )


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def check_graphics() -> Check:
    """Whether there is a GPU that torch could use, without starting torch."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return Check("graphics", "ok", "Apple GPU; see doctor --torch for whether torch uses it")
    if os.path.exists("/proc/driver/nvidia/version") or shutil.which("nvidia-smi"):
        return Check(
            "graphics", "ok", "NVIDIA driver; see doctor --torch for whether torch uses it"
        )
    return Check("graphics", "ok", "no GPU found: the processor encodes")


def check_torch() -> Check:
    """Ask torch itself, in a process of its own."""
    program = (
        "import torch; from clipsearch.devices import trouble_of;"
        "c, m = trouble_of('cuda'), trouble_of('mps');"
        "print(torch.__version__, torch.cuda.get_device_name() if c is None else "
        f"'Apple GPU' if m is None else '{_BROKEN_GPU} (' + (c or m) + ')' if c or m else "
        "'no GPU: the processor encodes', sep=', ')"
    )
    try:
        answer = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("torch", "problem", f"does not start ({error})", _REINSTALL, COULD_NOT_RUN)
    if answer.returncode != 0:
        reason = (answer.stderr.strip().splitlines() or ["no reason given"])[-1]
        return Check("torch", "problem", f"does not load ({reason})", _REINSTALL, COULD_NOT_RUN)
    found = answer.stdout.strip()
    if _BROKEN_GPU in found:
        return Check("torch", "warning", found, "The processor encodes. Check the GPU's driver")
    return Check("torch", "ok", found)


_BROKEN_GPU = "a GPU that does not work"
_REINSTALL = "Run: pip install --force-reinstall torch torchvision"


def check_space(places: dict[str, Path]) -> Iterator[Check]:
    """Free space, and whether it may be written, where things are kept."""
    for name, place in places.items():
        existing = _nearest_existing(place)
        subject = f"{name} folder"
        try:
            free = shutil.disk_usage(existing).free
        except OSError as error:
            reason = f"{place}: {error.strerror}"
            yield Check(subject, "problem", reason, _OTHER_PLACE[name], COULD_NOT_RUN)
            continue
        shown = f"{place}, {free / 1e9:.1f} GB free"
        if not os.access(existing, os.W_OK):
            # A library can be searched where it cannot be written.
            yield Check(subject, "warning", f"{shown}, not writable", _OTHER_PLACE[name])
        elif free < LITTLE_SPACE:
            yield Check(subject, "warning", shown, f"Free some space, or: {_OTHER_PLACE[name]}")
        else:
            yield Check(subject, "ok", shown)


_OTHER_PLACE = {
    "library": "Choose another place with CLIPSEARCH_LIBRARY",
    "models": "Choose another place with CLIPSEARCH_MODELS",
}


def _nearest_existing(place: Path) -> Path:
    return next((p for p in (place, *place.parents) if p.exists()), place)
