"""G6: whatever a network does to a download, a file has its name only when its bytes are right."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipsearch.encoders import install
from clipsearch.encoders.downloading import fetch, open_repository
from clipsearch.errors import ClipsearchError, LockedError, ModelUnavailableError
from clipsearch.storage.lock import writer_lock
from tests.encoders.fake_hub import FakeHub, serving
from tests.encoders.test_downloading import use
from tests.encoders.tiny import InstalledTiny, silent

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


@pytest.mark.parametrize("status", [404, 401, 429, 502])
def test_the_file_alone_is_refused(hub: FakeHub, tmp_path: Path, status: int) -> None:
    repository = open_repository("org/model")
    hub.status = status
    with pytest.raises(ClipsearchError) as caught:
        fetch(repository, [FILE], tmp_path, silent)
    assert caught.value.exit_code == 6
    assert caught.value.remedy
    assert not (tmp_path / FILE).exists()
