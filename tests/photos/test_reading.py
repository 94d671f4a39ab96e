import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from clipsearch.errors import ClipsearchError
from clipsearch.photos.limits import ReadLimits
from clipsearch.photos.reading import PhotoReader
from clipsearch.types import PhotoProblem, PhotoRead
from tests.photos.samples import encoded, noise, plain, preprocess

FAULTY = (sys.executable, "-P", "-W", "ignore", str(Path(__file__).with_name("faulty_worker.py")))
SIZE = preprocess(8)


def nothing_known(content_hash: bytes) -> bool:
    return False


def write_photos(folder: Path, count: int) -> list[bytes]:
    """Photos of one colour each: number n is (10 n, 255 - 10 n, 7)."""
    paths = []
    for number in range(count):
        path = folder / f"{number}.png"
        path.write_bytes(plain((10 * number, 255 - 10 * number, 7)))
        paths.append(os.fsencode(path))
    return paths


def spoil(path: bytes, fault: bytes) -> None:
    with open(path, "ab") as file:
        file.write(fault)


def check_colour(photo: PhotoRead | PhotoProblem) -> None:
    """The pixels belong to the file that they are said to be of, and so does the hash."""
    assert isinstance(photo, PhotoRead), photo
    number = int(Path(os.fsdecode(photo.path)).stem)
    assert photo.pixels is not None
    assert photo.pixels.shape == (8, 8, 3)
    assert (photo.pixels == np.array((10 * number, 255 - 10 * number, 7))).all()
    data = Path(os.fsdecode(photo.path)).read_bytes()
    assert photo.content_hash == hashlib.sha256(data).digest()


def read_all(
    paths: Iterable[bytes], workers: int = 2, limits: ReadLimits | None = None
) -> dict[bytes, PhotoRead | PhotoProblem]:
    found: dict[bytes, PhotoRead | PhotoProblem] = {}
    with PhotoReader(SIZE, workers, limits, command=FAULTY) as reader:
        for photo in reader.read(paths, nothing_known):
            assert photo.path not in found
            found[photo.path] = photo
    return found


@pytest.mark.parametrize("workers", [1, 3])
def test_every_photo_comes_once_with_its_own_pixels(tmp_path: Path, workers: int) -> None:
    paths = write_photos(tmp_path, 25)
    found = read_all(paths, workers)
    assert set(found) == set(paths)
    for photo in found.values():
        check_colour(photo)


def test_pixels_can_be_written_to_and_facts_and_stat_are_there(tmp_path: Path) -> None:
    (path,) = write_photos(tmp_path, 1)
    photo = read_all([path])[path]
    assert isinstance(photo, PhotoRead)
    assert photo.pixels is not None
    assert photo.pixels.flags.writeable
    assert photo.facts is not None
    assert (photo.facts.format, photo.facts.width, photo.facts.height) == ("PNG", 16, 12)
    assert photo.stat.size == os.stat(path).st_size
    assert photo.stat.mtime_ns == os.stat(path).st_mtime_ns


def test_known_contents_are_not_decoded(tmp_path: Path) -> None:
    paths = write_photos(tmp_path, 6)
    known = {hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).digest() for path in paths[:3]}
    with PhotoReader(SIZE, 2) as reader:
        for photo in reader.read(paths, known.__contains__):
            assert isinstance(photo, PhotoRead)
            if photo.path in paths[:3]:
                assert (photo.pixels, photo.facts) == (None, None)
                assert photo.content_hash in known
            else:
                check_colour(photo)


@pytest.mark.row("A5")
@pytest.mark.parametrize("position", range(5))
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (b"KILL", "decoding ended its worker with signal SIGKILL"),
        (b"EXIT", "decoding ended its worker with exit code 7"),
    ],
)
@pytest.mark.row("D9")
def test_a_photo_that_kills_its_worker_fails_alone(
    tmp_path: Path, position: int, fault: bytes, reason: str
) -> None:
    paths = write_photos(tmp_path, 5)
    spoil(paths[position], fault)
    found = read_all(paths, workers=1)
    problem = found.pop(paths[position])
    assert isinstance(problem, PhotoProblem)
    assert (problem.kind, problem.reason) == ("refused", reason)
    assert problem.stat is not None
    assert problem.stat.size == os.stat(paths[position]).st_size
    assert len(found) == 4
    for photo in found.values():
        check_colour(photo)


@pytest.mark.row("A5")
@pytest.mark.parametrize("fault", [b"HANG", b"SPIN"])
@pytest.mark.row("D9")
def test_a_photo_that_takes_for_ever_is_given_up_and_named(tmp_path: Path, fault: bytes) -> None:
    paths = write_photos(tmp_path, 4)
    spoil(paths[1], fault)
    found = read_all(paths, workers=2, limits=ReadLimits(seconds=1.0))
    problem = found.pop(paths[1])
    assert isinstance(problem, PhotoProblem)
    assert (problem.kind, problem.reason) == ("refused", "decoding took over 1 s")
    for photo in found.values():
        check_colour(photo)


@pytest.mark.row("A5")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory")
@pytest.mark.row("D3")
def test_a_photo_that_wants_too_much_memory_is_refused_and_the_worker_lives(
    tmp_path: Path,
) -> None:
    paths = write_photos(tmp_path, 3)
    spoil(paths[0], b"HUNGER")
    found = read_all(paths, workers=1)
    problem = found.pop(paths[0])
    assert isinstance(problem, PhotoProblem)
    assert (problem.kind, problem.reason) == ("refused", "decoding needs more than 850 MB")
    for photo in found.values():
        check_colour(photo)


def test_words_of_decoders_do_not_get_between_the_messages(tmp_path: Path) -> None:
    paths = write_photos(tmp_path, 3)
    spoil(paths[1], b"CHATTER")
    for photo in read_all(paths, workers=1).values():
        check_colour(photo)


def test_bad_files_are_problems_with_their_kind(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("text")
    (tmp_path / "text.jpg").write_text("text")
    (tmp_path / "cut.png").write_bytes(encoded(noise(50, 50), "PNG")[:2000])
    (tmp_path / "named.png").write_bytes(b"%!PS-Adobe")
    paths = [os.fsencode(tmp_path / name) for name in os.listdir(tmp_path)]
    found = read_all([*paths, os.fsencode(tmp_path / "gone.jpg")])
    kinds = {
        os.path.basename(path): photo.kind
        for path, photo in found.items()
        if isinstance(photo, PhotoProblem)
    }
    assert kinds == {
        b"text.txt": "not-photo",
        b"text.jpg": "damaged",
        b"cut.png": "damaged",
        b"named.png": "unsupported",
        b"gone.jpg": "gone",
    }


def test_many_bad_photos_in_a_row(tmp_path: Path) -> None:
    paths = write_photos(tmp_path, 10)
    for path in paths[:6]:
        spoil(path, b"EXIT")
    found = read_all(paths, workers=2)
    assert sum(isinstance(photo, PhotoProblem) for photo in found.values()) == 6


def test_names_that_are_no_text_come_back_byte_for_byte(tmp_path: Path) -> None:
    names = [b"\xff\xfe.png", b"new\nline.png", b"{}.png", "日本.png".encode()]
    paths = [os.fsencode(tmp_path) + b"/" + name for name in names]
    for path in paths:
        with open(path, "wb") as file:
            file.write(plain((1, 2, 3)))
    found = read_all(paths)
    assert set(found) == set(paths)
    assert all(isinstance(photo, PhotoRead) for photo in found.values())


def test_paths_are_taken_no_faster_than_results_are(tmp_path: Path) -> None:
    (path,) = write_photos(tmp_path, 1)
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield path

    with PhotoReader(SIZE, 2) as reader:
        photos = reader.read(endless(), nothing_known)
        for _ in range(300):
            check_colour(next(photos))
    assert taken <= 300 + 128


def test_errors_of_the_caller_reach_the_caller(tmp_path: Path) -> None:
    paths = write_photos(tmp_path, 3)

    def failing_paths() -> Iterator[bytes]:
        yield paths[0]
        raise OSError("the disk is gone")

    def failing_known(content_hash: bytes) -> bool:
        raise ValueError("the catalogue is damaged")

    with PhotoReader(SIZE, 1) as reader, pytest.raises(OSError, match="the disk is gone"):
        list(reader.read(failing_paths(), nothing_known))
    with PhotoReader(SIZE, 1) as reader, pytest.raises(ValueError, match="catalogue is damaged"):
        list(reader.read(paths, failing_known))


def test_a_worker_that_does_not_start_is_one_clear_error(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "raise SystemExit(3)")
    with (
        PhotoReader(SIZE, 2, command=command) as reader,
        pytest.raises(ClipsearchError, match=r"does not start .*exit code 3"),
    ):
        list(reader.read([b"/photo.jpg"], nothing_known))
    with (
        PhotoReader(SIZE, 1, command=("/no/such/program",)) as reader,
        pytest.raises(ClipsearchError, match="cannot be started"),
    ):
        list(reader.read([b"/photo.jpg"], nothing_known))


def test_no_photos_start_no_worker() -> None:
    with PhotoReader(SIZE, 2, command=("/no/such/program",)) as reader:
        assert list(reader.read([], nothing_known)) == []


def test_a_folder_with_modules_of_its_own_does_not_get_into_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("numpy.py", "PIL.py", "json.py"):
        (tmp_path / name).write_text("raise SystemExit('taken over')")
    paths = write_photos(tmp_path, 1)
    monkeypatch.chdir(tmp_path)
    with PhotoReader(SIZE, 1) as reader:
        check_colour(next(reader.read(paths, nothing_known)))


def test_closing_over_a_hung_photo_ends_its_worker(tmp_path: Path) -> None:
    paths = write_photos(tmp_path, 3)
    spoil(paths[2], b"HANG")
    with PhotoReader(SIZE, 1, command=FAULTY) as reader:
        photos = reader.read(paths, nothing_known)
        check_colour(next(photos))
        check_colour(next(photos))
        (worker,) = reader._running
    assert worker._process.returncode is not None
    assert not any(thread.is_alive() for thread in reader._threads)
    reader.close()


@pytest.mark.row("A5")
def test_a_worker_that_died_while_idle_is_replaced_and_no_photo_blamed(tmp_path: Path) -> None:
    paths = write_photos(tmp_path, 4)

    def slowly() -> Iterator[bytes]:
        for path in paths:
            yield path
            while reader._results.empty():
                time.sleep(0.01)
            for worker in list(reader._running):
                worker.kill()
                worker._process.wait()

    with PhotoReader(SIZE, 1) as reader:
        for photo in reader.read(slowly(), nothing_known):
            check_colour(photo)


READ_FOR_EVER = """
import itertools, os, signal, sys
from clipsearch.photos.reading import PhotoReader
from clipsearch.types import Preprocess
signal.signal(signal.SIGINT, signal.default_int_handler)
preprocess = Preprocess((8, 8), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
try:
    with PhotoReader(preprocess, 2, command=sys.argv[2:]) as reader:
        photos = reader.read(itertools.repeat(os.fsencode(sys.argv[1])), lambda _: False)
        for number, photo in enumerate(photos):
            if number == 50:
                pids = [str(worker._process.pid) for worker in list(reader._running)]
                print(*pids, flush=True)
except KeyboardInterrupt:
    raise SystemExit(130) from None
"""


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_gone(pids: list[int]) -> None:
    while any(is_alive(pid) for pid in pids):
        time.sleep(0.05)


@pytest.fixture
def endless_reader(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    (path,) = write_photos(tmp_path, 1)
    script = tmp_path / "read_for_ever.py"
    script.write_text(READ_FOR_EVER)
    package_parent = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, str(script), os.fsdecode(path), *FAULTY],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": package_parent},
        start_new_session=True,
    )
    assert process.stdout is not None
    yield process, [int(pid) for pid in process.stdout.readline().split()]
    process.kill()
    process.communicate()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")
class TestEndings:
    def test_workers_of_a_killed_reader_end_by_themselves(
        self, endless_reader: tuple["subprocess.Popen[str]", list[int]]
    ) -> None:
        process, workers = endless_reader
        assert workers
        process.kill()
        wait_until_gone(workers)

    def test_ctrl_c_ends_workers_without_a_word(
        self, endless_reader: tuple["subprocess.Popen[str]", list[int]]
    ) -> None:
        process, workers = endless_reader
        os.killpg(process.pid, signal.SIGINT)
        _, complaints = process.communicate()
        assert (process.returncode, complaints) == (130, "")
        wait_until_gone(workers)
