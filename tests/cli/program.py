"""Runs `clipsearch` as a person does: as a program of its own, on a small album of colours."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "black": (0, 0, 0),
}


@dataclass(frozen=True)
class Answer:
    """What a run left behind."""

    code: int
    raw: bytes
    errors: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def records(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.lines]


class Program:
    """`clipsearch` with a library, a models folder and a working directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.album = folder / "album"
        self.album.mkdir()
        self.library = folder / "library"

    def environment(self, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CLIPSEARCH_")}
        own = {
            "CLIPSEARCH_LIBRARY": str(self.library),
            "CLIPSEARCH_MODELS": str(self.folder / "models"),
            "PYTHONPATH": str(REPOSITORY),
            # An offline machine fails at once instead of after the hub's retries.
            "HF_HUB_OFFLINE": "1",
        }
        return {**kept, **own, **more}

    def command(self, *arguments: str | bytes) -> list[str | bytes]:
        return [sys.executable, "-m", "clipsearch", *arguments]

    def run(self, *arguments: str | bytes, **environment: str) -> Answer:
        return self.python("-m", "clipsearch", *arguments, **environment)

    def python(self, *arguments: str | bytes, **environment: str) -> Answer:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=600,
        )
        errors = done.stderr.decode()
        assert "Traceback" not in errors, errors
        return Answer(done.returncode, done.stdout, errors)

    def fails(self, code: int, *arguments: str | bytes, **environment: str) -> str:
        """Run what must fail with this code; its one line on standard error."""
        answer = self.run(*arguments, **environment)
        assert answer.code == code, answer
        assert answer.raw == b"", answer
        lines = answer.errors.splitlines()
        assert len(lines) == 1, answer.errors
        assert lines[0].startswith("clipsearch: "), lines
        return lines[0]

    def add(self, name: str | bytes, colour: str | tuple[int, int, int]) -> bytes:
        """A photo of one colour; its path."""
        path = os.path.join(os.fsencode(self.album), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            rgb = COLOURS[colour] if isinstance(colour, str) else colour
            Image.new("RGB", (40, 30), rgb).save(file, "PNG")
        return path

    def add_colours(self) -> None:
        for name in COLOURS:
            self.add(f"{name}.png", name)

    def index(self, *arguments: str) -> Answer:
        answer = self.run("index", str(self.album), "--model", "fake", *arguments)
        assert answer.code == 0, answer
        return answer
