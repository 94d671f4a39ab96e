"""Two photo folders on a disk that can be taken away, and everything people do in them."""

import os
import shutil
import tempfile
import time
from pathlib import Path

from PIL import Image

from tests.photos.samples import encoded

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (9, 9, 9), (200, 10, 80)]
# BMP: every content has the same size.
CONTENTS = [encoded(Image.new("RGB", (4, 4), colour), "BMP") for colour in COLOURS]
BROKEN = CONTENTS[0][:60]
NO_PHOTO = b"Dear diary"
FOLDERS = (b"", b"a", b"a/b", b"c")
NAMES = (b"1.bmp", b"2.bmp", b"3.bmp", b"\xff\xfe.bmp", b"new\nline.bmp", b"%_'.bmp", b"-.bmp")
ODD_TIMES = (0, -(10**9), 4_070_908_800, 2**33)


class PhotoDisk:
    """The roots `left` and `right`. Paths are absolute bytes."""

    def __init__(self) -> None:
        fast = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.home = Path(tempfile.mkdtemp(prefix="clipsearch-machine-", dir=fast))
        self.roots = [os.fsencode(self.home / name) for name in ("left", "right")]
        for root in self.roots:
            os.mkdir(root)
        self.away: dict[bytes, str] = {}
        self.unreadable: set[bytes] = set()

    def remove(self) -> None:
        shutil.rmtree(self.home)

    def here(self) -> list[bytes]:
        """The roots whose own disk is mounted."""
        return [root for root in self.roots if root not in self.away]

    def files(self) -> list[bytes]:
        """All files of the mounted roots, sorted."""
        return sorted(path for root in self.here() for path in files_below(root))

    def photos(self) -> dict[bytes, bytes]:
        """The content of every file that is a photo, by path, unreadable ones left out."""
        found = {}
        for path in self.files():
            data = read(path)
            if data in CONTENTS and path not in self.unreadable:
                found[path] = data
        return found

    def pick(self, number: int) -> bytes | None:
        files = self.files()
        return files[number % len(files)] if files else None

    def free_place(self, root: int, folder: bytes, name: bytes) -> bytes | None:
        """A path where nothing lies yet, its folder made; None when something does."""
        path = os.path.join(self.roots[root], folder, name)
        if self.roots[root] in self.away or os.path.lexists(path):
            return None
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def write(self, path: bytes, data: bytes) -> None:
        """Write in place; never in the same tick of the file system's clock as the last change."""
        before = os.stat(path).st_ctime_ns if os.path.exists(path) else None
        with open(path, "wb") as file:
            file.write(data)
        _wait_for_another_tick(path, before)

    def keep_time(self, path: bytes, data: bytes) -> None:
        """Another content, and the time of the old one put back."""
        before = os.stat(path)
        self.write(path, data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        _wait_for_another_tick(path, before.st_ctime_ns)

    def move(self, path: bytes, to: bytes) -> None:
        os.rename(path, to)
        self._moved(path, to)

    def swap(self, one: bytes, other: bytes) -> None:
        between = one + b".between"
        os.rename(one, between)
        os.rename(other, one)
        os.rename(between, other)
        self.unreadable -= {one, other}

    def delete(self, path: bytes) -> None:
        os.unlink(path)
        self.unreadable.discard(path)

    def move_folder(self, path: bytes, to: bytes) -> None:
        os.rename(path, to)
        for each in [p for p in self.unreadable if p.startswith(path + b"/")]:
            self._moved(each, to + each[len(path) :])

    def unmount(self, root: bytes, how: str) -> None:
        """Take a disk away: `absent`, an `empty` mount point, or `other` photos in its place."""
        os.rename(root, root + b".disk")
        self.away[root] = how
        if how != "absent":
            os.mkdir(root)
        if how == "other":
            with open(os.path.join(root, b"foreign.bmp"), "wb") as file:
                file.write(CONTENTS[-1])

    def mount(self, root: bytes) -> None:
        if self.away.pop(root) != "absent":
            shutil.rmtree(root)
        os.rename(root + b".disk", root)

    def _moved(self, path: bytes, to: bytes) -> None:
        if path in self.unreadable:
            self.unreadable.remove(path)
            self.unreadable.add(to)


def files_below(folder: bytes) -> list[bytes]:
    return [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names]


def read(path: bytes) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _wait_for_another_tick(path: bytes, before: int | None) -> None:
    while os.stat(path).st_ctime_ns == before:
        time.sleep(0.001)
        os.chmod(path, 0o644)
