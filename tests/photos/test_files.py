import hashlib
import math
import os
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from clipsearch.photos import files
from clipsearch.photos.files import FileRead, read_file
from clipsearch.photos.limits import ReadLimits
from clipsearch.types import PhotoProblem
from tests.photos.samples import BLUE, RED, plain

LIMITS = ReadLimits()


def problem(path: Path | bytes, limits: ReadLimits = LIMITS) -> tuple[str, str]:
    found = read_file(os.fsencode(path), limits)
    assert isinstance(found, PhotoProblem)
    assert found.path == os.fsencode(path)
    return found.kind, found.reason


def test_the_whole_file_with_its_stat(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(plain(RED, size=(400, 300)))
    found = read_file(os.fsencode(path), LIMITS)
    assert isinstance(found, FileRead)
    assert hashlib.sha256(found.data).digest() == hashlib.sha256(path.read_bytes()).digest()
    assert found.stat == files.file_stat(path.stat())


def test_names_that_are_no_text(tmp_path: Path) -> None:
    for name in [b"\xff\xfe.jpg", b"new\nline.jpg", b"--help.jpg", b" .jpg", b"a" * 251 + b".jpg"]:
        path = os.path.join(os.fsencode(tmp_path), name)
        Path(os.fsdecode(path)).write_bytes(plain(RED))
        assert isinstance(read_file(path, LIMITS), FileRead)


def test_what_is_not_there_and_what_is_no_file(tmp_path: Path) -> None:
    assert problem(tmp_path / "gone.jpg") == ("gone", "gone since it was listed")
    (tmp_path / "file").write_bytes(b"x")
    assert problem(tmp_path / "file" / "under.jpg")[0] == "gone"
    (tmp_path / "folder.jpg").mkdir()
    assert problem(tmp_path / "folder.jpg") == ("not-photo", "not a regular file")


@pytest.mark.row("C10", "C11")
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among files")
def test_pipes_sockets_and_links_are_not_waited_for_or_followed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    assert problem(tmp_path / "fifo.jpg") == ("not-photo", "not a regular file")
    with socket.socket(socket.AF_UNIX) as server:
        folder = os.getcwd()
        os.chdir(tmp_path)
        try:
            server.bind("socket.jpg")
        finally:
            os.chdir(folder)
        assert problem(tmp_path / "socket.jpg") == ("not-photo", "not a regular file")
    (tmp_path / "real.png").write_bytes(plain(RED))
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    assert problem(tmp_path / "link.png") == ("not-photo", "not a regular file")


@pytest.mark.row("C11")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc")
def test_files_without_a_size_are_not_read() -> None:
    assert problem(b"/proc/self/status") == ("not-photo", "empty file")
    assert problem(b"/dev/zero") == ("not-photo", "not a regular file")


def test_empty_files(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "empty.txt").touch()
    assert problem(tmp_path / "empty.jpg") == ("damaged", "empty file")
    assert problem(tmp_path / "empty.txt") == ("not-photo", "empty file")


def test_size_limit_with_the_numbers(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0" + b"\x00" * 996)
    assert problem(path, ReadLimits(file_bytes=999)) == (
        "refused",
        "the file has 1000 bytes, over the limit of 999",
    )
    assert isinstance(read_file(os.fsencode(path), ReadLimits(file_bytes=1000)), FileRead)


def test_a_film_of_terabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom")
    os.truncate(path, 1 << 40)
    assert problem(path) == ("not-photo", "a video")


class Rewriter:
    """Writes to the file between two reads of it, the first `times` times."""

    def __init__(self, path: Path, times: int) -> None:
        self.real = os.read
        self.path = path
        self.left = times

    def read(self, descriptor: int, count: int) -> bytes:
        data = self.real(descriptor, count)
        if count > 4096 and self.left:
            self.left -= 1
            self.path.write_bytes(plain(BLUE, size=(100 + self.left, 100)) + b"\x00" * 5000)
        return data


@pytest.mark.row("C9")
@pytest.mark.parametrize(("times", "succeeds"), [(1, True), (2, True), (3, False)])
def test_a_file_rewritten_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int, succeeds: bool
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(plain(RED) + b"\x00" * 5000)
    rewriter = Rewriter(path, times)
    monkeypatch.setattr(files.os, "read", rewriter.read)
    found = read_file(os.fsencode(path), LIMITS)
    monkeypatch.undo()
    if succeeds:
        assert isinstance(found, FileRead)
        assert found.data == path.read_bytes()
        assert found.stat == files.file_stat(path.stat())
    else:
        assert found == PhotoProblem(os.fsencode(path), None, "refused", "changed while reading")


@pytest.mark.row("C9")
def test_a_file_that_grows_or_shrinks_behind_its_stat_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A size that fits no stat must never be hashed, even when the times are equal."""
    path = tmp_path / "photo.png"
    path.write_bytes(plain(RED) + b"\x00" * 5000)
    real = os.fstat

    def lying(descriptor: int) -> os.stat_result:
        found = real(descriptor)
        values = list(found)
        values[6] += 10
        return os.stat_result(
            values, {"st_mtime_ns": found.st_mtime_ns, "st_ctime_ns": found.st_ctime_ns}
        )

    monkeypatch.setattr(files.os, "fstat", lying)
    assert problem(path) == ("refused", "changed while reading")


class CoarseDisk:
    """A clock that only waiting moves, and a file whose times are whole seconds of it.

    The file is changed once more while it is read, `later` seconds from the beginning.
    """

    def __init__(self, path: Path, later: float) -> None:
        self.path = path
        self.now = 1000.5
        self.changed = 1000
        self.change_at = self.now + later
        self.real = os.fstat

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.change_when_due()

    def fstat(self, descriptor: int) -> SimpleNamespace:
        times = dict.fromkeys(("st_mtime_ns", "st_ctime_ns"), self.changed * 10**9)
        found = self.real(descriptor)
        names = ("st_mode", "st_size", "st_ino", "st_dev")
        return SimpleNamespace(**{name: getattr(found, name) for name in names}, **times)

    def change_when_due(self) -> None:
        if self.now >= self.change_at:
            self.path.write_bytes(plain(BLUE))
            self.changed = int(self.change_at)
            self.change_at = math.inf


@pytest.mark.row("C9")
@pytest.mark.parametrize("later", [0.4, 1.4, 10])
def test_a_change_in_the_second_of_the_last_one_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: float
) -> None:
    """What is stored with the times that the file ends up with is what the file ends up with."""
    path = tmp_path / "photo.png"
    path.write_bytes(plain(RED))
    disk = CoarseDisk(path, later)
    monkeypatch.setattr(files.os, "fstat", disk.fstat)
    monkeypatch.setattr(
        files, "time", SimpleNamespace(time_ns=lambda: int(disk.now * 1e9), sleep=disk.sleep)
    )
    found = read_file(os.fsencode(path), LIMITS)
    disk.sleep(0.4)
    assert isinstance(found, FileRead)
    if found.stat.mtime_ns == disk.changed * 10**9:
        assert found.data == path.read_bytes()


def test_only_a_file_that_changed_just_now_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(files.time, "sleep", waits.append)
    path = tmp_path / "photo.png"
    path.write_bytes(plain(RED))
    read_file(os.fsencode(path), LIMITS)
    assert all(0 < seconds <= 0.02 for seconds in waits)
    waits.clear()
    now = path.stat().st_mtime_ns
    for ahead in (10**8, -(10**10)):
        monkeypatch.setattr(files.time, "time_ns", lambda ahead=ahead: now + ahead)
        assert isinstance(read_file(os.fsencode(path), LIMITS), FileRead)
    assert waits == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PermissionError(13, "Permission denied"), ("unreadable", "permission denied")),
        (OSError(5, "Input/output error"), ("unreadable", "input/output error")),
        (OSError(36, "File name too long"), ("unreadable", "file name too long")),
    ],
)
def test_what_the_system_refuses(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
    expected: tuple[str, str],
) -> None:
    def refuse(path: bytes, flags: int) -> int:
        raise error

    monkeypatch.setattr(files.os, "open", refuse)
    assert problem(tmp_path / "photo.jpg") == expected


def test_a_file_that_comes_in_pieces_is_put_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Network drives, and files over 2 GB, give less at a time than they are asked for."""
    path = tmp_path / "photo.png"
    content = plain(RED) + bytes(range(256)) * 100
    path.write_bytes(content)
    real = os.read
    monkeypatch.setattr(files.os, "read", lambda file, count: real(file, min(count, 4096)))
    found = read_file(os.fsencode(path), LIMITS)
    assert isinstance(found, FileRead)
    assert found.data == content


def test_a_file_that_no_memory_is_left_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(plain(RED) + b"\x00" * 5000)
    real = os.read

    def without_memory(descriptor: int, count: int) -> bytes:
        if count > 4096:
            raise MemoryError
        return real(descriptor, count)

    monkeypatch.setattr(files.os, "read", without_memory)
    assert problem(path) == ("refused", "no memory to read it")


def test_nothing_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(plain(RED))
    (tmp_path / "text.txt").write_bytes(b"text")
    first = os.open(tmp_path / "photo.png", os.O_RDONLY)
    os.close(first)
    for name in ("photo.png", "text.txt", "gone"):
        read_file(os.fsencode(tmp_path / name), LIMITS)
    second = os.open(tmp_path / "photo.png", os.O_RDONLY)
    os.close(second)
    assert second == first
