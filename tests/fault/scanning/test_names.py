"""Names nobody would choose: found, shown safely, and given back byte for byte."""

import os
import subprocess
import unicodedata

import pytest
from PIL import Image

from tests.fault.subject import Subject

NAMES = [
    b"new\nline.png",
    b"tab\t.png",
    b"\x1b]0;title\x07\x1b[31m.png",
    "\u202egnp.exe".encode() + b".png",
    "\N{CAMERA}\N{ZERO WIDTH JOINER}.png".encode(),
    unicodedata.normalize("NFC", "é.png").encode(),
    unicodedata.normalize("NFD", "é.png").encode(),
    b"\xff\xfe\x80.png",
    b"-rf.png",
    b"--help.png",
    b"  spaces  .png",
    b"quo'te\"s`.png",
    b"100%_[a-z]*?.png",
    b"back\\slash.png",
    b"a" * 251 + b".png",
]


def write(path: bytes, number: int) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        Image.new("RGB", (8, 8), (number * 8, 255 - number * 8, 0)).save(file, "PNG")


@pytest.mark.row("C13")
def test_every_name_is_found_shown_and_given_back(own: Subject) -> None:
    root = os.fsencode(own.album.folder)
    paths = [os.path.join(root, b"names", name) for name in NAMES]
    # The same names as folders, except the longest: its path would be shown in two places.
    paths += [os.path.join(root, name.removesuffix(b".png"), b"in.png") for name in NAMES[:-1]]
    for number, path in enumerate(paths):
        write(path, number)
    wanted = own.album.names() | set(paths)
    outcome = own.index()
    assert outcome.code == 0, outcome.errors
    assert own.examine().good == wanted
    arguments = ["search", "red", "-k", "1000"]
    raw = subprocess.run(
        own.command(*arguments, "--print0"), env=own.environment(), capture_output=True, check=True
    )
    given = raw.stdout.split(b"\0")
    assert given.pop() == b""
    assert set(given) == wanted
    for path in given:
        os.stat(path)
    shown = subprocess.run(
        own.command(*arguments), env=own.environment(), capture_output=True, check=True
    ).stdout
    assert len(shown.splitlines()) == len(wanted), "a name made a line of its own"
    assert not set(shown) & (set(range(32)) - {9, 10} | {127}), "a control byte got through"
    assert own.index().summary["encoded"] == 0


@pytest.mark.row("C13")
def test_a_path_too_long_for_the_system_is_reported_and_costs_only_itself(own: Subject) -> None:
    name = b"n" * 200
    current = os.open(own.album.folder, os.O_RDONLY)
    folders = [current]
    for _ in range(25):
        os.mkdir(name, dir_fd=current)
        current = os.open(name, os.O_RDONLY, dir_fd=current)
        folders.append(current)
    try:
        with os.fdopen(os.open("deep.png", os.O_CREAT | os.O_WRONLY, dir_fd=current), "wb") as file:
            Image.new("RGB", (8, 8)).save(file, "PNG")
        outcome = own.index()
        assert outcome.code == 3, outcome.errors
        assert outcome.output.count("too long") == 1
        assert own.examine().good == own.album.names()
    finally:
        # pytest's own clean-up cannot reach them either.
        os.unlink("deep.png", dir_fd=current)
        for descriptor in reversed(folders[:-1]):
            os.rmdir(name, dir_fd=descriptor)
        for descriptor in folders:
            os.close(descriptor)
