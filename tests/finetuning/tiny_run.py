"""Runs small enough for a test: a tiny model, photos of colours and shapes, a caption file."""

import csv
import hashlib
import multiprocessing
import os
from collections.abc import Callable
from multiprocessing import synchronize
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from clipsearch.finetuning import Event, Outcome, Request, Wishes, run
from tests.encoders.tiny import write_clip

COLOURS = {"red": (220, 20, 20), "green": (20, 180, 20), "blue": (30, 30, 220), "white": (245,) * 3}
SHAPES = ("square", "disc", "bar")
# Every combination at several sizes: 48 photos.
SIZES = (8, 11, 14, 17)
WISHES = Wishes(
    tune="all", epochs=3, batch_size=12, learning_rate=3e-3, anchor=1.0, threads=1, forgetting=1.0
)


def write_photos(folder: Path) -> Path:
    """48 photos and captions.csv, with two captions each; the table's path."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for shape in SHAPES:
        for colour, rgb in COLOURS.items():
            for size in SIZES:
                name = f"{colour}-{shape}-{size}.png"
                _draw(folder / name, shape, rgb, size)
                rows.append((name, f"a {colour} {shape}"))
                rows.append((name, f"a {shape} that is {colour}, {size} wide"))
    table = folder / "captions.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("image", "caption"), *rows])
    return table


def _draw(path: Path, shape: str, rgb: tuple[int, ...], size: int) -> None:
    image = Image.new("RGB", (40, 40), (90, 90, 90))
    draw = ImageDraw.Draw(image)
    box = (20 - size, 20 - size, 20 + size, 20 + size)
    if shape == "square":
        draw.rectangle(box, fill=rgb)
    elif shape == "disc":
        draw.ellipse(box, fill=rgb)
    else:
        draw.rectangle((0, 20 - size // 3, 40, 20 + size // 3), fill=rgb)
    image.save(path)


class Workshop:
    """A model, photos and a place for runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = write_clip(folder / "clip")
        self.table = write_photos(folder / "photos")
        self.models = folder / "models"

    def request(self, name: str, wishes: Wishes = WISHES, **others: Any) -> Request:
        fields: dict[str, Any] = {
            "kind": "finetune",
            "run": self.folder / name,
            "data": self.table,
            "library": None,
            "model": str(self.model),
            "architecture": None,
            "photo_root": None,
            "wishes": wishes,
            "workers": 1,
        }
        return Request(**{**fields, **others})

    def run(
        self,
        name: str,
        wishes: Wishes = WISHES,
        tell: Callable[[Event], None] = lambda _event: None,
        **others: Any,
    ) -> Outcome:
        return run(self.request(name, wishes, **others), self.models, tell)

    def begun(self, name: str, failpoint: str | None = None, **others: Any) -> SpawnProcess:
        """Run in a child, which has begun when this returns.

        Spawned, not forked: after some other tests torch refuses to train in a forked child.
        """
        spawn = multiprocessing.get_context("spawn")
        ready = spawn.Event()
        child = spawn.Process(target=_run_in_child, args=(self, name, failpoint, others, ready))
        child.start()
        assert ready.wait(120)
        return child

    def killed(self, name: str, failpoint: str, **others: Any) -> int | None:
        """Run in a child that dies at the failpoint; how it ended: 0, or minus the signal."""
        child = self.begun(name, failpoint, **others)
        child.join()
        return child.exitcode

    def learned(self, name: str) -> tuple[str, str]:
        """The bytes of a run's best weights and of its model, which may be the original's."""
        return digest(self.folder / name / "best.safetensors"), self.weights(name)

    def weights(self, name: str) -> str:
        return digest(self.folder / name / "model" / "open_clip_model.safetensors")


def _run_in_child(
    workshop: Workshop,
    name: str,
    failpoint: str | None,
    others: dict[str, Any],
    ready: synchronize.Event,
) -> None:
    import torch  # noqa: F401 - seconds that are no part of the run

    if failpoint is not None:
        os.environ["CLIPSEARCH_FAILPOINT"] = failpoint
    ready.set()
    workshop.run(name, **others)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
