"""Photos of one colour, in files and archives, and two models for them: one sees no red."""

import io
import os
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from clipsearch.encoders import Towers
from clipsearch.encoders.fake import FAKE, FakeImageEncoder, FakeTextEncoder
from clipsearch.types import Floats, Pixels

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "black": (0, 0, 0),
    "white": (255, 255, 255),
}
SEEING = Towers(FAKE, FakeTextEncoder, FakeImageEncoder)


class NoRed:
    """Photos without their red, texts as they are."""

    info = replace(FAKE, name="no-red", fingerprint="f" * 64)

    def encode_image(self, pixels: Pixels) -> Floats:
        return FakeImageEncoder().encode_image(pixels * np.array([0, 1, 1], np.uint8))


BLIND = Towers(NoRed.info, FakeTextEncoder, NoRed)


def png(colour: str, size: int = 40) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (size, size), COLOURS[colour]).save(file, "PNG")
    return file.getvalue()


def write_photo(path: Path, colour: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(colour))
    return path


def write_captions(folder: Path, rows: Sequence[tuple[str, str]]) -> str:
    """A table of photos and captions; its path. Photos are named after their colour."""
    for name, _ in rows:
        colour = os.path.splitext(name)[0].split("-")[0]
        if colour in COLOURS:
            write_photo(folder / name, colour)
    lines = [f"{name},{caption}" for name, caption in rows]
    table = folder / "captions.csv"
    table.write_text("\n".join(["image,caption", *lines]) + "\n")
    return str(table)


def write_tar(path: Path, members: Sequence[tuple[str, bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_standard_set(folder: Path) -> Path:
    """CLIP_benchmark's layout: four photos of three classes, templates of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classnames.txt").write_text("red\ngreen\nblue\n")
    (folder / "zeroshot_classification_templates.txt").write_text("a photo of {c}\n{c}\n")
    shown = [("red", 0), ("green", 1), ("blue", 2), ("yellow", 2)]
    members = []
    for i, (colour, number) in enumerate(shown):
        members += [(f"s{i}.png", png(colour)), (f"s{i}.cls", str(number).encode())]
    write_tar(folder / "test" / "0.tar", members)
    return folder
