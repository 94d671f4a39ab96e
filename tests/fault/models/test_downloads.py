"""G6: whatever a network does to a download, a file has its name only when its bytes are right."""

import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipsearch.encoders import install
from clipsearch.encoders.downloading import fetch, open_repository
from clipsearch.errors import ClipsearchError, LockedError, ModelUnavailableError
from clipsearch.storage.lock import writer_lock
from tests.cli.program import REPOSITORY
from tests.encoders.fake_hub import FakeHub, serving
from tests.encoders.test_downloading import use
from tests.encoders.tiny import InstalledTiny, silent
from tests.fault.machine import require_private_mounts

FILE = "open_clip_model.safetensors"
WEIGHTS = bytes(range(256)) * 256
PLACES = [len(WEIGHTS) * place // 64 for place in range(64)]
pytestmark = pytest.mark.row("G6")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    from huggingface_hub import constants

    # Nothing smaller than a chunk (10 MB) is kept of a cut download.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    # What waits between two attempts has nothing to wait for here.
    monkeypatch.setattr("time.sleep", lambda _: None)
    with serving(FakeHub({"org/model": {FILE: WEIGHTS}})) as running:
        use(running, monkeypatch)
        yield running


def test_cut_once_at_64_places_it_goes_on(hub: FakeHub, tmp_path: Path) -> None:
    repository = open_repository("org/model")
    for place in PLACES:
        hub.cut[FILE] = place
        (path,) = fetch(repository, [FILE], tmp_path / str(place), silent)
        assert path.read_bytes() == WEIGHTS


def test_too_short_at_64_places_it_never_gets_its_name(hub: FakeHub, tmp_path: Path) -> None:
    """A proxy that promises less than the hub did, and keeps its word."""
    repository = open_repository("org/model")
    for place in PLACES:
        hub.served[FILE] = WEIGHTS[:place]
        with pytest.raises(ClipsearchError) as caught:
            fetch(repository, [FILE], tmp_path / str(place), silent)
        assert caught.value.exit_code == 6
        assert not (tmp_path / str(place) / FILE).exists()
        hub.served.clear()
        (path,) = fetch(repository, [FILE], tmp_path / str(place), silent)
        assert path.read_bytes() == WEIGHTS


def test_a_page_in_place_of_the_file_alone(hub: FakeHub, tmp_path: Path) -> None:
    repository = open_repository("org/model")
    page = b"<html>Please log in to this network</html>"
    for served in (page, page.ljust(len(WEIGHTS))):
        hub.served[FILE] = served
        with pytest.raises(ClipsearchError) as caught:
            fetch(repository, [FILE], tmp_path, silent)
        assert caught.value.exit_code == 6
        assert not (tmp_path / FILE).exists()


def test_half_a_file_of_before_with_other_bytes_is_found_out(hub: FakeHub, tmp_path: Path) -> None:
    """What an earlier run left is continued, and only the whole is believed."""
    repository = open_repository("org/model")
    hub.served[FILE] = bytes(len(WEIGHTS))
    hub.cut[FILE] = 30_000
    with pytest.raises(ModelUnavailableError, match="arrived damaged"):
        fetch(repository, [FILE], tmp_path, silent)
    assert not (tmp_path / FILE).exists()


@pytest.mark.real
def test_two_at_once(installed: InstalledTiny, tmp_path: Path, hub: FakeHub) -> None:
    """The second one says who is fetching, and takes nothing from it."""
    names = ("open_clip_config.json", FILE)
    hub.files["org/tiny"] = {name: (installed.origin / name).read_bytes() for name in names}
    downloads = tmp_path / ".downloads"
    downloads.mkdir()
    with writer_lock(downloads), pytest.raises(LockedError, match=f"process {os.getpid()} on"):
        install("hf-hub:org/tiny", tmp_path, silent)
    assert hub.requests == []
    # A model that is on this machine needs no download, and is not held up.
    with writer_lock(downloads):
        assert install(str(installed.origin), tmp_path, silent) == installed.info
    assert install("hf-hub:org/tiny", tmp_path, silent).fingerprint == installed.info.fingerprint
    assert not downloads.exists()


def test_a_slow_hub_is_waited_for(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file takes longer than the patience with silence: that is for silence alone."""
    be_impatient(monkeypatch, seconds=0.3)
    repository = open_repository("org/model")
    hub.pause = 0.03
    (path,) = fetch(repository, [FILE], tmp_path, silent)
    assert path.read_bytes() == WEIGHTS
    assert [range_ for method, _, range_ in hub.requests if method == "GET" and range_] == []


def test_a_hub_that_falls_silent_for_a_while_is_gone_on_with(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_impatient(monkeypatch, seconds=0.3)
    repository = open_repository("org/model")
    hub.stall = 30_000

    def speak() -> None:
        hub.stall = None

    speaking = threading.Timer(0.6, speak)
    speaking.start()
    (path,) = fetch(repository, [FILE], tmp_path, silent)
    speaking.join()
    assert path.read_bytes() == WEIGHTS
    ranges = [range_ for method, _, range_ in hub.requests if method == "GET" and range_]
    assert ranges
    assert "bytes=0-" not in ranges, "it began again"


def test_a_hub_that_falls_silent_is_left(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_impatient(monkeypatch, seconds=0.3)
    repository = open_repository("org/model")
    hub.stall = 30_000
    with pytest.raises(ModelUnavailableError, match="cannot be reached") as caught:
        fetch(repository, [FILE], tmp_path, silent)
    assert caught.value.remedy
    assert not (tmp_path / FILE).exists()
    hub.stall = None
    (path,) = fetch(repository, [FILE], tmp_path, silent)
    assert path.read_bytes() == WEIGHTS


def be_impatient(monkeypatch: pytest.MonkeyPatch, *, seconds: float) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", seconds)


FETCH = """
import sys
from pathlib import Path
from huggingface_hub import constants
constants.DOWNLOAD_CHUNK_SIZE = 1000
from clipsearch.cli.failures import explain
from clipsearch.encoders.downloading import fetch, open_repository
from clipsearch.errors import ClipsearchError
try:
    fetch(open_repository("org/model"), sys.argv[2:], Path(sys.argv[1]), lambda *told: None)
except ClipsearchError as error:
    print(explain(error).line)
    sys.exit(error.exit_code)
"""
SMALL_DISK = """
mount -t tmpfs -o size=40k tmpfs "$2" || exit 99
"$0" -c "$1" "$2" "$3"; echo "first $?"
test -e "$2/$3"; echo "there $?"
find "$2" -size +8k | wc -l
mount -o remount,size=1m "$2"
"$0" -c "$1" "$2" "$3"; echo "second $?"
cp "$2/$3" "$4"
"""
NO_SPACE = "clipsearch: org/model cannot be stored (No space left on device). Free some space"


def test_a_full_disk(hub: FakeHub, tmp_path: Path) -> None:
    require_private_mounts()
    (tmp_path / "disk").mkdir()
    got = tmp_path / "got"
    script = ["unshare", "-rm", "sh", "-c", SMALL_DISK, sys.executable]
    done = subprocess.run(
        [*script, FETCH, tmp_path / "disk", FILE, got],
        env=online(hub),
        capture_output=True,
        text=True,
        check=True,
    )
    line, *codes = done.stdout.splitlines()
    assert line.startswith(NO_SPACE), done.stdout + done.stderr
    assert "what was finished is kept" in line
    assert codes == ["first 6", "there 1", "0", "second 0"], "what is cut fills the disk no longer"
    assert got.read_bytes() == WEIGHTS


def test_a_limit_on_the_size_of_files(hub: FakeHub, tmp_path: Path) -> None:
    def run(limit: int) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", FETCH, tmp_path, FILE],
            env=online(hub),
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )

    limited = run(30_000)
    assert limited.returncode == 6, limited.stderr
    assert "org/model cannot be stored (File too large)" in limited.stdout
    assert not (tmp_path / FILE).exists()
    assert run(1_000_000).returncode == 0
    assert (tmp_path / FILE).read_bytes() == WEIGHTS


def online(hub: FakeHub) -> dict[str, str]:
    own = {"HF_ENDPOINT": hub.address, "PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "0"}
    return {**os.environ, **own}


@pytest.mark.parametrize("status", [404, 401, 429, 502])
def test_the_file_alone_is_refused(hub: FakeHub, tmp_path: Path, status: int) -> None:
    repository = open_repository("org/model")
    hub.status = status
    with pytest.raises(ClipsearchError) as caught:
        fetch(repository, [FILE], tmp_path, silent)
    assert caught.value.exit_code == 6
    assert caught.value.remedy
    assert not (tmp_path / FILE).exists()
