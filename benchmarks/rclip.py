"""clipsearch against rclip 3.3: the same photos, the same weights, one run on one machine.

    python benchmarks/rclip.py --photos FOLDER [--work DIR] [--count N] [--rounds N] [--index-only]

Both programs get a ViT-B-32-256 with the same random weights (speed does not depend on the
values): clipsearch as an open_clip directory, rclip as ONNX files in its data directory. Photos
are brought to 500 pixels on the long side, the size of the comparison in README. rclip is
installed into an environment of its own. Rounds alternate, so that whatever else the machine
does falls on both; CPU seconds are printed beside wall seconds because they suffer less from it.
Every index run is printed with its phases, read off the progress that both report on standard
error: the rate between the first and the last report, and all the time besides. clipsearch's first
run includes measuring which runtime and precision suit this machine, unless runs/rclip/models
remembers it.
"""

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
import venv
from dataclasses import asdict, dataclass
from pathlib import Path

from machine import load_average, machine
from PIL import Image

RCLIP = "rclip==3.3.0"
RCLIP_MODEL = "ViT-B-32-256-datacomp_s34b_b86k"
ARCHITECTURE = "ViT-B-32-256"
QUERIES = ["a dog on the beach", "a red car", "people at a table", "mountains", "a street at night"]


# How many photos are done, as each program says it on standard error.
OUR_COUNT = re.compile(rb'"stage": "encode", "done": (\d+)')
THEIR_COUNT = re.compile(rb"(\d+)(?:/\d+ |images )\[")


@dataclass(frozen=True)
class Run:
    """Seconds of one run; `rate` is photos a second between the first and the last report."""

    wall: float
    cpu: float
    rate: float = 0.0


def timed(
    command: list[str], environment: dict[str, str], folder: Path, count: re.Pattern[bytes]
) -> Run:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        env=os.environ | environment,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    reports: list[tuple[float, int]] = []
    said = b""
    with process:
        while block := os.read(process.stderr.fileno(), 65536):
            said = said[-2000:] + block
            found = count.findall(said)
            if found and int(found[-1]) > (reports[-1][1] if reports else 0):
                reports.append((time.monotonic(), int(found[-1])))
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        sys.exit(f"{command} ended with {process.returncode}:\n{said.decode()[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(wall, cpu, rate_of(reports))


def rate_of(reports: list[tuple[float, int]]) -> float:
    if len(reports) < 2:
        return 0.0
    (first_at, first), (last_at, last) = reports[0], reports[-1]
    return (last - first) / (last_at - first_at)


def photos(source: Path, target: Path, count: int) -> None:
    if target.is_dir() and len(list(target.iterdir())) == count:
        return
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    files = sorted(p for p in source.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    for number in range(count):
        with Image.open(files[number % len(files)]) as photo:
            rgb = photo.convert("RGB")
        scale = 500 / max(rgb.size)
        size = (max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale)))
        # A second pass over a small source differs in quality, so that no content repeats.
        quality = 90 - number // len(files)
        rgb.resize(size, Image.Resampling.BICUBIC).save(
            target / f"{number:05}.jpg", quality=quality
        )


def checkpoint(folder: Path) -> None:
    """An open_clip directory with random weights, and the same towers as rclip's ONNX files."""
    import open_clip
    import torch
    from open_clip.transform import PreprocessCfg
    from safetensors.torch import save_file

    if (folder / "rclip" / RCLIP_MODEL / "textual.onnx").is_file():
        return
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
            return self.model.encode_text(tokens)

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


def rclip_program(folder: Path) -> str:
    program = folder / "venv" / "bin" / "rclip"
    if not program.is_file():
        venv.create(folder / "venv", with_pip=True)
        python = str(folder / "venv" / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "-q", RCLIP], check=True)
    return str(program)


class Rclip:
    def __init__(self, work: Path, album: Path) -> None:
        self.program = rclip_program(work)
        self.data = work / "rclip"
        self.album = album

    def index(self) -> Run:
        for database in self.data.glob("*.sqlite*"):
            database.unlink()
        return self.search(QUERIES[0], no_indexing=False)

    def search(self, query: str, no_indexing: bool = True) -> Run:
        flags = ["--no-indexing"] if no_indexing else []
        environment = {"RCLIP_DATADIR": str(self.data), "HF_HUB_OFFLINE": "1"}
        command = [self.program, *flags, "--filepath-only", "-t", "10", query]
        return timed(command, environment, self.album, THEIR_COUNT)


class Clipsearch:
    def __init__(self, work: Path, album: Path) -> None:
        self.program = [sys.executable, "-m", "clipsearch"]
        self.model = str(work / "model")
        self.library = work / "library"
        self.environment = {
            "CLIPSEARCH_LIBRARY": str(self.library),
            "CLIPSEARCH_MODELS": str(work / "models"),
        }
        self.album = album
        # Installing (exporting both towers) is done once in a model's life.
        timed([*self.program, "models", "pull", self.model], self.environment, album, OUR_COUNT)

    def index(self) -> Run:
        shutil.rmtree(self.library, ignore_errors=True)
        command = [*self.program, "index", str(self.album), "--model", self.model, "--json"]
        return timed(command, self.environment, self.album, OUR_COUNT)

    def search(self, query: str) -> Run:
        command = [*self.program, "search", query, "-k", "10"]
        return timed(command, self.environment, self.album, OUR_COUNT)


def phases(name: str, run: Run, count: int) -> None:
    besides = max(0.0, run.wall - count / run.rate) if run.rate else 0.0
    print(
        f"  {name:10} {run.wall:7.2f} s = {count} photos at {run.rate:5.1f}/s + {besides:5.2f} s; "
        f"{run.cpu:7.2f} s CPU; {load_average()}",
        flush=True,
    )


def report(title: str, ours: list[Run], theirs: list[Run], per: int = 1) -> None:
    wall = [statistics.median(r.wall for r in runs) for runs in (ours, theirs)]
    cpu = [statistics.median(r.cpu for r in runs) for runs in (ours, theirs)]
    rate = [per / seconds for seconds in wall]
    print(
        f"{title:24} clipsearch {wall[0]:7.2f} s ({cpu[0]:7.2f} s CPU, {rate[0]:6.1f}/s)   "
        f"rclip {wall[1]:7.2f} s ({cpu[1]:7.2f} s CPU, {rate[1]:6.1f}/s)   "
        f"ratio {wall[1] / wall[0]:.2f} wall, {cpu[1] / cpu[0]:.2f} CPU",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/rclip"))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--index-only", action="store_true")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    album = work / f"photos-{arguments.count}"
    photos(arguments.photos, album, arguments.count)
    checkpoint(work)
    ours, theirs = Clipsearch(work, album), Rclip(work, album)
    print(f"{machine()}; {load_average()}; {ARCHITECTURE}, {arguments.count} photos", flush=True)
    indexed: tuple[list[Run], list[Run]] = ([], [])
    for _ in range(arguments.rounds):
        for name, program, runs in (
            ("clipsearch", ours, indexed[0]),
            ("rclip", theirs, indexed[1]),
        ):
            runs.append(program.index())
            phases(name, runs[-1], arguments.count)
    report("index, end to end", *indexed, per=arguments.count)
    rates = [statistics.median(run.rate for run in runs) for runs in indexed]
    print(
        f"{'index, after start-up':24} clipsearch {rates[0]:.1f}/s   rclip {rates[1]:.1f}/s   "
        f"ratio {rates[0] / rates[1]:.2f}",
        flush=True,
    )
    if arguments.index_only:
        return
    searched: tuple[list[Run], list[Run]] = ([], [])
    for query in QUERIES:
        searched[0].append(ours.search(query))
        searched[1].append(theirs.search(query))
    report("search, cold process", *searched)


if __name__ == "__main__":
    main()
