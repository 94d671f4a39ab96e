"""An album whose file names, folders, EXIF texts and labels are all up to something."""

import os
from pathlib import Path

from PIL import ExifTags, Image

from tests.cli.program import Program

TEXTS = [
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1b[2J\x1b[31mred",
    "\x1bP+q\x1b\\",
    "\u009b31mc1",
    "\u0085next",
    "over\rwritten",
    "back\x08space\x7f",
    "rtl\u202egnp",
    "\u2066isolate\u2069",
    "zero\u200bwidth\ufeff",
    "line\nbreak\u2028",
    "tab\there",
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "'quoted",
    '"double", and comma',
    "\\x1b",
    "<img src=x onerror=alert(1)>",
    "[bold]rich[/bold]",
    "%_LIKE",
    "e\u0301",
    "\u00e9",
]
BYTES = [b"\xff\x9b31m", b"\xed\xa0\x80", b"\xc3(", b"\x80\x1b[2J"]
NAMES = [text.encode() + b".jpg" for text in TEXTS if "/" not in text] + [
    name + b".jpg" for name in BYTES
]


def fill(program: Program) -> list[bytes]:
    """Write the album; the paths of its photos. Each has a camera that is up to something."""
    paths = []
    for number, name in enumerate(NAMES):
        folder = os.path.join(os.fsencode(program.album), NAMES[-number][:-4])
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, name)
        exif = Image.Exif()
        exif[ExifTags.Base.Make] = "Evil" + TEXTS[number % len(TEXTS)]
        exif[ExifTags.Base.Model] = TEXTS[-number % len(TEXTS)] + "Cam"
        exif[ExifTags.Base.DateTime] = "2023:06:01 17:30:59"
        with open(path, "wb") as file:
            colour = (255 - number, number, 0)
            Image.new("RGB", (16, 16), colour).save(file, "JPEG", exif=exif)
        paths.append(path)
    with open(os.path.join(os.fsencode(program.album), b"cut\x1b[2J.jpg"), "wb") as file:
        file.write(b"\xff\xd8\xff\xe0 cut")
    return paths


def labels_file(folder: Path) -> Path:
    """Labels as hostile as a file of labels lets them be."""
    path = folder / "labels.csv"
    lines = ["label,words"]
    for number, text in enumerate(TEXTS):
        if text.isprintable() or "\u200b" in text or "\u202e" in text or "\u2066" in text:
            quoted = text.replace('"', '""')
            lines.append(f'"{quoted}","{"red" if number % 2 else "green"}"')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
