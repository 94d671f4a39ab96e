"""The programs that benchmarks compare, with the same random weights, and how a run is timed."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

RCLIP = "rclip==3.3.0"
RCLIP_MODEL = "ViT-B-32-256-datacomp_s34b_b86k"
ARCHITECTURE = "ViT-B-32-256"
CLIP_RETRIEVAL = ["clip-retrieval==2.45.0", "setuptools<81"]

# How many photos are done, as each program says it on standard error.
OUR_COUNT = re.compile(rb'"stage": "encode", "done": (\d+)')
THEIR_COUNT = re.compile(rb"(\d+)(?:/\d+ |images )\[")


@dataclass(frozen=True)
class Run:
    """Seconds of one run; `rate` is photos a second between the first and the last report (0 when
    there were none); `peak_mb` of its largest process."""

    wall: float
    cpu: float
    rate: float
    peak_mb: float


class Program(Protocol):
    """A way to index a folder of photos."""

    name: str

    def index(self, album: Path) -> Run: ...


def timed(
    command: list[str], environment: dict[str, str], folder: Path, count: re.Pattern[bytes]
) -> Run:
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        env=os.environ | environment,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    reports: list[tuple[float, int]] = []
    said = b""
    while block := os.read(process.stderr.fileno(), 65536):
        said = said[-2000:] + block
        found = count.findall(said)
        if found and int(found[-1]) > (reports[-1][1] if reports else 0):
            reports.append((time.monotonic(), int(found[-1])))
    # Of this child alone and the processes it waited for, unlike what getrusage adds up.
    _, status, used = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        sys.exit(f"{command} ended with {process.returncode}:\n{said.decode()[-2000:]}")
    return Run(wall, used.ru_utime + used.ru_stime, rate_of(reports), used.ru_maxrss / 1024)


def rate_of(reports: list[tuple[float, int]]) -> float:
    if len(reports) < 2:
        return 0.0
    (first_at, first), (last_at, last) = reports[0], reports[-1]
    return (last - first) / (last_at - first_at)


def photos(source: Path, target: Path, count: int, long_side: int) -> Path:
    """`count` JPEG files of that size made from a folder of photos, no two of the same content."""
    if target.is_dir() and len(list(target.iterdir())) == count:
        return target
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    files = sorted(p for p in source.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    for number in range(count):
        with Image.open(files[number % len(files)]) as photo:
            rgb = photo.convert("RGB")
        scale = long_side / max(rgb.size)
        size = (max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale)))
        # A second pass over a small source differs in quality, so that no content repeats.
        quality = 90 - number // len(files)
        rgb.resize(size, Image.Resampling.BICUBIC).save(
            target / f"{number:05}.jpg", quality=quality
        )
    return target


def checkpoint(folder: Path) -> None:
    """An open_clip directory with random weights, and the same towers as rclip's ONNX files.

    Made in a process of its own: whoever measures must stay small, since Linux counts the memory
    of the process that starts another as that other one's peak.
    """
    if not (folder / "rclip" / RCLIP_MODEL / "textual.onnx").is_file():
        subprocess.run([sys.executable, __file__, str(folder)], check=True)


def _make_checkpoint(folder: Path) -> None:
    import open_clip
    import torch
    from open_clip.transform import PreprocessCfg
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = open_clip.create_model(ARCHITECTURE, pretrained=None).eval()
    config = {
        "model_cfg": open_clip.get_model_config(ARCHITECTURE),
        "preprocess_cfg": asdict(PreprocessCfg(size=256)),
    }
    (folder / "model").mkdir(parents=True, exist_ok=True)
    (folder / "model" / "open_clip_config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), folder / "model" / "open_clip_model.safetensors")
    target = folder / "rclip" / RCLIP_MODEL
    target.mkdir(parents=True, exist_ok=True)

    class Text(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            rows: torch.Tensor = self.model.encode_text(tokens)
            return rows

    for module, example, name in (
        (model.visual, torch.randn(2, 3, 256, 256), "visual.onnx"),
        (Text(), torch.randint(0, 49000, (2, 77)), "textual.onnx"),
    ):
        torch.onnx.export(
            module,
            (example,),
            str(target / name),
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
            dynamo=False,
        )
    vocabulary = folder / "rclip" / "tokenizer"
    vocabulary.mkdir(exist_ok=True)
    shutil.copy(Path(open_clip.__file__).with_name("bpe_simple_vocab_16e6.txt.gz"), vocabulary)


def environment_with(folder: Path, packages: list[str], program: str) -> Path:
    """Install packages into an environment of their own; the path of a program of theirs."""
    found = folder / "bin" / program
    if not found.is_file():
        venv.create(folder, with_pip=True)
        python = str(folder / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    return found


class Rclip:
    name = "rclip 3.3"

    def __init__(self, work: Path) -> None:
        self._program = str(environment_with(work / "venv", [RCLIP], "rclip"))
        self._data = work / "rclip"

    def index(self, album: Path) -> Run:
        for database in self._data.glob("*.sqlite*"):
            database.unlink()
        return self._run(album, ["a dog on the beach"])

    def search(self, album: Path, query: str) -> Run:
        return self._run(album, ["--no-indexing", query])

    def _run(self, album: Path, arguments: list[str]) -> Run:
        environment = {"RCLIP_DATADIR": str(self._data), "HF_HUB_OFFLINE": "1"}
        command = [self._program, "--filepath-only", "-t", "10", *arguments]
        return timed(command, environment, album, THEIR_COUNT)


class Clipsearch:
    name = "clipsearch"

    def __init__(self, work: Path) -> None:
        self._program = [sys.executable, "-m", "clipsearch"]
        self._model = str(work / "model")
        self._library = work / "library"
        self._environment = {
            "CLIPSEARCH_LIBRARY": str(self._library),
            "CLIPSEARCH_MODELS": str(work / "models"),
        }
        # Installing (exporting both towers) is done once in a model's life.
        timed([*self._program, "models", "pull", self._model], self._environment, work, OUR_COUNT)

    def has_measured(self) -> bool:
        """Whether an earlier run found out what suits this machine."""
        return any(Path(self._environment["CLIPSEARCH_MODELS"]).glob("*/bulk.json"))

    def index(self, album: Path) -> Run:
        shutil.rmtree(self._library, ignore_errors=True)
        return self.index_again(album)

    def index_again(self, album: Path) -> Run:
        command = [*self._program, "index", str(album), "--model", self._model, "--json"]
        return timed(command, self._environment, album, OUR_COUNT)

    def search(self, album: Path, query: str) -> Run:
        command = [*self._program, "search", query, "-k", "10"]
        return timed(command, self._environment, album, OUR_COUNT)


class PlainScript:
    """open_clip and faiss as most people write them: benchmarks/plain_script.py."""

    name = "plain script"

    def __init__(self, work: Path) -> None:
        self._command = [sys.executable, str(Path(__file__).with_name("plain_script.py"))]
        self._work = work

    def index(self, album: Path) -> Run:
        command = [*self._command, str(self._work / "model"), str(album), str(self._work / "plain")]
        return timed(command, {}, album, THEIR_COUNT)


class ClipRetrieval:
    """clip-retrieval's inference, on the processor."""

    name = "clip-retrieval 2.45"

    def __init__(self, work: Path) -> None:
        folder = work / "clip-retrieval"
        self._program = str(environment_with(folder, CLIP_RETRIEVAL, "clip-retrieval"))
        self._work = work

    def index(self, album: Path) -> Run:
        target = self._work / "clip-retrieval-embeddings"
        shutil.rmtree(target, ignore_errors=True)
        weights = self._work / "model" / "open_clip_model.safetensors"
        command = [
            self._program, "inference", f"--input_dataset={album}", f"--output_folder={target}",
            f"--clip_model=open_clip:{ARCHITECTURE}/{weights}", "--enable_text=False",
            "--use_jit=False", "--num_prepro_workers=2", "--batch_size=64", "--enable_wandb=False",
        ]  # fmt: skip
        return timed(command, {"CUDA_VISIBLE_DEVICES": ""}, album, THEIR_COUNT)


if __name__ == "__main__":
    _make_checkpoint(Path(sys.argv[1]))
