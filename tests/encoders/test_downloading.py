"""Fetching from a hub that behaves, and from one that does not."""

from collections.abc import Iterator

import pytest

from clipsearch.encoders.downloading import fetch, open_repository
from clipsearch.errors import ModelUnavailableError, StorageError
from tests.encoders.fake_hub import REVISION, FakeHub, serving
from tests.encoders.tiny import silent

WEIGHTS = bytes(range(256)) * 2000
CONFIG = b'{"model_cfg": {}}'


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    files = {"open_clip_config.json": CONFIG, "open_clip_model.safetensors": WEIGHTS}
    with serving(FakeHub({"org/model": files})) as running:
        use(running, monkeypatch)
        yield running


def use(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    # What HF_ENDPOINT sets; the module has read that variable already.
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def test_files_arrive_as_they_are_at_the_pinned_revision(hub, tmp_path):
    repository = open_repository("org/model")
    assert (repository.revision, repository.licence) == (REVISION, "mit")
    paths = fetch(repository, list(repository.files), tmp_path, silent)
    assert [path.read_bytes() for path in paths] == [CONFIG, WEIGHTS]


def test_progress_counts_bytes_to_the_end(hub, tmp_path):
    seen = []
    repository = open_repository("org/model")
    fetch(repository, list(repository.files), tmp_path, lambda *args: seen.append(args))
    total = len(CONFIG) + len(WEIGHTS)
    assert seen[-1] == ("fetching", total, total)
    assert {(stage, whole) for stage, _, whole in seen} == {("fetching", total)}
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


@pytest.mark.parametrize("file", ["open_clip_model.safetensors", "open_clip_config.json"])
@pytest.mark.row("G6")
def test_wrong_bytes_of_the_right_size_are_refused_and_not_kept(hub, tmp_path, file):
    right = hub.files["org/model"][file]
    hub.served[file] = right[:-1] + bytes([right[-1] ^ 1])
    repository = open_repository("org/model")
    with pytest.raises(ModelUnavailableError, match=f"{file} arrived damaged"):
        fetch(repository, [file], tmp_path, silent)
    assert not (tmp_path / file).exists()
    hub.served.clear()
    (path,) = fetch(repository, [file], tmp_path, silent)
    assert path.read_bytes() == right


@pytest.mark.row("G6")
def test_a_cut_download_goes_on_where_it_stopped(hub, tmp_path, monkeypatch):
    from huggingface_hub import constants

    # Nothing smaller than a chunk (10 MB) is kept of a cut download.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 50_000)
    hub.cut["open_clip_model.safetensors"] = 300_000
    repository = open_repository("org/model")
    (path,) = fetch(repository, ["open_clip_model.safetensors"], tmp_path, silent)
    assert path.read_bytes() == WEIGHTS
    ranges = [range_ for method, _, range_ in hub.requests if method == "GET" and range_]
    assert ranges == ["bytes=300000-"]


def test_a_place_that_takes_no_files_is_told_apart_from_a_full_one(hub, tmp_path):
    (tmp_path / "file").write_text("")
    repository = open_repository("org/model")
    with pytest.raises(StorageError, match=r"cannot be stored .*path is a file, not a folder: set"):
        fetch(repository, ["open_clip_config.json"], tmp_path / "file" / "downloads", silent)


def test_what_arrived_whole_is_checked_and_not_fetched_again(hub, tmp_path):
    """Also when the hub offers to send it once more: bytes are asked for once."""
    repository = open_repository("org/model")
    names = list(repository.files)
    first = fetch(repository, names, tmp_path, silent)
    assert [method for method, *_ in hub.requests].count("GET") == 1 + len(names)
    hub.requests.clear()
    hub.served = dict.fromkeys(names, b"something else")
    assert fetch(repository, names, tmp_path, silent) == first
    assert [path.read_bytes() for path in first] == [CONFIG, WEIGHTS]
    assert "GET" not in {method for method, *_ in hub.requests}


@pytest.mark.row("G6")
def test_a_repository_that_is_not_there(hub):
    with pytest.raises(ModelUnavailableError, match="no public repository org/other"):
        open_repository("org/other")


@pytest.mark.row("G6")
def test_a_page_instead_of_the_hub(hub):
    hub.page = True
    with pytest.raises(ModelUnavailableError, match="something else than the hub answered"):
        open_repository("org/model")


@pytest.mark.parametrize("status", [403, 500])
@pytest.mark.row("G6")
def test_a_hub_that_refuses(hub, status):
    hub.status = status
    with pytest.raises(ModelUnavailableError, match=rf"answered {status}.*--model starter"):
        open_repository("org/model")


def test_nobody_there(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelUnavailableError, match="cannot be reached") as caught:
        open_repository("org/model")
    for remedy in ("preset", "HF_ENDPOINT", "local file", "--model starter"):
        assert remedy in str(caught.value)


def test_offline_mode_is_named(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailableError, match=r"HF_HUB_OFFLINE is set.*--model starter"):
        open_repository("org/model")
    assert hub.requests == []
