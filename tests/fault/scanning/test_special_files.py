"""What stands among photos and is none: never opened, never followed, never waited for."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fault.machine import require_private_mounts
from tests.fault.oracle import palette
from tests.fault.subject import Subject
from tests.indexing.album import Album as ColourAlbum

SECONDS = 60
PHOTOS = 12


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(path.parent):
        server.bind(path.name)


def character_device(path: Path) -> None:
    device(path, 0o020644, os.makedev(1, 5))


def block_device(path: Path) -> None:
    device(path, 0o060644, os.makedev(7, 0))


def device(path: Path, mode: int, number: int) -> None:
    try:
        os.mknod(path, mode, number)
    except PermissionError:
        pytest.skip("only root makes devices")


def endless_link(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.row("C11")
@pytest.mark.parametrize("make", [pipe, listening, character_device, block_device, endless_link])
def test_they_are_passed_over(own: Subject, make: Callable[[Path], None]) -> None:
    make(own.album.folder / "special.jpg")
    outcome = own.index()
    assert outcome.code == 0, outcome.errors
    assert outcome.summary["found"] == len(own.album.paths)
    assert own.examine().good == own.album.names()


MOUNT_PROC = """
mount --bind /proc/self "$1/proc" || exit 99
"$0" -m clipsearch index "$1" --model fake --json --quiet; echo "code $?"
"""


@pytest.mark.row("C11")
def test_files_of_proc_are_not_read_for_ever(own: Subject) -> None:
    """They say that they are empty, and some never end."""
    require_private_mounts()
    (own.album.folder / "proc").mkdir()
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", MOUNT_PROC, sys.executable, str(own.album.folder)],
        env=own.environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert "code 0" in done.stdout or "code 3" in done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert own.examine().good == own.album.names()


def a_folder(path: Path) -> None:
    path.mkdir()


def a_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def nothing(path: Path) -> None:
    """The file is gone."""


@pytest.mark.row("C10")
@pytest.mark.parametrize(
    "become",
    [a_folder, pipe, a_link, endless_link, pytest.param(nothing, marks=pytest.mark.row("C8"))],
)
def test_a_file_that_became_something_else_since_it_was_listed(
    tmp_path: Path, become: Callable[[Path], None]
) -> None:
    album = ColourAlbum(tmp_path)
    expected = {f"{i}.png": colour for i, colour in enumerate(palette(PHOTOS))}
    for name, colour in expected.items():
        album.add(name, colour)
    chosen = list(expected)[::4]

    def swap(stage: str, done: int, total: int | None) -> None:
        # After everything was listed, before anything is read.
        while stage == "scan" and done == PHOTOS and chosen:
            path = album.photos / chosen.pop()
            del expected[path.name]
            path.unlink()
            become(path)

    summary = album.index(progress=swap)
    assert summary.new == 9
    assert summary.gone + summary.other_files == 3
    assert not summary.problems
    album.check(expected)


@pytest.mark.row("C12")
def test_every_folder_once_whatever_links_lead_to_it(own: Subject, tmp_path: Path) -> None:
    album = own.album.folder
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(own.album.paths[0], outside / "outside.png")
    (album / "loop").symlink_to(album)
    (album / "0" / "parent").symlink_to("..")
    (album / "out").symlink_to(outside)
    (album / "broken").symlink_to(tmp_path / "nowhere")
    (album / "self").symlink_to("self")
    (album / "photo.png").symlink_to(own.album.paths[1])
    twin = album / "1" / "twin.png"
    os.link(own.album.paths[2], twin)
    outcome = own.index()
    assert outcome.code == 0, outcome.errors
    assert outcome.summary["found"] == len(own.album.paths) + 1
    assert outcome.summary["encoded"] == len(own.album.paths)
    assert own.examine().good == own.album.names() | {os.fsencode(twin)}


@pytest.mark.row("C12")
def test_a_root_given_twice_in_different_words(own: Subject) -> None:
    album = own.album.folder
    link = album.parent / "link"
    link.symlink_to(album)
    given = [str(album), f"{album}/../{album.name}/", str(link), str(album / "1"), str(link / "2")]
    outcome = own.run("index", *given, "--model", "fake", "--json")
    assert outcome.code == 0, outcome.errors
    assert outcome.summary["found"] == len(own.album.paths)
    assert own.examine().good == own.album.names()


BIND = """
mkdir "$1/again" && mount --bind "$1/0" "$1/again" || exit 99
"$0" -m clipsearch index "$1" --model fake --json --quiet; echo "code $?"
"$0" -m clipsearch index --json --quiet; echo "code $?"
"""


@pytest.mark.row("C12")
def test_a_folder_mounted_in_a_second_place(own: Subject) -> None:
    """Each photo once for each path, each content encoded once."""
    require_private_mounts()
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", BIND, sys.executable, str(own.album.folder)],
        env=own.environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.stdout.count("code 0") == 2, done.stdout + done.stderr
    assert f'"encoded": {len(own.album.paths)},' in done.stdout.splitlines()[0]
    assert '"encoded": 0,' in done.stdout.splitlines()[2]
